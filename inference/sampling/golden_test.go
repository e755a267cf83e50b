package sampling

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"slices"
	"testing"
)

// golden is a case of testdata/goldens.json, which testdata/goldens.py writes.
type golden struct {
	Vocab             int      `json:"vocab"`
	Seed              uint64   `json:"seed"`
	Temperature       *float32 `json:"temperature"`
	TopK              int      `json:"top_k"`
	TopP              *float32 `json:"top_p"`
	MinP              float32  `json:"min_p"`
	RepetitionPenalty *float32 `json:"repetition_penalty"`
	PresencePenalty   float32  `json:"presence_penalty"`
	FrequencyPenalty  float32  `json:"frequency_penalty"`
	TypicalP          float32  `json:"typical_p"`
	NoRepeatNGram     int      `json:"no_repeat_ngram_size"`

	Bias      [][2]float32 `json:"bias"`
	BadWords  [][]uint32   `json:"bad_words"`
	MinTokens int          `json:"min_tokens"`
	Ends      []uint32     `json:"ends"`
	Allowed   []uint32     `json:"allowed"`

	Prompt []uint32  `json:"prompt"`
	Output []uint32  `json:"output"`
	Greedy uint32    `json:"greedy"`
	Kept   int       `json:"kept"`
	IDs    []uint32  `json:"ids"`
	Probs  []float64 `json:"probs"`
}

func (g golden) params() Params {
	or1 := func(p *float32) float32 {
		if p == nil {
			return 1
		}
		return *p
	}
	p := Params{
		Temperature: or1(g.Temperature), TopK: g.TopK, TopP: or1(g.TopP), MinP: g.MinP, TypicalP: g.TypicalP,
		RepetitionPenalty: or1(g.RepetitionPenalty),
		PresencePenalty:   g.PresencePenalty, FrequencyPenalty: g.FrequencyPenalty,
		NoRepeatNGram: g.NoRepeatNGram, BadWords: g.BadWords, MinTokens: g.MinTokens, Ends: g.Ends,
	}
	for _, b := range g.Bias {
		p.Bias = append(p.Bias, Bias{uint32(b[0]), b[1]})
	}
	if g.Allowed != nil {
		p.Allowed = slices.Compact(slices.Sorted(slices.Values(g.Allowed)))
	}
	return p
}

// hashLogits are the rows of goldens.py: about normal with a deviation of 2.9.
func hashLogits(vocab int, seed uint64) []float32 {
	row := make([]float32, vocab)
	for v := range row {
		h := mix(seed<<32 + uint64(v))
		parts := int(h&0xFFFF + h>>16&0xFFFF + h>>32&0xFFFF + h>>48)
		row[v] = float32((parts-131072)*5) * 0x1p-16
	}
	return row
}

func mix(z uint64) uint64 {
	z += 0x9E3779B97F4A7C15
	z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
	z = (z ^ z>>27) * 0x94D049BB133111EB
	return z ^ z>>31
}

// distribution is what a draw chooses from: each token's probability, 0 for those that are not kept.
func distribution(row []float32, p Params, prompt, output []uint32) ([]float64, uint32, error) {
	s := New(p, 0, prompt, len(output))
	for _, id := range output {
		s.Accept(id)
	}
	scratch := NewScratch(len(row))
	s.process(row, len(output), nil)
	best, err := scratch.scan(row)
	if err != nil {
		return nil, 0, err
	}
	blocks := append([]float32(nil), scratch.maxima...)
	top := row[best]
	weigh(blocks, top, p.Temperature)
	scratch.draw(row, top, p, 0.5)

	probs := make([]float64, len(row))
	if p.TopK > 0 && p.TopK < len(row) || p.TopP < 1 || p.MinP > 0 || p.typical() {
		for i, id := range scratch.ids {
			probs[id] = float64(scratch.weights[i])
		}
	} else {
		for v, w := range row {
			if blocks[v/blockSize] > 0 {
				probs[v] = float64(w)
			}
		}
	}
	var total float64
	for _, w := range probs {
		total += w
	}
	for v := range probs {
		probs[v] /= total
	}
	return probs, best, nil
}

// TestGoldens compares what is kept, and its probabilities, with transformers.
func TestGoldens(t *testing.T) {
	data, err := os.ReadFile("testdata/goldens.json")
	if err != nil {
		t.Fatal(err)
	}
	var goldens []golden
	if err := json.Unmarshal(data, &goldens); err != nil {
		t.Fatal(err)
	}
	for i, g := range goldens {
		t.Run(fmt.Sprintf("%d: %+v", i, g.params()), func(t *testing.T) {
			if err := g.params().Validate(); err != nil {
				t.Fatal(err)
			}
			probs, best, err := distribution(hashLogits(g.Vocab, g.Seed), g.params(), g.Prompt, g.Output)
			if err != nil {
				t.Fatal(err)
			}
			if best != g.Greedy {
				t.Errorf("greedy token %d, want %d", best, g.Greedy)
			}
			kept := 0
			for _, p := range probs {
				if p > 0 {
					kept++
				}
			}
			if kept != g.Kept {
				t.Errorf("%d tokens are kept, want %d", kept, g.Kept)
			}
			for j, id := range g.IDs {
				if diff := math.Abs(probs[id] - g.Probs[j]); diff > 2e-6*g.Probs[j]+1e-9 {
					t.Errorf("token %d has probability %v, want %v", id, probs[id], g.Probs[j])
				}
			}
		})
	}
}
