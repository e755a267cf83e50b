package engine

import (
	"context"
	"io"
	"time"

	"github.com/sluiceml/sluice/inference/runner"
	"github.com/sluiceml/sluice/inference/sched"
)

// Group is the reader's end of several outputs of one request. Each is a sequence of its own, and they end together only
// where the reader closes them all. One goroutine at a time may call Next; the other methods may be called from any.
type Group struct {
	*signals

	outputs []*Output
	at      int  // whose turn it is
	twins   bool // they have the same prompt
}

// SubmitGroup is Submit for as many outputs of a request as there are decoders, one for each, in place of the request's.
// Output i is what a request of its own with the seed Sampling.Seed + i would give, and PromptLogprobs come with output
// 0. All of them are admitted, or none. The Group must be read to its end or closed.
func (e *Engine) SubmitGroup(ctx context.Context, r Request, decoders []Decoder) (*Group, error) {
	requests := make([]Request, len(decoders))
	for i, d := range decoders {
		requests[i] = r
		requests[i].Decoder = d
		requests[i].Sampling.Seed += uint64(i)
		if i > 0 {
			requests[i].PromptLogprobs = Logprobs{}
		}
	}
	return e.group(ctx, requests, true)
}

// SubmitBatch is Submit for several requests that have one reader and each a prompt of its own: all are admitted, as one
// request that waits, or none. There is at least one, and they are of one tenant and priority. The Group must be read to its
// end or closed.
func (e *Engine) SubmitBatch(ctx context.Context, requests []Request) (*Group, error) {
	return e.group(ctx, requests, false)
}

func (e *Engine) group(ctx context.Context, requests []Request, twins bool) (*Group, error) {
	outputs, err := e.submit(ctx, requests, twins)
	if err != nil {
		return nil, err
	}
	return &Group{signals: outputs[0].signals, outputs: outputs, twins: twins}, nil
}

// Next waits for the next Update of any output, and says whose it is. The outputs take turns. After the last update of
// the last output it returns io.EOF; the first output that ends without a Finish ends the Group with its error. If ctx
// ends first, Next returns its cause and the request goes on.
func (g *Group) Next(ctx context.Context) (index int, u Update, err error) {
	for {
		index, u, err, ok := g.take()
		if ok {
			return index, u, err
		}
		select {
		case <-g.ready:
		case <-ctx.Done():
			return 0, Update{}, context.Cause(ctx)
		}
	}
}

// take is what Next returns, if there is anything yet.
func (g *Group) take() (index int, u Update, err error, ok bool) {
	if g.outputs[0].tellsOfPrompt() {
		g.at = 0
	}
	ended := 0
	for range g.outputs {
		i := g.at
		g.at = (i + 1) % len(g.outputs)
		u, err, ok := g.outputs[i].take()
		switch {
		case !ok:
		case err == io.EOF: //nolint:errorlint // exactly that
			ended++
		default:
			return i, u, err, true
		}
	}
	return 0, Update{}, io.EOF, ended == len(g.outputs)
}

// tellsOfPrompt says whether the reader has log-probabilities of the prompt to take, which come before everything else.
func (o *Output) tellsOfPrompt() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.mu.prompt) > 0
}

// Summary is the account of all outputs together. A prompt that they share counts once. The times up to the first token
// are the first output's; decoding lasts until the last output ends.
func (g *Group) Summary() Summary {
	all := g.outputs[0].Summary()
	end := all.Timings.TimeToFirstToken + all.Timings.Decode
	for _, o := range g.outputs[1:] {
		s := o.Summary()
		if !g.twins {
			all.Usage.PromptTokens += s.Usage.PromptTokens
			all.Usage.CachedTokens += s.Usage.CachedTokens
		}
		all.Usage.CompletionTokens += s.Usage.CompletionTokens
		all.Usage.ReasoningTokens += s.Usage.ReasoningTokens
		if s.Usage.CompletionTokens > 0 {
			end = max(end, s.Timings.TimeToFirstToken+s.Timings.Decode)
		}
	}
	if all.Timings.TimeToFirstToken > 0 {
		all.Timings.Decode = end - all.Timings.TimeToFirstToken
	}
	return all
}

// Started says whether the request has been in a step.
func (g *Group) Started() bool { return g.outputs[0].Started() }

// Stalled is closed when an output has lost its slot because the reader took nothing for too long: see Output.Stalled.
func (g *Group) Stalled() <-chan struct{} { return g.stalled }

// Submitted is when the request was submitted.
func (g *Group) Submitted() time.Time { return g.outputs[0].Submitted() }

// Close ends what has not ended of the request. It is idempotent.
func (g *Group) Close() {
	for _, o := range g.outputs {
		o.Close()
	}
}

// pair makes the sequences of several outputs twins, so that their prompt is run once.
func pair(jobs []*job) {
	if len(jobs) == 1 {
		return
	}
	twins := make([]*sched.Sequence, len(jobs))
	for i, j := range jobs {
		twins[i] = &j.seq
		j.seq.Twins = twins
	}
}

// fork starts a job with the logits after its twin's prompt and draws its first token.
func (e *Engine) fork(q *sched.Sequence, row []float32, batch runner.Step, now stepTimes) sched.Result {
	j := jobOf(q)
	e.inbox.start(j.ticket)
	j.started, j.prefilled, j.forked = now.started, now.ended, true
	e.prepareGuesses(j)
	j.out.start(j.summary(now.started))
	j.trace.queue(e.tracer, j, now.started)
	return e.advance(q, draw(jobOf(q), row, e.scratch), batch, now)
}
