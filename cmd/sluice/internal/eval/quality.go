package eval

import (
	"context"
	"errors"
	"fmt"
	"math"
)

// passage is a text to predict, and how it is cut into windows: each of window tokens, one beginning stride tokens after the
// other. Of each only the tokens that the window before did not predict count, so that each has at least window - stride
// tokens before it, but for the first window's.
type passage struct {
	text   string
	window int // tokens, with those that the tokenizer adds in front
	stride int // 1 to window
	limit  int // most windows, spread over the text; 0: all
}

// Quality is how well a model predicts a text.
type Quality struct {
	Tokens       int     `json:"tokens"` // that were predicted
	Bytes        int     `json:"bytes"`  // of the text that they are
	Perplexity   float64 `json:"perplexity"`
	BitsPerByte  float64 `json:"bits_per_byte"`              // comparable between vocabularies
	StandardErr  float64 `json:"log_perplexity_stderr"`      // of the mean of the tokens' logarithms, as if they were independent
	KL           float64 `json:"kl,omitzero"`                // mean divergence from the reference, nats
	SameTop      float64 `json:"same_top,omitzero"`          // fraction of places where both have the same likeliest token
	Reference    float64 `json:"reference_ppl,omitzero"`     // perplexity of the reference
	ChangedByPPL float64 `json:"perplexity_change,omitzero"` // relative to the reference's
}

// errVocabulary says that two models cannot be compared.
var errVocabulary = errors.New("the reference has another vocabulary")

// measureQuality predicts a text with a model and, unless it is nil, with a reference beside it.
func measureQuality(ctx context.Context, m, reference *subject, t passage) (Quality, error) {
	windows, bytes, err := t.windows(m)
	if err != nil {
		return Quality{}, err
	}
	if reference != nil && m.session.Limits().VocabSize != reference.session.Limits().VocabSize {
		return Quality{}, errVocabulary
	}
	var s sums
	for _, w := range windows {
		if err := s.add(ctx, m, reference, w); err != nil {
			return Quality{}, err
		}
	}
	return s.quality(bytes), nil
}

// window is a piece of the text.
type window struct {
	tokens []uint32
	first  int // the first token that counts
}

// windows cuts the text, and says how many of its bytes they predict.
func (t passage) windows(m *subject) ([]window, int, error) {
	if t.window < 2 || t.stride < 1 || t.stride > t.window {
		return nil, 0, fmt.Errorf("windows of %d tokens every %d tokens cannot be had", t.window, t.stride)
	}
	bare, err := m.encode(t.text, false)
	if err != nil {
		return nil, 0, err
	}
	prefix, err := m.encode("", true)
	if err != nil {
		return nil, 0, err
	}
	if len(prefix) >= t.window {
		return nil, 0, fmt.Errorf("a window of %d tokens has no room for a text", t.window)
	}
	length := t.window - len(prefix)
	var all []window
	for begin, counted := 0, 0; counted < len(bare); begin += t.stride {
		end := min(begin+length, len(bare))
		w := window{tokens: append(append([]uint32(nil), prefix...), bare[begin:end]...)}
		// The very first token has nothing to be predicted from, unless the tokenizer adds one.
		w.first = max(1, len(prefix)+counted-begin)
		if w.first < len(w.tokens) {
			all = append(all, w)
		}
		counted = end
	}
	if len(all) == 0 {
		return nil, 0, errors.New("the text has too few tokens to predict one")
	}
	bytes := len(t.text)
	if t.limit > 0 && t.limit < len(all) {
		spread := make([]window, t.limit)
		counted := 0
		for i := range spread {
			spread[i] = all[i*len(all)/t.limit]
			counted += len(spread[i].tokens) - spread[i].first
		}
		all = spread
		// By proportion: a token need not be whole characters.
		bytes = max(1, int(int64(bytes)*int64(counted)/int64(len(bare))))
	}
	return all, bytes, nil
}

// sums are over all tokens that count.
type sums struct {
	tokens                       int
	loss, squares, reference, kl float64
	same                         int
	compared                     bool
}

// add runs a window. The reference goes first and its logits are kept, a window at a time.
func (s *sums) add(ctx context.Context, m, reference *subject, w window) error {
	var truth [][]float32
	if reference != nil {
		s.compared = true
		err := reference.run(ctx, w.tokens[:len(w.tokens)-1], w.first-1, func(_ int, logits []float32) error {
			truth = append(truth, append([]float32(nil), logits...))
			return nil
		})
		if err != nil {
			return fmt.Errorf("reference: %w", err)
		}
	}
	return m.run(ctx, w.tokens[:len(w.tokens)-1], w.first-1, func(i int, logits []float32) error {
		q := predicted(logits)
		loss := -q.log(w.tokens[i+1])
		if loss-loss != 0 {
			return fmt.Errorf("the model's prediction after %d tokens is not a number", i+1)
		}
		s.tokens++
		s.loss += loss
		s.squares += loss * loss
		if truth != nil {
			p := predicted(truth[i-w.first+1])
			s.reference -= p.log(w.tokens[i+1])
			s.kl += p.divergence(q)
			if p.best == q.best {
				s.same++
			}
		}
		return nil
	})
}

func (s *sums) quality(bytes int) Quality {
	n := float64(s.tokens)
	mean := s.loss / n
	q := Quality{
		Tokens: s.tokens, Bytes: bytes, Perplexity: math.Exp(mean),
		StandardErr: math.Sqrt(max(0, s.squares/n-mean*mean) / n),
	}
	q.BitsPerByte = s.loss / math.Ln2 / float64(q.Bytes)
	if s.compared {
		q.KL, q.SameTop, q.Reference = s.kl/n, float64(s.same)/n, math.Exp(s.reference/n)
		q.ChangedByPPL = q.Perplexity/q.Reference - 1
	}
	return q
}
