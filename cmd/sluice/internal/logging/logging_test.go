package logging

import (
	"context"
	"log/slog"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/trace"
)

// TestLevel: a level is written as it is read, and there are four.
func TestLevel(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]slog.Level{
		"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
	} {
		var level Level
		if err := level.UnmarshalText([]byte(text)); err != nil || slog.Level(level) != want || level.String() != text {
			t.Errorf("%q: %s, %v", text, level, err)
		}
	}
	for _, text := range []string{"", "INFO", "info+1", "loud"} {
		if err := new(Level).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

// TestLinesNameTheirTrace: in both forms, behind attributes and groups of the logger, and only where there is a trace.
func TestLinesNameTheirTrace(t *testing.T) {
	t.Parallel()
	span := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}})
	for format, want := range map[string][]string{
		"text": {"a=b", "g.c=d", span.TraceID().String(), span.SpanID().String()},
		"json": {`"a":"b"`, `"c":"d"`, span.TraceID().String(), span.SpanID().String()},
	} {
		var out strings.Builder
		log := New(&out, format, new(slog.LevelVar)).With("a", "b").WithGroup("g")
		log.DebugContext(t.Context(), "below the level")
		log.InfoContext(t.Context(), "without", "c", "d")
		if text := out.String(); strings.Contains(text, "below") || strings.Contains(text, "trace_id") {
			t.Errorf("%s: %s", format, text)
		}
		log.InfoContext(trace.ContextWithSpanContext(context.Background(), span), "within", "c", "d")
		for _, part := range want {
			if !strings.Contains(out.String(), part) {
				t.Errorf("%s: no %s in %s", format, part, out.String())
			}
		}
	}
}
