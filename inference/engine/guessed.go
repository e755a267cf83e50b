package engine

import "slices"

// guessed are the last steps with rows and without chunks: how long steps get by themselves.
type guessed struct {
	last [64]guessedStep // a ring
	next int

	// Memory of lately.

	guesses [64]int
	delays  [64]float64
}

// guessedStep is a step.
type guessedStep struct {
	guesses int
	delay   float64 // how many times as long it took as was expected
	step    int     // its number; 0: none
}

const (
	// memory is for how many steps one counts: others may run by then.
	memory = 1024
	// mostDelayed bounds what counts as a delay that comes now and then: more is another machine than before.
	mostDelayed = 1.5
)

// add takes note of a step.
func (g *guessed) add(s guessedStep) {
	g.last[g.next] = s
	g.next = (g.next + 1) % len(g.last)
}

// lately are the numbers of guesses and the delays of the steps that count, each least first, until the next call; of one
// without either if none does.
func (g *guessed) lately(step int) (guesses []int, delays []float64) {
	n := 0
	for _, l := range g.last {
		if l.step > 0 && step-l.step < memory {
			g.guesses[n], g.delays[n] = l.guesses, l.delay
			n++
		}
	}
	if n == 0 {
		g.guesses[0], g.delays[0] = 0, 1
		n++
	}
	guesses, delays = g.guesses[:n], g.delays[:n]
	slices.Sort(guesses)
	slices.Sort(delays)
	return guesses, delays
}

// besideChunk is how many guesses go beside a chunk, where there were so many without: half of them. What they take they
// take from the chunk, so that fewer of them cost the sequences no more in all: the chunk is gone sooner.
func besideChunk(guesses int) int { return (guesses + 1) / 2 }

// guesses is the most that all rows together have beside a chunk.
func (c *costs) guesses() int {
	all, _ := c.guessed.lately(c.steps)
	sum := 0
	for _, n := range all {
		sum += n
	}
	return besideChunk((sum + len(all)/2) / len(all))
}

// around is what a step with so many rows takes: beside a chunk, with the guesses that it has there, but without the chunk's
// own share; and without a chunk, with as many guesses as at the 95th percentile. While nothing was seen, both are 0. delay
// is how many times as long as expected steps without a chunk take at the 95th percentile, at least 1.
func (c *costs) around(rows int) (beside, slow, delay float64) {
	guesses, delays := c.guessed.lately(c.steps)
	for _, n := range guesses {
		beside += c.of(rows+besideChunk(n)) / float64(len(guesses))
	}
	i := len(guesses) * 95 / 100
	return beside, max(beside, c.of(rows+guesses[i])), min(max(1, delays[i]), mostDelayed)
}
