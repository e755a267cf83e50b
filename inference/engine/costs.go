package engine

import (
	"slices"
	"time"

	"github.com/sluiceml/sluice/inference/runner"
	"github.com/sluiceml/sluice/inference/speculate"
)

// costs are what steps take, as the engine has measured them lately. They decide how much goes into a step, never what
// comes out of it. All times are in seconds.
//
// What else than the number of tokens makes steps longer or shorter counts as a delay. So it is with rows that are not greedy,
// whose head reads twice as much: up to four rows that is a tenth to a fifth of a step, and with eight, from which on pace
// keeps its bound, next to nothing.
type costs struct {
	rows  []cost  // of a step that feeds so many tokens of decode rows and nothing else, by the number
	chunk float64 // of a token of a chunk, beside rows or in a long one that runs alone; 0: not seen yet
	// guessed are the last steps with rows and without chunks.
	guessed guessed
	since   int     // steps with rows and chunks since the last one with rows alone
	late    float64 // how many times as long as expected the last step took that had rows alone and followed one with chunks; 0: none
	steps   int
}

// cost is a measurement.
type cost struct {
	seconds float64 // 0: not seen yet
	step    int     // when it was seen last
}

// newCosts has room for the most tokens of decode rows that a step can feed.
func newCosts(l runner.Limits) costs { return costs{rows: make([]cost, l.Slots+runner.MaxDrafts+1)} }

const (
	// fresh is the weight of a new measurement: about the last four count.
	fresh = 0.25
	// mostDifferent bounds by which factor a measurement counts as another than what is known: a step may have been
	// held up by something else.
	mostDifferent = 2
	// longChunk is the number of tokens from which on a chunk that runs alone tells what a token costs while it is not known
	// what one row takes: short ones mostly read weights.
	longChunk = 64
	// perRow is by how much a token beside one row makes a step longer, while nothing else is known.
	perRow = 0.1
	// forgotten is the number of steps after which a measurement that was not renewed is worth nothing: what seemed not to
	// pay is tried again.
	forgotten = 2048
)

// see takes note of a step.
func (c *costs) see(step runner.Step, took time.Duration) {
	rows, prompted, seconds := len(step.Decode)+step.Drafted(), step.Prompted(), took.Seconds()
	c.steps++
	switch {
	case prompted == 0:
		c.seeRows(step, seconds)
	case rows > 0:
		c.since++
		if alone := c.of(rows); alone > 0 {
			c.beside(max(seconds-alone, 0) / float64(prompted))
		}
	case c.known(1):
		// What the tokens cost beside rows is what the chunk takes longer than a row, which reads the same weights. Where
		// that is not most of it, it tells little: the row may have had more, or less, to look back at.
		if more := seconds - c.rows[1].seconds; more >= seconds/2 {
			c.beside(more / float64(prompted))
		}
	case prompted >= longChunk:
		c.beside(seconds / float64(prompted))
	}
}

// seeRows takes note of a step with rows alone.
func (c *costs) seeRows(step runner.Step, seconds float64) {
	rows, delay := len(step.Decode)+step.Drafted(), 1.0
	known, held := c.known(rows), c.since >= stale
	if known { // of an estimate it would tell how wrong that was
		delay = seconds / c.rows[rows].seconds
		c.drift(delay)
	} else {
		c.rows[rows].seconds = 0
	}
	c.since = 0
	c.guessed.add(guessedStep{guesses: step.Drafted(), delay: delay, step: c.steps})
	c.rows[rows].step = c.steps
	if !known || !held { // one that pace held chunks back for is the only one for a while: drift has taken from it what may be believed
		blend(&c.rows[rows].seconds, seconds)
	}
}

// beside takes note of what a token of a chunk took. Beside rows it is the small difference of two large numbers, so that
// what holds up a step now and then must not count for much, nor for more than what makes one shorter: it would make chunks
// small, whose tokens then seem all the dearer.
func (c *costs) beside(seconds float64) {
	if c.chunk == 0 {
		c.chunk = seconds
		return
	}
	c.chunk += fresh * min(max(seconds-c.chunk, -c.chunk/2), c.chunk/2)
}

// drift brings into all measurements what a step says that runs without chunks after many with, and takes so many times as
// long as expected: meanwhile contexts have grown, and nothing was measured again. A step that took longer is only believed as
// far as the last such step did: something may have held it up, and what is too much here is missing from what chunks seem to
// take, for as long as they keep coming.
func (c *costs) drift(by float64) {
	if c.since == 0 {
		return
	}
	last := c.late
	c.late = by
	if by > 1 {
		by = max(1, min(by, last))
	}
	by = min(max(by, 1.0/mostDifferent), mostDifferent)
	by = 1 + (by-1)*min(float64(c.since)/stale, 1)/2
	for i := range c.rows {
		c.rows[i].seconds *= by
	}
}

// blend brings a measurement into what is known.
func blend(known *float64, seconds float64) {
	if *known == 0 {
		*known = seconds
		return
	}
	*known += fresh * (min(max(seconds, *known/mostDifferent), *known*mostDifferent) - *known)
}

// known says whether there is a measurement of steps of so many tokens.
func (c *costs) known(rows int) bool { return c.renewed(c.rows[rows]) }

// renewed says whether there is a measurement that is not too old.
func (c *costs) renewed(m cost) bool { return m.seconds > 0 && c.steps-m.step < forgotten }

// of is what a step takes that feeds so many tokens of decode rows and nothing else: as measured, or between its
// neighbours. 0: nothing was seen yet.
func (c *costs) of(rows int) float64 {
	rows = min(rows, len(c.rows)-1)
	below, above := rows, rows
	for below > 0 && !c.known(below) {
		below--
	}
	for above < len(c.rows) && !c.known(above) {
		above++
	}
	switch {
	case below == rows && rows > 0:
		return c.rows[rows].seconds
	case below > 0 && above < len(c.rows):
		low, high := c.rows[below].seconds, max(c.rows[below].seconds, c.rows[above].seconds) // more tokens do not take less
		return low + (high-low)*float64(rows-below)/float64(above-below)
	case below > 0:
		return c.rows[below].seconds * (1 + perRow*float64(rows-below)/float64(below))
	case above < len(c.rows):
		return c.rows[above].seconds
	}
	return 0
}

// with appends to dst the time that a step with so many rows and tokens of chunks takes with 0, 1, 2 … tokens of drafts.
// The time without drafts is known. A number of rows that no step has had yet is an estimate, and is tried with a few more
// tokens at a time. Beside chunks it is left out: there the time of the drafts could not be told from that of the chunks.
func (c *costs) with(dst []float64, rows, prompted int) []float64 {
	chunks, least, tried := c.chunk*float64(prompted), 0.0, 0
	for n := range runner.MaxDrafts + 1 {
		if !slices.ContainsFunc(c.rows[rows+n:], c.renewed) {
			if tried++; n > 0 && (tried > speculate.MaxTokens || prompted > 0) {
				break
			}
		}
		least = max(least, c.of(rows+n))
		dst = append(dst, least+chunks)
	}
	return dst
}
