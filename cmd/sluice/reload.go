package main

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"

	"github.com/alecthomas/kong"

	"github.com/sluiceml/sluice/cmd/sluice/internal/serve"
)

// reloader reads the command line, the environment and the configuration file again.
type reloader struct {
	process *process
	logging *loggingFlags     // in force
	running map[string]string // in force
}

// live are the options that change while the server runs.
func live(name string) bool {
	return slices.Contains([]string{
		"log-level", "drain-delay", "drain-timeout", "queue", "queue-tokens", "queue-time", "max-connections", "max-request-duration",
	}, name)
}

// settings are the options in force, as text.
func settings(parsed *kong.Context) map[string]string {
	out := map[string]string{}
	for _, flag := range parsed.Flags() {
		if !notInFile(flag.Name) {
			out[flag.Name] = fmt.Sprint(plainValue(flag.Target))
		}
	}
	return out
}

// reload hands what it reads to apply, which puts in force what can change while serving, and names what cannot. A faulty file
// changes nothing.
func (r *reloader) reload(apply func(*serve.Flags)) {
	log := r.process.log
	var line commandLine
	parser, err := newParser(&line, *r.process)
	if err != nil {
		log.Error("reload failed; nothing has changed", "error", err.Error())
		return
	}
	parsed, err := parser.Parse(r.process.args)
	if err != nil {
		log.Error("reload failed; nothing has changed", "error", err.Error())
		return
	}
	fresh := settings(parsed)
	var changed, restart []string
	for _, name := range slices.Sorted(maps.Keys(fresh)) {
		switch {
		case fresh[name] == r.running[name]:
		case live(name):
			changed = append(changed, name)
			r.running[name] = fresh[name]
		default:
			restart = append(restart, name)
		}
	}
	apply(&line.Serve.Flags)
	level := slog.Level(line.LogLevel)
	r.logging.level.Set(min(level, r.logging.level.Level(), slog.LevelInfo)) // whichever it is, this is to be seen
	log.Info("reloaded", "log_level", line.LogLevel.String(), "changed", changed)
	if len(restart) > 0 {
		log.Warn("changed options that need a restart", "options", restart)
	}
	r.logging.level.Set(level)
}
