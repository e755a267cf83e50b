package engine

import "slices"

// spread remembers figures of the last steps of a kind, to say what most of them did not exceed.
type spread struct {
	seen [spreadSteps]struct {
		rows   int
		figure float64
	} // a ring
	n int // that were added
}

const (
	spreadSteps = 64
	// leastSpread is the number of steps from which on there is something to say about 1 in 20 of them.
	leastSpread = 20
)

// add takes note of a step of so many rows.
func (s *spread) add(rows int, figure float64) {
	at := &s.seen[s.n%spreadSteps]
	at.rows, at.figure = rows, figure
	s.n++
}

// most is what 19 of 20 steps of so many rows did not exceed; 0 if too few were seen lately.
func (s *spread) most(rows int) float64 {
	var figures [spreadSteps]float64
	n := 0
	for _, at := range s.seen[:min(s.n, spreadSteps)] {
		if at.rows == rows {
			figures[n] = at.figure
			n++
		}
	}
	if n < leastSpread {
		return 0
	}
	slices.Sort(figures[:n])
	return figures[n*19/20]
}
