//go:build cgo

package builder

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sluiceml/sluice/inference/model"
	"github.com/sluiceml/sluice/inference/ort"
	"github.com/sluiceml/sluice/inference/runner"
)

// architectureCase is what transformers says about a small model; scripts/parity/make_architectures.py makes it.
type architectureCase struct {
	Name    string           `json:"name"`
	Config  json.RawMessage  `json:"config"`
	Context int              `json:"context"` // of the conversion; 0: the model's
	Tensors map[string][]int `json:"tensors"`
	Runs    []struct {
		Length    int         `json:"length"`
		Positions []int       `json:"positions"`
		Logits    [][]float32 `json:"logits"` // after these positions
	} `json:"runs"`
	Greedy struct {
		Length int      `json:"length"`
		Tokens []uint32 `json:"tokens"`
	} `json:"greedy"`
}

// architectureCases reads the cases of one architecture.
func architectureCases(t *testing.T, path string) []architectureCase {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var cases []architectureCase
	if err := json.Unmarshal(text, &cases); err != nil {
		t.Fatal(err)
	}
	return cases
}

// TestArchitectures converts small checkpoints of every architecture and compares logits with transformers' at every
// position, whether a prompt is taken whole or in chunks, and 64 greedy tokens decoded beside rows of other lengths.
func TestArchitectures(t *testing.T) {
	env := environment(t)
	for name := range architectures() {
		for _, test := range architectureCases(t, filepath.Join("testdata", "architectures", name+".json")) {
			t.Run(name+"/"+test.Name, func(t *testing.T) {
				src, err := model.OpenSource(test.write(t))
				if err != nil {
					t.Fatal(err)
				}
				defer func() {
					if err := src.Close(); err != nil {
						t.Error(err)
					}
				}()
				if got := src.Spec().Architecture; got != name {
					t.Errorf("architecture %q", got)
				}
				test.check(t, env, src)
			})
		}
	}
}

// check compares a source with the case.
func (c *architectureCase) check(t *testing.T, env *ort.Environment, src model.Source) {
	t.Helper()
	opts := Options{Quantize: FormNone, ContextLength: c.Context}
	session := openBuilt(t, env, src, opts)
	var worst float64
	for _, run := range c.Runs {
		tokens := prompt(run.Length, src.Spec().VocabSize)
		for _, size := range []int{run.Length, 7, runner.MaxRows} {
			got := chunked(t, session, 3, tokens, size)
			for i, position := range run.Positions {
				if row := got[position]; row != nil { // of a large chunk only the last are known
					d, _ := difference(t, row, run.Logits[i])
					worst = max(worst, d)
				}
			}
		}
	}
	t.Logf("float32: logits differ by %.2g", worst)
	if worst > 1e-3 {
		t.Errorf("float32: logits differ by %g", worst)
	}
	if got := c.decode(t, session, src.Spec().VocabSize); !slices.Equal(got, c.Greedy.Tokens) {
		t.Errorf("greedy tokens\n%v, want\n%v", got, c.Greedy.Tokens)
	}
	if s := src.Spec(); s.HiddenSize%blockLength+s.IntermediateSize%blockLength+s.Heads*s.HeadSize%blockLength != 0 {
		return
	}
	// Random weights, whose outputs are all noise, are the worst case for rounding; every layer adds to it.
	for _, opts.Quantize = range []Form{FormInt8, FormRow8} {
		var refused *SpecError
		if _, err := layOut(t.Context(), src, opts); opts.Quantize == FormRow8 && errors.As(err, &refused) && refused.Field == "Architecture" {
			continue // it is not for this one
		}
		opts.Calibration = [][]uint32{prompt(40, src.Spec().VocabSize)}
		session = openBuilt(t, env, src, opts)
		for _, run := range c.Runs {
			got := chunked(t, session, 0, prompt(run.Length, src.Spec().VocabSize), run.Length)
			d, size := difference(t, got[run.Length-1], run.Logits[len(run.Logits)-1])
			t.Logf("%s, %d tokens: %.2g of %.3g", opts.Quantize, run.Length, d, size)
			if d > 0.05*float64(src.Spec().Layers)*size {
				t.Errorf("%s, %d tokens: logits differ by %g of %g", opts.Quantize, run.Length, d, size)
			}
		}
	}
}

// prompt is scripts/parity/tiny.py's.
func prompt(length, vocabulary int) []uint32 {
	tokens := make([]uint32, length)
	for i := range tokens {
		tokens[i] = uint32((7*i + i*i/3 + 5) % vocabulary)
	}
	return tokens
}

