package sampling

import (
	"errors"
	"math"
	"slices"
)

// ErrExcluded says that the parameters of a request exclude every token at this position.
var ErrExcluded = errors.New("sampling: the request excludes every token")

// mask excludes tokens of one sequence. It looks at single tokens of the row and at the sequence itself: the longest
// work is one comparison per token of the sequence, for NoRepeatNGram.
type mask struct {
	params Params
	tokens []uint32 // prompt and output, if their order matters
	keeps  bool     // tokens is kept
}

// newMask makes the mask of a sequence that continues prompt by at most n tokens.
func newMask(p Params, prompt []uint32, n int) *mask {
	m := &mask{params: p, keeps: p.looksBack()}
	if m.keeps {
		m.tokens = append(make([]uint32, 0, len(prompt)+n), prompt...)
	}
	return m
}

// add appends a token of the output.
func (m *mask) add(id uint32) {
	if m.keeps {
		m.tokens = append(m.tokens, id)
	}
}

// apply excludes what may not be drawn at a position of the output.
func (m *mask) apply(row []float32, position int, t *tracer) {
	if m.params.NoRepeatNGram > 0 {
		m.excludeRepeats(row, m.params.NoRepeatNGram)
		t.logits(stepNoRepeat, row)
	}
	for _, word := range m.params.BadWords {
		last := len(word) - 1
		if last == 0 || m.endsWith(word[:last]) {
			exclude(row, word[last])
		}
	}
	if len(m.params.BadWords) > 0 {
		t.logits(stepBadWords, row)
	}
	if position < m.params.MinTokens {
		for _, id := range m.params.Ends {
			exclude(row, id)
		}
		t.logits(stepMinTokens, row)
	}
	if m.params.Allowed != nil {
		excludeOthers(row, m.params.Allowed)
		t.logits(stepAllowed, row)
	}
}

// excludeRepeats excludes the tokens that followed an earlier occurrence of the last n-1 tokens
// (transformers' NoRepeatNGramLogitsProcessor).
func (m *mask) excludeRepeats(row []float32, n int) {
	if len(m.tokens) < n {
		return
	}
	start := m.tokens[len(m.tokens)-n+1:]
	if len(start) == 0 {
		for _, id := range m.tokens {
			exclude(row, id)
		}
		return
	}
	end := start[len(start)-1]
	for i, id := range m.tokens[n-2 : len(m.tokens)-1] { // the last token is start's own
		if id == end && slices.Equal(m.tokens[i:i+n-1], start) {
			exclude(row, m.tokens[i+n-1])
		}
	}
}

// endsWith says whether the sequence ends with the tokens of start.
func (m *mask) endsWith(start []uint32) bool {
	at := len(m.tokens) - len(start)
	return at >= 0 && slices.Equal(m.tokens[at:], start)
}

// excludeOthers excludes all tokens but the allowed ones, which are in ascending order.
func excludeOthers(row []float32, allowed []uint32) {
	none := float32(math.Inf(-1))
	from := 0
	for _, id := range allowed {
		if int64(id) >= int64(len(row)) {
			break
		}
		fill(row[from:id], none)
		from = int(id) + 1
	}
	fill(row[from:], none)
}

func fill(row []float32, x float32) {
	for i := range row {
		row[i] = x
	}
}
