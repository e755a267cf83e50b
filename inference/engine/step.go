package engine

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/sluiceml/sluice/inference/runner"
	"github.com/sluiceml/sluice/inference/sampling"
	"github.com/sluiceml/sluice/inference/sched"
)

// step plans and runs one step and hands out its results. It says whether there was anything to run.
func (e *Engine) step(ctx context.Context) (ran bool, err error) {
	plan := e.sched.Schedule()
	for _, q := range plan.Preempted {
		jobOf(q).trace.preempted(q)
	}
	for _, c := range plan.Copies {
		if err := e.session.CopySlot(c.Dst, c.Src, c.Length); err != nil {
			return false, &FailedError{Err: fmt.Errorf("copy slot %d to %d: %w", c.Src, c.Dst, err)}
		}
	}
	for _, slot := range plan.Release {
		e.session.ReleaseSlot(slot)
	}
	e.stats.publish(e.sched)
	if plan.Empty() {
		return false, nil
	}

	started := time.Now()
	e.admit(plan.Chunk, started)
	e.speculate(plan)
	batch := e.batch.Build(plan)
	if c := plan.Chunk; c.Sequence != nil {
		batch.Chunk.Rows = jobOf(c.Sequence).scores(c)
	}
	if c := plan.Chunk; len(c.Load) > 0 {
		if err := e.session.LoadBlocks(c.Sequence.Slot(), c.Load, c.Past); err != nil {
			return false, &FailedError{Err: fmt.Errorf("load %d blocks: %w", len(c.Load), err)}
		}
	}
	logits, err := e.session.Step(batch)
	ended := time.Now()
	e.meter.record(e.tracer.step(ctx, plan, batch, started, ended, err), batch, ended.Sub(started))
	if c := batch.Chunk; c != nil {
		e.stats.prefilled.Add(int64(len(c.Tokens)))
	}
	if err == nil {
		err = checkShape(batch, logits, e.limits.VocabSize)
	}
	if err != nil {
		return false, &FailedError{Err: fmt.Errorf("step: %w", err)}
	}

	now := stepTimes{started: started, ended: ended}
	e.results, e.forks = e.results[:0], e.forks[:0]
	drawn := e.drawAll(plan.Decode, logits.Decode)
	for i, q := range plan.Decode {
		e.results = append(e.results, e.advanceDrafted(q, drawn[i], logits.Draft, batch, now)) //nolint:contextcheck // a measurement belongs to its request, not to the step
	}
	var chunk sched.Result
	if c := plan.Chunk; c.Sequence != nil {
		chunk = e.advanceChunk(c, logits, batch, now) //nolint:contextcheck // as above
	}
	if c := plan.Chunk; len(c.Save) > 0 { // after the tokens are out: nobody waits for it
		if err := e.session.SaveBlocks(c.Sequence.Slot(), c.SaveFrom, c.Save); err != nil {
			return false, &FailedError{Err: fmt.Errorf("save %d blocks: %w", len(c.Save), err)}
		}
	}
	e.speed.see(batch, 1+accepted(e.results), now.ended.Sub(now.started))
	e.sched.Update(e.results, chunk, e.forks...)
	e.stats.publish(e.sched)
	return true, nil
}

// stepTimes are when a step's run began and ended.
type stepTimes struct{ started, ended time.Time }

// admit marks the first step of a job.
func (e *Engine) admit(c sched.Chunk, now time.Time) {
	if !c.First {
		return
	}
	j := jobOf(c.Sequence)
	if c.Sequence.Preemptions() > 0 {
		j.trace.resumed()
		return
	}
	e.inbox.start(j.ticket)
	j.started = now
	e.prepareGuesses(j)
	j.out.start(j.summary(now))
	j.trace.queue(e.tracer, j, now)
}

// advanceChunk settles a chunk: after the last one the first token is drawn.
func (e *Engine) advanceChunk(c sched.Chunk, logits runner.Logits, batch runner.Step, now stepTimes) sched.Result {
	j := jobOf(c.Sequence)
	if err := e.scorePrompt(j, c, logits.Rows, now.ended); err != nil {
		e.end(j, nil, err)
		for _, q := range c.Forks { // other outputs of the same request
			e.end(jobOf(q), nil, err)
			e.forks = append(e.forks, sched.Result{Done: true})
		}
		return sched.Result{Done: true}
	}
	if !c.Last {
		j.trace.prefill(e.tracer, j, batch, now.started, now.ended)
		return sched.Result{}
	}
	if len(c.Forks) > 0 {
		e.row = append(e.row[:0], logits.Chunk...) // drawing changes the logits
	}
	var result sched.Result
	if c.Sequence.Replaying() { // its first token is known
		j.trace.prefill(e.tracer, j, batch, now.started, now.ended)
	} else {
		j.prefilled = now.ended
		result = e.advance(c.Sequence, draw(j, logits.Chunk, e.scratch), batch, now)
	}
	for _, q := range c.Forks {
		copy(logits.Chunk, e.row)
		e.forks = append(e.forks, e.fork(q, logits.Chunk, batch, now))
	}
	return result
}

