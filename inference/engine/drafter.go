package engine

import (
	"errors"
	"fmt"
	"time"

	"github.com/sluiceml/sluice/inference/runner"
	"github.com/sluiceml/sluice/inference/sampling"
	"github.com/sluiceml/sluice/inference/sched"
	"github.com/sluiceml/sluice/inference/speculate"
)

// drafter guesses with a draft model: a smaller one with the same vocabulary, which finds some likeliest tokens one after
// the other before the model checks them in one step (Leviathan et al. 2023; Chen et al. 2023). It guesses where nothing
// repeats itself and nothing was looked up, and where, by what both models' steps take and by how often it was right
// lately, it pays.
//
// It holds the keys and values of the sequences that it guesses for, in the slots that they have in the engine, and runs
// behind: what it lacks of a sequence it takes in chunks, beside the engine's steps.
type drafter struct {
	session runner.Session
	limits  runner.Limits
	costs   costs
	// vocabulary is how many tokens both models know, from 0 on: no other is guessed. Graphs pad the size of the one that
	// their tokenizers share, each to another multiple, so that neither needs to have all ids of the other.
	vocabulary int
	rate       speculate.Rate // of all sequences: what a new one begins with
	unpaid     int            // steps since it paid last
	slots      []heldDraft
	greedy     *sampling.Sampler
	scratch    *sampling.Scratch

	// Of the step that is prepared; the memory is used again.

	rows   []*sched.Sequence // for which it may guess
	rates  []float64
	step   runner.Step
	tokens []uint32 // of the step's chunks and of drafts
}

// heldDraft is what a slot of the draft model holds.
type heldDraft struct {
	owner  *job // whose tokens; nil: nobody's
	length int  // positions that are the owner's
	fed    int  // guesses behind them
}

// catchUp is the most tokens that the draft model takes in beside one step: as they hold it up, they are few.
const catchUp = 64

// newDrafter makes a drafter for a session with limits.
func newDrafter(session runner.Session, l runner.Limits) (*drafter, error) {
	d := session.Limits()
	switch {
	case !d.Uniform || d.MaxDraft < 1:
		return nil, errors.New("engine: the draft model's session is not uniform")
	case d.Slots < l.Slots:
		return nil, fmt.Errorf("engine: the draft model has %d slots for %d", d.Slots, l.Slots)
	}
	vocabulary := min(d.VocabSize, l.VocabSize)
	return &drafter{
		session: session, limits: d, vocabulary: vocabulary, costs: newCosts(d), rate: speculate.StartRate, slots: make([]heldDraft, d.Slots),
		greedy: sampling.New(sampling.Greedy(), 0, nil, 0), scratch: sampling.NewScratch(vocabulary),
	}, nil
}

// release forgets what a slot holds.
func (d *drafter) release(slot int) {
	if d == nil || d.slots[slot].owner == nil {
		return
	}
	d.slots[slot] = heldDraft{}
	d.session.ReleaseSlot(slot)
}

// guess gives sequences of a plan that decode and have no draft yet one of the draft model's, if that pays. e.drafts says what
// the others have, and e.with what the step takes. Of all drafts together there is room for so many tokens.
func (e *Engine) guess(plan *sched.Plan, room int) error {
	d := e.drafter
	d.rows, d.rates = d.rows[:0], d.rates[:0]
	check := speculate.Check{Tokens: float64(len(plan.Decode)), Cost: e.with}
	for i, q := range plan.Decode {
		if drafted := e.drafts[i]; drafted.Take > 0 {
			check.Taken += drafted.Take
			check.Tokens += drafted.Expected()
		} else if e.mostGuesses(q) > 0 {
			d.rows, d.rates = append(d.rows, q), append(d.rates, float64(jobOf(q).rate))
		}
	}
	if len(d.rows) == 0 {
		return nil
	}
	most := min(e.limits.MaxDraft, (room-check.Taken)/len(d.rows))
	each := d.costs.of(len(d.rows))
	if each == 0 {
		most = min(most, 2) // to see what it takes
	}
	length, gain := speculate.Length(d.rates, check, most, each)
	if length == 0 {
		d.despair()
		return nil
	}
	d.unpaid = 0
	ready, err := d.follow(e.with[0] * gain)
	if err != nil || len(ready) == 0 {
		return err
	}
	if err := e.ask(ready, length); err != nil {
		return err
	}
	for _, q := range plan.Decode {
		if j := jobOf(q); j.asked {
			q.Draft = j.grammar.cut(j.draft)
		}
	}
	return nil
}

// mostGuesses is how many tokens the draft model may guess for a sequence.
func (e *Engine) mostGuesses(q *sched.Sequence) int {
	j := jobOf(q)
	if j.lookup == nil || j.unguessable || q.Replaying() {
		return 0
	}
	return min(e.limits.MaxDraft, min(e.limits.MaxLength, e.drafter.limits.MaxLength)-q.Past()-1, j.limit-j.count-1)
}

// despair takes note that it does not pay. After a time that is forgotten, and it is tried again.
func (d *drafter) despair() {
	if d.unpaid++; d.unpaid < forgotten {
		return
	}
	d.unpaid, d.rate = 0, speculate.StartRate
	for _, q := range d.rows {
		jobOf(q).rate = d.rate
	}
}

