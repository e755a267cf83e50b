package main

import (
	"context"
	"io"
	"log/slog"

	"go.opentelemetry.io/otel/trace"
)

// logger makes the process's logger.
func (f *loggingFlags) logger(w io.Writer) *slog.Logger {
	f.level = new(slog.LevelVar)
	f.level.Set(slog.Level(f.LogLevel))
	options := &slog.HandlerOptions{Level: f.level}
	var handler slog.Handler = slog.NewTextHandler(w, options)
	if f.LogFormat == "json" {
		handler = slog.NewJSONHandler(w, options)
	}
	return slog.New(traceHandler{handler})
}

// traceHandler adds the ids of the trace that a message belongs to.
type traceHandler struct{ slog.Handler }

// Handle implements slog.Handler.
func (h traceHandler) Handle(ctx context.Context, record slog.Record) error {
	if span := trace.SpanContextFromContext(ctx); span.IsValid() {
		record.AddAttrs(slog.String("trace_id", span.TraceID().String()), slog.String("span_id", span.SpanID().String()))
	}
	return h.Handler.Handle(ctx, record)
}

// WithAttrs implements slog.Handler.
func (h traceHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return traceHandler{h.Handler.WithAttrs(attrs)}
}

// WithGroup implements slog.Handler.
func (h traceHandler) WithGroup(name string) slog.Handler {
	return traceHandler{h.Handler.WithGroup(name)}
}