// scorePrompt hands the log-probabilities of the prompt's tokens to the reader, if there are rows for them. The error is
// how the request ends.
func (e *Engine) scorePrompt(j *job, c sched.Chunk, rows [][]float32, now time.Time) (err error) {
	if rows == nil {
		return nil
	}
	if j.entries, err = j.scorePrompt(j.entries[:0], c, rows, e.scratch); err != nil {
		return &FailedError{Err: fmt.Errorf("request %s: %w", j.req.ID, err)}
	}
	if j.out.putPrompt(j.entries, now, e.cfg.ReaderTimeout) {
		return ErrSlowReader
	}
	j.entries = j.entries[:0] // a token may want none
	return nil
}

// advance hands a job's next token to the reader. A fault of this job alone, a panic of its sampler or decoder included,
// ends it and leaves the others unharmed.
func (e *Engine) advance(q *sched.Sequence, d drawing, batch runner.Step, now stepTimes) (r sched.Result) {
	j := jobOf(q)
	defer func() {
		if p := recover(); p != nil {
			e.end(j, nil, &FailedError{
				Err: fmt.Errorf("request %s: %w", j.req.ID, &PanicError{Value: p, stack: debug.Stack()}),
			})
			r = sched.Result{Done: true}
		}
	}()

	id, err := d.id, d.err
	if errors.Is(err, sampling.ErrExcluded) {
		e.end(j, nil, &ExcludedError{Token: j.count})
		return sched.Result{Done: true}
	}
	if err != nil {
		e.end(j, nil, &FailedError{Err: fmt.Errorf("request %s: token %d: %w", j.req.ID, j.count, err)})
		return sched.Result{Done: true}
	}
	if j.count == 1 {
		j.first = time.Now()
	}
	text, finish := j.read(e.text[:0], id)
	e.text = text
	j.trace.token(e.tracer, j, q, batch, now.started)
	e.stats.decoded.Add(1)
	if j.count > 1 {
		e.meter.token(j.trace, now.ended.Sub(j.last))
	}
	if finish == nil {
		j.last = now.ended
		if j.count == 1 {
			j.last = j.first
		}
		if j.out.put(text, id, j.entries, now.ended, e.cfg.ReaderTimeout, j.summary(now.ended)) {
			e.end(j, nil, ErrSlowReader)
			return sched.Result{Done: true}
		}
		return sched.Result{Token: id}
	}
	j.last = time.Now()
	j.out.put(text, id, j.entries, now.ended, e.cfg.ReaderTimeout, j.summary(now.ended))
	e.end(j, finish, nil)
	return sched.Result{Done: true}
}

// checkShape guards against a session that breaks its contract.
func checkShape(batch runner.Step, logits runner.Logits, vocab int) error {
	if len(logits.Decode) != len(batch.Decode) {
		return fmt.Errorf("%d rows of logits for %d decode rows", len(logits.Decode), len(batch.Decode))
	}
	if len(batch.Decode) == 1 && len(logits.Draft) != len(batch.Decode[0].Draft) {
		return fmt.Errorf("%d rows of logits for a draft of %d", len(logits.Draft), len(batch.Decode[0].Draft))
	}
	for _, rows := range [...][][]float32{logits.Decode, logits.Draft} {
		for i, row := range rows {
			if len(row) != vocab {
				return fmt.Errorf("row %d has %d logits, not %d", i, len(row), vocab)
			}
		}
	}
	c := batch.Chunk
	if c != nil && c.Logits && len(logits.Chunk) != vocab {
		return fmt.Errorf("the chunk has %d logits, not %d", len(logits.Chunk), vocab)
	}
	if c != nil && c.Rows && len(logits.Rows) != len(c.Tokens) {
		return fmt.Errorf("the chunk has %d rows of logits for %d tokens", len(logits.Rows), len(c.Tokens))
	}
	for i, row := range logits.Rows {
		if len(row) != vocab {
			return fmt.Errorf("row %d of the chunk has %d logits, not %d", i, len(row), vocab)
		}
	}
	return nil
}
