package engine

import "github.com/sluiceml/sluice/inference/sched"

// A prompt that rides along with sequences that decode may make a step longer by a share of what the step takes without
// it, guesses included. With this share the streams' tokens come less than 1.5 times as far apart. The prompt gets a
// third of the time, so that its first token takes about three times as long as it would alone. Fewer streams give it
// more: among them a new one counts for more.
const (
	ridingShare = 0.48
	fullRows    = 8 // from so many streams on the share is as above; half of them give it twice as much
	leastRiding = 4 // tokens, however long they take
	// stale is the number of steps with chunks after which one runs without, to measure again what rows alone take.
	stale = 32
)

// pace is how many tokens of prompts ride along in the next step, by what steps have taken lately.
func (e *Engine) pace() sched.Pace {
	rows := e.sched.Decoding()
	if e.cfg.RidingSize > 0 || rows == 0 {
		return sched.Pace{Each: e.cfg.RidingSize}
	}
	c := &e.costs
	alone := c.of(rows + c.guesses())
	if alone == 0 || c.chunk == 0 {
		return sched.Pace{Each: mixedRiding}
	}
	if c.since >= stale {
		return sched.Pace{Hold: true}
	}
	if most := e.cfg.MaxStep.Seconds(); most > 0 {
		return sched.Pace{Most: e.riding((most - alone) / c.chunk)}
	}
	share := ridingShare * max(1, fullRows/float64(rows))
	tokens := share*alone/c.chunk + e.carry
	each := e.riding(tokens)
	e.carry = min(max(0, tokens-float64(each)), 1) // the next step has it
	return sched.Pace{Each: each}
}

// riding is a whole number of tokens, within bounds.
func (e *Engine) riding(tokens float64) int {
	return int(min(max(tokens, leastRiding), float64(e.cfg.ChunkSize)))
}
