package engine

import "github.com/sluiceml/sluice/inference/sched"

// A prompt that rides along with sequences that decode makes their steps longer: the slow ones of their gaps, at the 95th
// percentile of what they are without it, get less than 1.5 times as long, and the prompt gets no more than half of the
// time. Where all steps take the same it gets a third, and its first token takes three times as long as alone. Where guesses
// make steps long there is room for more, as beside it there are fewer, and where something delays steps now and then, as
// that does not come more often in a longer one. Fewer streams give it more: among them a new one counts for more.
const (
	slowShare   = 0.49 // of a slow step, for the prompt
	delayShare  = 0.33 // of its delay: less, as a longer one is delayed by a little more
	fullRows    = 8    // from so many streams on that holds; half of them give it twice as much
	leastRiding = 4    // tokens, however long they take
	// stale is the number of steps with chunks after which one runs without, to measure again what rows alone take.
	stale = 24
)

// pace is how many tokens of prompts ride along in the next step, by what steps have taken lately.
func (e *Engine) pace() sched.Pace {
	rows := e.sched.Decoding()
	if e.cfg.RidingSize > 0 || rows == 0 {
		return sched.Pace{Each: e.cfg.RidingSize}
	}
	if e.sched.Running() == rows && e.sched.Waiting() == 0 { // there is nothing to pace
		return sched.Pace{Each: mixedRiding}
	}
	c := &e.costs
	beside, slow, delay := c.around(rows)
	if beside == 0 || c.chunk == 0 {
		return sched.Pace{Each: mixedRiding}
	}
	if c.since >= stale {
		return sched.Pace{Hold: true}
	}
	if most := e.cfg.MaxStep.Seconds(); most > 0 {
		return sched.Pace{Most: e.riding((most - beside) / c.chunk)}
	}
	seconds := min(slow-beside+slow*(slowShare+delayShare*(delay-1)), beside)
	if rows < fullRows {
		seconds = max(seconds, slowShare*beside*fullRows/float64(rows))
	}
	tokens := seconds/c.chunk + e.carry
	each := e.riding(tokens)
	e.carry = min(max(0, tokens-float64(each)), 1) // the next step has it
	return sched.Pace{Each: each}
}

// riding is a whole number of tokens, within bounds.
func (e *Engine) riding(tokens float64) int {
	return int(min(max(tokens, leastRiding), float64(e.cfg.ChunkSize)))
}
