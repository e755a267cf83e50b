package speculate

// Draft is what has been guessed for one sequence of a step.
type Draft struct {
	Tokens int     // that were guessed
	Rate   float64 // how often a guess is right: token i is reached with this to the power of i
	Take   int     // how many of them are worth it: set by Choose
}

// Expected is how many of the tokens that are taken are expected to be right.
func (d Draft) Expected() float64 {
	tokens, reached := 0.0, 1.0
	for range d.Take {
		reached *= d.Rate
		tokens += reached
	}
	return tokens
}

// leastGain is how much faster a step with guesses must be expected to be per token.
const leastGain = 1.05

// Choose sets how many tokens of each draft go into a step of so many rows, most of them together. cost says what the step
// takes with a number of tokens more, in any unit, from 0 on to at least most: the number is chosen for which the tokens to
// be expected per time are most, if they are more than without guesses by a margin.
//
// Tokens are taken in the order of how likely they are to be right, whosever they are.
func Choose(drafts []Draft, rows, most int, cost []float64) {
	best, gain := 0, leastGain*float64(rows)/cost[0]
	tokens := float64(rows)
	for i := range drafts {
		drafts[i].Take = 0
	}
	for n := 1; n <= most; n++ {
		at, likely := likeliest(drafts)
		if at < 0 {
			break
		}
		drafts[at].Take++
		if tokens += likely; tokens/cost[n] > gain {
			best, gain = n, tokens/cost[n]
		}
	}
	for i := range drafts {
		drafts[i].Take = 0
	}
	for range best {
		at, _ := likeliest(drafts)
		drafts[at].Take++
	}
}

// likeliest is the draft whose next token is most likely to be right, and how likely; -1 if there is none.
func likeliest(drafts []Draft) (at int, likely float64) {
	at = -1
	for i, d := range drafts {
		if d.Take == d.Tokens {
			continue
		}
		p := d.Rate
		for range d.Take {
			p *= d.Rate
		}
		if at < 0 || p > likely {
			at, likely = i, p
		}
	}
	return at, likely
}
