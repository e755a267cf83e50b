package engine

import (
	"github.com/sluiceml/sluice/inference/runner"
	"github.com/sluiceml/sluice/inference/sched"
	"github.com/sluiceml/sluice/inference/speculate"
)

// prepareGuesses takes memory for guesses of a job that gets a slot, up to 50 bytes for each of its tokens.
func (e *Engine) prepareGuesses(j *job) {
	if e.limits.MaxDraft > 0 && !e.cfg.NoSpeculation && j.pool == nil {
		j.lookup = speculate.New(j.req.Prompt, j.limit)
		if e.drafter != nil {
			j.rate = e.drafter.rate
		}
	}
}

// speculate gives the sequences that decode drafts of what may follow, as far as they are expected to pay, or of what is
// known to. Unless the session takes any tokens in one pass, only one that is alone has any. What was looked up comes
// first, as it costs nothing; beside chunks the draft model, which takes time of its own, is not asked. The error is the
// draft model's.
func (e *Engine) speculate(plan *sched.Plan) error {
	for _, q := range plan.Decode {
		q.Draft = nil
	}
	if e.limits.MaxDraft == 0 || !e.limits.Uniform && (len(plan.Decode) != 1 || len(plan.Chunks) > 0) {
		return nil
	}
	e.drafts = e.drafts[:0]
	guessed, room := false, e.sched.Room()
	for _, q := range plan.Decode {
		most := min(e.limits.MaxDraft, e.limits.MaxLength-q.Past()-1, room)
		if q.Replaying() { // alone: a uniform session has nothing to feed again
			q.Draft = q.Replay(most)
			return nil
		}
		var d speculate.Draft
		j := jobOf(q)
		if j.asked = false; j.lookup != nil {
			j.draft = j.grammar.cut(j.lookup.Propose(j.draft[:0], min(most, j.limit-j.count-1)))
			d = speculate.Draft{Tokens: len(j.draft), Rate: j.lookup.Rate()}
		}
		guessed = guessed || d.Tokens > 0
		e.drafts = append(e.drafts, d)
	}
	ask := e.drafter != nil && len(plan.Decode) > 0 && len(plan.Chunks) == 0
	if !guessed && !ask || !e.costs.known(len(plan.Decode)) { // without guesses it is seen what they are compared with
		return nil
	}
	prompted := 0
	for _, c := range plan.Chunks {
		prompted += len(c.Tokens)
	}
	e.with = e.costs.with(e.with[:0], len(plan.Decode), prompted)
	total := min(len(e.with)-1, room)
	if prompted > 0 { // a longer step would make more guesses pay, and they it longer
		total = min(total, e.costs.guesses())
	}
	speculate.Choose(e.drafts, len(plan.Decode), total, e.with)
	for i, q := range plan.Decode {
		if n := e.drafts[i].Take; n > 0 {
			q.Draft = jobOf(q).draft[:n]
		}
	}
	if !ask {
		return nil
	}
	return e.guess(plan, room)
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
	if jobOf(q).asked {
		e.stats.modelDrafted.Add(int64(len(q.Draft)))
		e.stats.modelAccepted.Add(int64(accepted))
		e.drafter.see(q, accepted, !r.Done && accepted < len(q.Draft))
	}
	r.Accepted = accepted
	return r
}
