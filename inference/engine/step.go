package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sluiceml/sluice/inference/grammar"
	"github.com/sluiceml/sluice/inference/runner"
	"github.com/sluiceml/sluice/inference/sampling"
	"github.com/sluiceml/sluice/inference/sched"
	"github.com/sluiceml/sluice/internal/panics"
)

// step plans and runs one step and hands out its results. It says whether there was anything to run.
func (e *Engine) step(ctx context.Context) (ran bool, err error) {
	e.sched.SetPace(e.pace())
	plan := e.sched.Schedule()
	for _, q := range plan.Preempted {
		jobOf(q).trace.preempted(q)
	}
	if err := e.prepare(plan); err != nil {
		return false, &FailedError{Err: err}
	}
	e.stats.publish(e.sched)
	if plan.Empty() {
		return false, nil
	}

	started := time.Now()
	if err := e.admit(plan.Starts, started); err != nil {
		return false, &FailedError{Err: err}
	}
	if err := e.speculate(plan); err != nil {
		return false, &FailedError{Err: err}
	}
	batch := e.batch.Build(plan)
	for i, q := range plan.Decode {
		batch.Decode[i].Greedy = jobOf(q).greedy
	}
	for i, c := range plan.Chunks {
		j := jobOf(c.Sequence)
		batch.Chunks[i].Greedy, batch.Chunks[i].Rows = j.greedy, j.scores(c)
	}
	pooled(batch, plan)
	entered := time.Now()
	logits, err := e.session.Step(batch)
	ended := time.Now()
	e.turn.yield(ended.Sub(entered), ended)
	e.meter.record(e.tracer.step(ctx, plan, batch, started, ended, err), batch, ended.Sub(started))
	e.stats.prefilled.Add(int64(batch.Prompted()))
	if err == nil {
		err = checkShape(batch, logits, e.limits)
	}
	if err != nil {
		return false, &FailedError{Err: fmt.Errorf("step: %w", err)}
	}

	e.settle(plan, batch, logits, stepTimes{started: started, ended: ended}) //nolint:contextcheck // a measurement belongs to its request, not to the step
	e.costs.see(batch, ended.Sub(entered))
	e.speed.see(batch, 1+mostAccepted(e.results), ended.Sub(entered))
	e.sched.Update(e.results, e.chunks, e.forks...)
	e.stats.publish(e.sched)
	return true, nil
}

// prepare does what a plan wants to be done with slots and the prefix store before anything starts.
func (e *Engine) prepare(plan *sched.Plan) error {
	for _, s := range plan.Save { // after the tokens are out: nobody waits for it
		if err := e.session.SaveBlocks(s.Slot, s.From, s.Blocks); err != nil {
			return fmt.Errorf("save %d blocks: %w", len(s.Blocks), err)
		}
	}
	for _, c := range plan.Copies {
		if err := e.session.CopySlot(c.Dst, c.Src, c.Length); err != nil {
			return fmt.Errorf("copy slot %d to %d: %w", c.Src, c.Dst, err)
		}
	}
	for _, slot := range plan.Release {
		e.session.ReleaseSlot(slot)
		e.drafter.release(slot)
	}
	return nil
}

// admit marks the first step of jobs and loads what the prefix store has of their prompts.
func (e *Engine) admit(starts []sched.Start, now time.Time) error {
	for _, s := range starts {
		j := jobOf(s.Sequence)
		if s.Sequence.Preemptions() > 0 {
			j.trace.resumed()
		} else {
			e.inbox.start(j.ticket)
			j.started = now
			e.prepareGuesses(j)
			j.out.start(j.summary(now))
			j.trace.queue(e.tracer, j, now)
		}
		if len(s.Load) == 0 {
			continue
		}
		if err := e.session.LoadBlocks(s.Sequence.Slot(), s.Load, s.Length); err != nil {
			return fmt.Errorf("load %d blocks: %w", len(s.Load), err)
		}
	}
	return nil
}

