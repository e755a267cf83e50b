package engine

import (
	"github.com/sluiceml/sluice/inference/runner"
	"github.com/sluiceml/sluice/inference/sched"
	"github.com/sluiceml/sluice/inference/speculate"
)

// prepareGuesses takes memory for guesses of a job that gets a slot, up to 50 bytes for each of its tokens.
func (e *Engine) prepareGuesses(j *job) {
	if e.limits.MaxDraft > 0 && !e.cfg.NoSpeculation {
		j.lookup = speculate.New(j.req.Prompt, j.limit)
	}
}

// speculate gives the one sequence that decodes a draft of what may follow, or of what is known to. Beside others there is none: a step of
// several rows already uses the processor well, and attention takes several tokens of one sequence only.
func (e *Engine) speculate(plan *sched.Plan) {
	for _, q := range plan.Decode {
		q.Draft = nil
	}
	if len(plan.Decode) != 1 || len(plan.Chunks) > 0 {
		return
	}
	q := plan.Decode[0]
	if q.Replaying() {
		q.Draft = q.Replay(min(e.limits.MaxDraft, e.limits.MaxLength-q.Past()-1))
		return
	}
	j := jobOf(q)
	if j.lookup == nil {
		return
	}
	most := min(e.limits.MaxDraft, j.limit-j.count-1, e.limits.MaxLength-q.Past()-1)
	j.draft = j.grammar.cut(j.lookup.Propose(j.draft[:0], most))
	q.Draft = j.draft
}

// mostAccepted is how many tokens of a step's drafts were right, of the row with most.
func mostAccepted(results []sched.Result) int {
	n := 0
	for _, r := range results {
		n = max(n, r.Accepted)
	}
	return n
}

// advanceDrafted draws a sequence's next token, and as many more as its draft has right: each is drawn from the logits
// after the one before it, as it would be in a step of its own.
func (e *Engine) advanceDrafted(q *sched.Sequence, d drawing, drafted [][]float32, batch runner.Step, now stepTimes) sched.Result {
	if q.Replaying() {
		return sched.Result{Accepted: len(q.Draft)}
	}
	r := e.advance(q, d, batch, now)
	if len(q.Draft) == 0 {
		return r
	}
	accepted := 0
	for ; accepted < len(q.Draft) && !r.Done && r.Token == q.Draft[accepted]; accepted++ {
		r = e.advance(q, draw(jobOf(q), drafted[accepted], e.scratch), batch, now)
	}
	e.stats.drafted.Add(int64(len(q.Draft)))
	e.stats.accepted.Add(int64(accepted))
	r.Accepted = accepted
	return r
}
