package speculate

// Check is what a step of the model that checks guesses is without any from a draft model.
type Check struct {
	Tokens float64   // that it is expected to give
	Taken  int       // guesses that it has already
	Cost   []float64 // by the number of guesses in it, in any unit
}

// Length is how many tokens a draft model should guess for each of some sequences, by how often its guesses are right for
// each (rates), and the share of a token's time that is then expected to be saved. For one more guess of all of them the draft
// model takes the time each, in the unit of check.Cost; most is the most guesses of a sequence. 0: guessing does not pay, by the
// margin that guesses without a model have to keep as well.
func Length(rates []float64, check Check, most int, each float64) (length int, gain float64) {
	base := check.Tokens / check.Cost[check.Taken]
	best, tokens := leastGain*base, check.Tokens
	reached := make([]float64, 0, stackRows)
	reached = append(reached, rates...)
	for n := 1; n <= min(most, MaxTokens); n++ {
		at := check.Taken + n*len(rates)
		if at >= len(check.Cost) {
			break
		}
		for i, rate := range rates {
			tokens += reached[i]
			reached[i] *= rate
		}
		if speed := tokens / (check.Cost[at] + float64(n)*each); speed > best {
			best, length = speed, n
		}
	}
	if length == 0 {
		return 0, 0
	}
	return length, 1 - base/best
}

// stackRows is for how many sequences Length allocates nothing.
const stackRows = 64

// Rate is how often guesses are right, lately.
type Rate float64

// StartRate is the rate of what nothing is known of.
const StartRate Rate = startRate

// See takes note of guesses that were checked in their order: so many were right before the first wrong one, if there was
// one.
func (r *Rate) See(right int, wrong bool) {
	for range right {
		*r = memory*(*r) + (1 - memory)
	}
	if wrong {
		*r *= memory
	}
}