// openBuilt converts a source and opens it with four slots.
func openBuilt(t *testing.T, env *ort.Environment, src model.Source, opts Options) *ort.Session {
	t.Helper()
	dir := t.TempDir()
	m, err := Build(t.Context(), src, dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	session, err := env.Open(ort.Config{
		Model: filepath.Join(dir, m.Graph.File), Graph: m.Graph, ContextLength: m.ContextLength,
		Device: ort.Device{Provider: ort.CPU, Threads: 1}, Slots: 4, MaxLength: m.ContextLength, MaxChunk: m.ContextLength,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := session.Close(); err != nil {
			t.Error(err)
		}
	})
	return session
}

// chunked runs a prompt in chunks of a size and returns the logits after each token: all of chunks that may ask for them,
// the last of others.
func chunked(t *testing.T, session *ort.Session, slot int, tokens []uint32, size int) [][]float32 {
	t.Helper()
	all := make([][]float32, len(tokens))
	for past := 0; past < len(tokens); past += size {
		chunk := runner.Chunk{Slot: slot, Past: past, Tokens: tokens[past:min(past+size, len(tokens))], Logits: true}
		chunk.Rows = len(chunk.Tokens) <= runner.MaxRows
		logits, err := session.Step(runner.Step{Chunks: []runner.Chunk{chunk}})
		if err != nil {
			t.Fatal(err)
		}
		last := past + len(chunk.Tokens) - 1
		all[last] = slices.Clone(logits.Chunks[0])
		for i, row := range logits.Rows {
			all[past+i] = slices.Clone(row)
		}
	}
	return all
}

// decode generates greedily in slot 2, beside rows of other lengths.
func (c *architectureCase) decode(t *testing.T, session *ort.Session, vocabulary int) []uint32 {
	t.Helper()
	const row = 2
	lengths := []int{3, 51, c.Greedy.Length, 1}
	next := make([]runner.DecodeRow, len(lengths))
	for slot := range slices.Backward(lengths) { // those of slots that decode come before a chunk's
		n := lengths[slot]
		logits := chunked(t, session, slot, prompt(n, vocabulary), n)
		next[slot] = runner.DecodeRow{Slot: slot, Token: largest32(logits[n-1]), Past: n}
	}
	var tokens []uint32
	for {
		tokens = append(tokens, next[row].Token)
		if len(tokens) == len(c.Greedy.Tokens) {
			return tokens
		}
		logits, err := session.Step(runner.Step{Decode: next})
		if err != nil {
			t.Fatal(err)
		}
		for i := range next {
			next[i] = runner.DecodeRow{Slot: i, Token: largest32(logits.Decode[i]), Past: next[i].Past + 1}
		}
	}
}

// largest32 is the token of the largest logit.
func largest32(logits []float32) uint32 {
	best := 0
	for i, v := range logits {
		if v > logits[best] {
			best = i
		}
	}
	return uint32(best)
}

// write writes a Hugging Face folder with the tensors that transformers has, whose values scripts/parity/tiny.py gives.
func (c *architectureCase) write(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "config.json"), c.Config, 0o600); err != nil {
		t.Fatal(err)
	}
	var config struct {
		DType string `json:"dtype"`
	}
	if err := json.Unmarshal(c.Config, &config); err != nil {
		t.Fatal(err)
	}
	writeSafetensors(t, dir, c.Tensors, config.DType)
	return dir
}

// writeSafetensors writes model.safetensors.
func writeSafetensors(t *testing.T, dir string, shapes map[string][]int, dtype string) {
	t.Helper()
	type entry struct {
		DType   string `json:"dtype"`
		Shape   []int  `json:"shape"`
		Offsets [2]int `json:"data_offsets"`
	}
	header, data := map[string]entry{}, []byte{}
	for name, shape := range shapes {
		start := len(data)
		var stored string
		data, stored = appendFloats(t, data, tinyWeights(name, shape), dtype)
		header[name] = entry{DType: stored, Shape: shape, Offsets: [2]int{start, len(data)}}
	}
	text, err := json.Marshal(header)
	if err != nil {
		t.Fatal(err)
	}
	file := binary.LittleEndian.AppendUint64(nil, uint64(len(text)))
	if err := os.WriteFile(filepath.Join(dir, "model.safetensors"), slices.Concat(file, text, data), 0o600); err != nil {
		t.Fatal(err)
	}
}

// tinyWeights are scripts/parity/tiny.py's.
func tinyWeights(name string, shape []int) []float32 {
	count := 1
	for _, n := range shape {
		count *= n
	}
	random := newRandom(name)
	values := make([]float32, count)
	for i := range values {
		v := random.weight()
		if len(shape) == 1 && strings.HasSuffix(name, "weight") { // a norm's
			v = 1 + float32(math.Trunc(float64(v)*512/4))/128
		}
		values[i] = v
	}
	return values
}
