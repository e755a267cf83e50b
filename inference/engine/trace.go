package engine

import (
	"context"
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/sluiceml/sluice/inference/runner"
	"github.com/sluiceml/sluice/inference/sched"
	"github.com/sluiceml/sluice/inference/semconv"
)

// All spans are made when they end, with the times that were taken anyway: so a request that isn't sampled costs
// nothing, and no span is left open whatever becomes of the request. They are ended before the reader gets the
// update that they led to, so that a request's spans are complete when its reader sees the end.

// stepTracer makes the spans. A nil stepTracer makes none.
type stepTracer struct {
	tracer trace.Tracer
	links  []trace.Link
}

func newStepTracer(cfg Config) *stepTracer {
	if cfg.TracerProvider == nil {
		return nil
	}
	return &stepTracer{tracer: cfg.TracerProvider.Tracer(scope, trace.WithSchemaURL(semconv.SchemaURL))}
}

// job is what the spans of a request start from: those of the context's span, or nil if it is not sampled.
func (t *stepTracer) job(ctx context.Context) *jobTrace {
	if t == nil {
		return nil
	}
	span := trace.SpanFromContext(ctx)
	if !span.IsRecording() && !span.SpanContext().IsSampled() {
		return nil
	}
	return &jobTrace{parent: context.WithoutCancel(ctx)}
}

// step makes the span of a step that has a sampled request in it. It starts a trace of its own, since it belongs to
// several, and links to each. A sampler that decides by ratio sees the links and can follow them. The context that it
// returns has that span, if there is one.
func (t *stepTracer) step(
	ctx context.Context, plan *sched.Plan, batch runner.Step, started, ended time.Time, err error,
) context.Context {
	if t == nil {
		return ctx
	}
	t.links = t.links[:0]
	for _, q := range plan.Decode {
		t.link(q)
	}
	for _, c := range plan.Chunks {
		t.link(c.Sequence)
	}
	if len(t.links) == 0 {
		return ctx
	}
	ctx, span := t.tracer.Start(ctx, semconv.SpanStep,
		trace.WithNewRoot(),
		trace.WithTimestamp(started),
		trace.WithLinks(t.links...),
		trace.WithAttributes(
			semconv.BatchSize.Int(batch.Sequences()),
			semconv.Tokens.Int(batch.Tokens())))
	if err != nil {
		span.RecordError(err)
		span.SetStatus(codes.Error, "the session failed")
	}
	span.End(trace.WithTimestamp(ended))
	return ctx
}

func (t *stepTracer) link(q *sched.Sequence) {
	if j := jobOf(q); j.trace != nil {
		t.links = append(t.links, trace.LinkFromContext(j.trace.parent))
	}
}

func (t *stepTracer) span(parent context.Context, name string, from, to time.Time, attrs ...attribute.KeyValue) {
	_, span := t.tracer.Start(parent, name, trace.WithTimestamp(from), trace.WithAttributes(attrs...))
	span.End(trace.WithTimestamp(to))
}

// jobTrace is what a sampled request's spans need. A nil jobTrace makes none.
type jobTrace struct {
	// parent holds the caller's span. It is stored, against the rule, because spans start long after Submit has
	// returned; it can't be cancelled.
	parent context.Context //nolint:containedctx // see above
	ended  bool
}

// another is the same for another output of the request.
func (jt *jobTrace) another() *jobTrace {
	if jt == nil {
		return nil
	}
	return &jobTrace{parent: jt.parent}
}

// queue is the span from submission to the first step.
func (jt *jobTrace) queue(t *stepTracer, j *job, now time.Time) {
	if jt == nil {
		return
	}
	t.span(jt.parent, semconv.SpanQueue, j.submitted, now)
}

// prefill is the span of one chunk; the first one says how much came from the prefix store before it.
func (jt *jobTrace) prefill(t *stepTracer, j *job, batch runner.Step, from, to time.Time, more ...attribute.KeyValue) {
	if jt == nil {
		return
	}
	i := slices.IndexFunc(batch.Chunks, func(c runner.Chunk) bool { return c.Slot == j.seq.Slot() })
	if i < 0 {
		return
	}
	c := &batch.Chunks[i]
	if c.Past > 0 && c.Past == j.seq.Cached() {
		more = append(more, semconv.CachedTokens.Int(c.Past))
	}
	t.span(jt.parent, semconv.SpanPrefill, from, to, append(more,
		semconv.Tokens.Int(len(c.Tokens)),
		semconv.BatchSize.Int(batch.Sequences()),
		semconv.Slot.Int(c.Slot),
		semconv.ContextLength.Int(c.Past+len(c.Tokens)))...)
}

// token is the span of the run that led to the job's latest token: the last prefill for the first token, a decode for
// each other.
func (jt *jobTrace) token(t *stepTracer, j *job, q *sched.Sequence, batch runner.Step, from time.Time) {
	if jt == nil {
		return
	}
	now := time.Now()
	index := semconv.TokenIndex.Int(j.count - 1)
	if j.count == 1 && j.forked { // the span is its twin's
		return
	}
	if j.count == 1 {
		jt.prefill(t, j, batch, from, now, index)
		return
	}
	t.span(jt.parent, semconv.SpanDecode, from, now,
		index,
		semconv.Tokens.Int(1),
		semconv.BatchSize.Int(batch.Sequences()),
		semconv.Slot.Int(q.Slot()),
		semconv.ContextLength.Int(len(j.req.Prompt)+j.count-1))
}

// preempted notes in the caller's span that the request lost its slot to others, which grew.
func (jt *jobTrace) preempted(q *sched.Sequence) {
	if jt == nil {
		return
	}
	trace.SpanFromContext(jt.parent).AddEvent(semconv.EventPreempted,
		trace.WithAttributes(semconv.Preemptions.Int(q.Preemptions())))
}

// resumed notes in the caller's span that the request has a slot again.
func (jt *jobTrace) resumed() {
	if jt == nil {
		return
	}
	trace.SpanFromContext(jt.parent).AddEvent(semconv.EventResumed)
}

// end makes the spans that the end of the job completes, once.
func (jt *jobTrace) end(t *stepTracer, j *job, now time.Time) {
	if jt == nil || jt.ended {
		return
	}
	jt.ended = true
	if j.started.IsZero() {
		jt.queue(t, j, now)
	}
	if j.count > 0 {
		t.span(jt.parent, semconv.SpanDetokenize, j.first, now, semconv.Tokens.Int(j.count))
	}
}