// settle draws the tokens of a step and hands them out, and sets the results for the scheduler.
func (e *Engine) settle(plan *sched.Plan, batch runner.Step, logits runner.Logits, now stepTimes) {
	e.results, e.chunks, e.forks = e.results[:0], e.chunks[:0], e.forks[:0]
	drawn, drafted := e.drawAll(plan.Decode, logits.Decode), logits.Draft
	for i, q := range plan.Decode {
		n := len(q.Draft)
		e.results = append(e.results, e.advanceDrafted(q, drawn[i], drafted[:n], batch, now))
		drafted = drafted[n:]
	}
	hidden := logits.Hidden
	for i, c := range plan.Chunks {
		if j := jobOf(c.Sequence); j.pool != nil {
			var states []float32
			if batch.Chunks[i].Hidden {
				states, hidden = hidden[0], hidden[1:]
			}
			e.chunks = append(e.chunks, e.advancePooled(j, c, states, batch, now))
			continue
		}
		var rows [][]float32
		if batch.Chunks[i].Rows {
			rows = logits.Rows
		}
		e.chunks = append(e.chunks, e.advanceChunk(c, logits.Chunks[i], rows, batch, now))
	}
	e.waker.wake()
}

// stepTimes are when a step's run began and ended.
type stepTimes struct{ started, ended time.Time }

// advanceChunk settles a chunk: after the last one the first token is drawn.
func (e *Engine) advanceChunk(c sched.Chunk, row []float32, rows [][]float32, batch runner.Step, now stepTimes) sched.Result {
	j := jobOf(c.Sequence)
	if err := e.scorePrompt(j, c, rows, now.ended); err != nil {
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
		e.row = append(e.row[:0], row...) // drawing changes the logits
	}
	var result sched.Result
	if c.Sequence.Replaying() { // its first token is known
		j.trace.prefill(e.tracer, j, batch, now.started, now.ended)
	} else {
		j.prefilled = now.ended
		result = e.advance(c.Sequence, draw(j, row, e.scratch), batch, now)
	}
	for _, q := range c.Forks {
		copy(row, e.row)
		e.forks = append(e.forks, e.fork(q, row, batch, now))
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
				Err: fmt.Errorf("request %s: %w", j.req.ID, panics.New(p)),
			})
			r = sched.Result{Done: true}
		}
	}()

	id, err := d.id, d.err
	if errors.Is(err, sampling.ErrExcluded) {
		e.end(j, nil, &ExcludedError{Token: j.count})
		return sched.Result{Done: true}
	}
	if errors.Is(err, grammar.ErrAmbiguous) {
		e.end(j, nil, &AmbiguousError{Token: j.count})
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
		fresh, stalled := j.out.put(text, id, j, now.ended, e.cfg.ReaderTimeout, j.summary(now.ended))
		if stalled {
			e.end(j, nil, ErrSlowReader)
			return sched.Result{Done: true}
		}
		if fresh {
			e.waker.add(j.out.signals)
		}
		return sched.Result{Token: id}
	}
	j.last = time.Now()
	j.out.put(text, id, j, now.ended, e.cfg.ReaderTimeout, j.summary(now.ended))
	e.end(j, finish, nil)
	return sched.Result{Done: true}
}

// checkShape guards against a session that breaks its contract.
func checkShape(batch runner.Step, logits runner.Logits, l runner.Limits) error {
	vocab, hidden := l.VocabSize, 0
	if len(logits.Decode) != len(batch.Decode) || len(logits.Draft) != batch.Drafted() || len(logits.Chunks) != len(batch.Chunks) {
		return fmt.Errorf("%d, %d and %d rows of logits for %d decode rows, drafts of %d and %d chunks", len(logits.Decode),
			len(logits.Draft), len(logits.Chunks), len(batch.Decode), batch.Drafted(), len(batch.Chunks))
	}
	for _, rows := range [...][][]float32{logits.Decode, logits.Draft, logits.Rows} {
		for i, row := range rows {
			if len(row) != vocab {
				return fmt.Errorf("row %d has %d logits, not %d", i, len(row), vocab)
			}
		}
	}
	for i, c := range batch.Chunks {
		if c.Logits && len(logits.Chunks[i]) != vocab {
			return fmt.Errorf("chunk %d has %d logits, not %d", i, len(logits.Chunks[i]), vocab)
		}
		if c.Hidden {
			if hidden >= len(logits.Hidden) || len(logits.Hidden[hidden]) != len(c.Tokens)*l.HiddenSize {
				return fmt.Errorf("chunk %d of %d tokens has no hidden states of %d values each", i, len(c.Tokens), l.HiddenSize)
			}
			hidden++
		}
		if c.Rows && len(logits.Rows) != len(c.Tokens) {
			return fmt.Errorf("chunk %d has %d rows of logits for %d tokens", i, len(logits.Rows), len(c.Tokens))
		}
	}
	return nil
}
