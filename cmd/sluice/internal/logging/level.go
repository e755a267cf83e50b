package logging

import (
	"fmt"
	"log/slog"
)

// Level is a slog.Level as the command line writes it.
type Level slog.Level

// UnmarshalText implements encoding.TextUnmarshaler.
func (l *Level) UnmarshalText(text []byte) error {
	switch string(text) {
	case "debug", "info", "warn", "error":
		return (*slog.Level)(l).UnmarshalText(text)
	}
	return fmt.Errorf("%q is not debug, info, warn or error", text)
}

// String is the level as the command line writes it.
func (l Level) String() string {
	switch slog.Level(l) {
	case slog.LevelDebug:
		return "debug"
	case slog.LevelInfo:
		return "info"
	case slog.LevelWarn:
		return "warn"
	case slog.LevelError:
		return "error"
	default:
		return slog.Level(l).String()
	}
}