// follow takes in what the draft model lacks of the sequences, some of it, and returns those of which it had all but what a
// guess takes in anyway. A step with guesses saves so many seconds: a sequence that has too little to go on for that to
// make up for what is lacking is left alone.
func (d *drafter) follow(saves float64) (ready []*sched.Sequence, err error) {
	ready, left := d.rows[:0], min(catchUp, d.limits.MaxChunk)
	d.step.Decode, d.step.Chunks, d.tokens = d.step.Decode[:0], d.step.Chunks[:0], d.tokens[:0]
	for _, q := range d.rows {
		j, h := jobOf(q), &d.slots[q.Slot()]
		if h.owner != j {
			*h = heldDraft{owner: j}
		}
		h.length, h.fed = min(h.length, q.Past()), 0
		lacks := q.Past() - h.length
		if lacks <= 1 && h.length > 0 {
			if d.knows(q, h.length, lacks+1) {
				ready = append(ready, q)
			}
			continue
		}
		if float64(lacks)*d.costs.chunk > saves*float64(j.limit-j.count)/2 {
			continue
		}
		if n := min(lacks, left); n > 0 && d.knows(q, h.length, n) {
			first := len(d.tokens)
			for i := range n {
				d.tokens = append(d.tokens, q.At(h.length+i))
			}
			d.step.Chunks = append(d.step.Chunks, runner.Chunk{Slot: q.Slot(), Tokens: d.tokens[first:], Past: h.length})
			h.length, left = h.length+n, left-n
		}
	}
	if len(d.step.Chunks) == 0 {
		return ready, nil
	}
	_, err = d.run()
	return ready, err
}

// knows says whether the draft model has n tokens of a sequence from a position on, which it is about to take in. A sequence
// with another token is not guessed for again.
func (d *drafter) knows(q *sched.Sequence, from, n int) bool {
	for i := range n {
		if int64(q.At(from+i)) >= int64(d.limits.VocabSize) {
			jobOf(q).unguessable = true
			return false
		}
	}
	return true
}

// ask has the draft model guess so many tokens for each of the sequences, or as many as they may have.
func (e *Engine) ask(rows []*sched.Sequence, length int) error {
	d := e.drafter
	for _, q := range rows {
		j := jobOf(q)
		j.draft, j.asked = j.draft[:0], true
	}
	for n := range length {
		d.step.Decode, d.step.Chunks, d.tokens = d.step.Decode[:0], d.step.Chunks[:0], d.tokens[:0]
		asked := rows[:0]
		for _, q := range rows {
			if n < e.mostGuesses(q) {
				asked = append(asked, q)
				d.feed(q, n)
			}
		}
		if rows = asked; len(rows) == 0 {
			break
		}
		logits, err := d.run()
		if err != nil {
			return err
		}
		d.read(rows, logits)
	}
	return nil
}

// whole says whether all of a row of logits is read: then only its best one is. The best of a part is another.
func (d *drafter) whole() bool { return d.vocabulary == d.limits.VocabSize }

// feed plans what leads to the n-th guess for a sequence: the token before it, which the first time may be two.
func (d *drafter) feed(q *sched.Sequence, n int) {
	j, h := jobOf(q), &d.slots[q.Slot()]
	if n > 0 {
		d.step.Decode = append(d.step.Decode, runner.DecodeRow{Slot: q.Slot(), Token: j.draft[n-1], Past: h.length + h.fed, Greedy: d.whole()})
		h.fed++
		return
	}
	row := runner.DecodeRow{Slot: q.Slot(), Token: q.At(h.length), Past: h.length, Greedy: d.whole()}
	if h.length < q.Past() {
		first := len(d.tokens)
		d.tokens = append(d.tokens, q.At(q.Past()))
		row.Draft = d.tokens[first:]
	}
	d.step.Decode = append(d.step.Decode, row)
	h.length = q.Past() + 1
}

// read adds the likeliest tokens to the guesses. Where the draft model's numbers are none, as NaN, there is no guess for
// that sequence, now or later: what it would have saved is no reason to end a request, let alone all.
func (d *drafter) read(rows []*sched.Sequence, logits runner.Logits) {
	drafted := logits.Draft
	for i, q := range rows {
		j, row := jobOf(q), logits.Decode[i]
		if n := len(d.step.Decode[i].Draft); n > 0 {
			row, drafted = drafted[n-1], drafted[n:]
		}
		id, err := d.greedy.Sample(row[:d.vocabulary], d.scratch, 0)
		if err != nil { // a *sampling.LogitError
			j.draft, j.unguessable = j.draft[:0], true
			d.rate.See(0, true)
			continue
		}
		j.draft = append(j.draft, id)
	}
}

// run runs the prepared step.
func (d *drafter) run() (runner.Logits, error) {
	started := time.Now()
	logits, err := d.session.Step(d.step)
	if err != nil {
		return logits, fmt.Errorf("a step of the draft model: %w", err)
	}
	d.costs.see(d.step, time.Since(started))
	return logits, checkShape(d.step, logits, d.limits)
}

// see takes note of how many guesses for a sequence were right, and whether one was wrong.
func (d *drafter) see(q *sched.Sequence, right int, wrong bool) {
	h := &d.slots[q.Slot()]
	h.length, h.fed = h.length+min(right, h.fed), 0
	jobOf(q).rate.See(right, wrong)
	d.rate.See(right, wrong)
}
