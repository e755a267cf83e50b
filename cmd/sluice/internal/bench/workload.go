package bench

import (
	"math"
	"math/rand/v2"
	"strings"
)

// Streams of random numbers of one seed. Requests use their index, so these are out of its reach.
const (
	streamArrivals = math.MaxUint64 - iota
	streamPrefix
)

// Lengths is how long prompts or answers are, in tokens: all Mean, or log-normal about it.
type Lengths struct {
	// Mean is the mean length, before Max cuts the tail.
	Mean int `json:"mean"`
	// Sigma is the standard deviation of the logarithm. 0: every length is Mean.
	Sigma float64 `json:"sigma,omitempty"`
	// Max is the greatest length. 0: no bound.
	Max int `json:"max,omitempty"`
}

// draw returns a length of at least 1.
func (l Lengths) draw(random *rand.Rand) int {
	length := l.Mean
	if l.Sigma > 0 {
		mu := math.Log(float64(l.Mean)) - l.Sigma*l.Sigma/2 // so that the mean is Mean
		length = int(math.Round(min(math.Exp(mu+l.Sigma*random.NormFloat64()), maxTokens)))
	}
	if l.Max > 0 {
		length = min(length, l.Max)
	}
	return max(length, 1)
}

// longest is the greatest length that draw returns.
func (l Lengths) longest() int {
	switch {
	case l.Sigma == 0 && l.Max == 0:
		return l.Mean
	case l.Sigma == 0:
		return min(l.Mean, l.Max)
	case l.Max == 0:
		return maxTokens
	default:
		return l.Max
	}
}

// Form is how prompts are written.
type Form string

// The forms of prompts.
const (
	// TokenIDs are random ids, so that a prompt has exactly the length that was drawn.
	TokenIDs Form = "ids"
	// Words are common English words, one for each token that was drawn. Most tokenizers make about one token of
	// each; the usage that the server returns says how many they were.
	Words Form = "words"
)

// Workload makes requests. The same workload makes the same ones in every run, in whatever order they are made.
type Workload struct {
	Seed uint64
	// Prompt and Answer are the lengths of prompts and of answers.
	Prompt, Answer Lengths
	// Prefix is a number of tokens, the same ones, in front of every prompt.
	Prefix int
	Form   Form
	// Vocabulary is the number of token ids that prompts of ids are drawn from.
	Vocabulary int
}

// Request is what a target sends. One of IDs and Text is set.
type Request struct {
	IDs       []uint32 `json:"ids,omitempty"`
	Text      string   `json:"text,omitempty"`
	MaxTokens int      `json:"max_tokens"`
}

// Longest is the greatest number of tokens that prompt and answer of a request have together.
func (w *Workload) Longest() int { return w.Prefix + w.Prompt.longest() + w.Answer.longest() }

// Request makes the request of an index.
func (w *Workload) Request(index uint64) Request {
	own := rand.New(rand.NewPCG(w.Seed, index))           //nolint:gosec // a workload, not a secret
	shared := rand.New(rand.NewPCG(w.Seed, streamPrefix)) //nolint:gosec // as above
	length := w.Prompt.draw(own)
	request := Request{MaxTokens: w.Answer.draw(own)}
	if w.Form == Words {
		all := make([]string, 0, w.Prefix+length)
		for range w.Prefix {
			all = append(all, words[shared.IntN(len(words))])
		}
		for range length {
			all = append(all, words[own.IntN(len(words))])
		}
		request.Text = strings.Join(all, " ")
		return request
	}
	request.IDs = make([]uint32, 0, w.Prefix+length)
	for range w.Prefix {
		request.IDs = append(request.IDs, w.id(shared))
	}
	for range length {
		request.IDs = append(request.IDs, w.id(own))
	}
	return request
}

// id draws a token id. Special tokens are the first or the last of most vocabularies, so both ends are left out.
func (w *Workload) id(random *rand.Rand) uint32 {
	first, last := min(1000, w.Vocabulary/4), w.Vocabulary-w.Vocabulary/8
	return uint32(first + random.IntN(max(last-first, 1)))
}
