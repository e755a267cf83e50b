package ort

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/sluiceml/sluice/inference/model"
	"github.com/sluiceml/sluice/inference/model/builder"
	modelonnx "github.com/sluiceml/sluice/inference/model/onnx"
	"github.com/sluiceml/sluice/inference/runner"
)

// formConfig converts the default model's checkpoint to a form.
func formConfig(t *testing.T, form builder.Form) Config {
	t.Helper()
	source, err := model.OpenSource(filepath.Join(cacheHome(t), "downloads", "smollm2-135m-instruct", "SmolLM2-135M-Instruct.Q4_1.gguf"))
	if err != nil {
		t.Fatalf("%v: run `make setup`", err)
	}
	defer source.Close() //nolint:errcheck // read only
	dir := t.TempDir()
	calibration := [][]uint32{prompt(rand.New(rand.NewPCG(3, 3)), 1000, 16)}
	m, err := builder.Build(t.Context(), source, dir, builder.Options{Quantize: form, Calibration: calibration})
	if err != nil {
		t.Fatal(err)
	}
	return Config{
		Model: filepath.Join(dir, m.Graph.File), Graph: m.Graph, ContextLength: m.ContextLength,
		Device: Device{Provider: CPU, Threads: 1}, Slots: 3, MaxLength: 256, MaxChunk: 64,
	}
}

// TestRealSharedWeights: sessions on shared weights compute what one with its own weights does, bit for bit and at the same
// time, whatever their threads, also after one of them was renewed beside the others; and each after the first takes
// little memory.
func TestRealSharedWeights(t *testing.T) {
	env := openEnvironment(t)
	for _, form := range []builder.Form{builder.FormAuto, builder.FormRow8, builder.FormNone} {
		t.Run(string(form), func(t *testing.T) {
			config := formConfig(t, form)
			random := rand.New(rand.NewPCG(5, 6))
			tokens, decoded := prompt(random, config.Graph.VocabSize, 90), prompt(random, config.Graph.VocabSize, 4)
			want := alone(t, env, config, tokens, decoded)

			config.Weights = shareWeights(t, env, config)
			sessions := make([]*Session, 4)
			before := residentAnonymous(t)
			for i := range sessions {
				config.Device.Threads = 1 + i%2
				sessions[i] = openSession(t, env, config)
				now := residentAnonymous(t)
				t.Logf("session %d takes %d kB beside the file", i+1, (now-before)>>10)
				if file := len(config.Weights.data); i > 0 && now-before > file/3 {
					t.Errorf("session %d takes %d bytes of its own, and the weights are %d", i+1, now-before, file)
				}
				before = now
			}
			check := func(s *Session) {
				for range 3 {
					got := sequence(t, s, tokens, decoded)
					for i := range want {
						if !slices.Equal(got[i], want[i]) {
							t.Errorf("the logits after %d decoded tokens differ", i)
						}
					}
				}
			}
			batch := rows(make([]uint32, config.Slots), 0) // every row of which is a row of logits
			for i, row := range step(t, sessions[1], runner.Step{Decode: batch}).Decode {
				if len(row) != config.Graph.VocabSize {
					t.Errorf("row %d of a batch has %d logits", i, len(row))
				}
			}
			var running sync.WaitGroup
			for _, s := range sessions[1:] {
				running.Go(func() { check(s) })
			}
			if err := sessions[0].Renew(); err != nil {
				t.Error(err)
			}
			check(sessions[0])
			running.Wait()
		})
	}
}

// sequence is the logits after a prompt and each of the tokens decoded after it, in slot 0 of a session.
func sequence(t *testing.T, s *Session, tokens, decoded []uint32) [][]float32 {
	logits := [][]float32{prefill(t, s, 0, 0, tokens, s.config.MaxChunk)}
	for i, token := range decoded {
		row := runner.DecodeRow{Token: token, Past: len(tokens) + i}
		logits = append(logits, slices.Clone(step(t, s, runner.Step{Decode: []runner.DecodeRow{row}}).Decode[0]))
	}
	s.ReleaseSlot(0)
	return logits
}

// TestDisagree: a session whose first runs give other numbers than those of the first on the weights is refused.
func TestDisagree(t *testing.T) {
	w := new(Weights)
	for run, logits := range [][]float32{{1, 2}, {3}} {
		if err := w.agree(run, logits); err != nil {
			t.Error(err)
		}
	}
	if err := w.agree(0, []float32{1, 2}); err != nil {
		t.Errorf("the same numbers: %v", err)
	}
	if err := w.agree(1, []float32{4}); !errors.Is(err, ErrSharing) {
		t.Errorf("other numbers: %v", err)
	}
}

// TestWeightsMisuse: weights close once, after their sessions, and belong to one model on the CPU.
func TestWeightsMisuse(t *testing.T) {
	env := openEnvironment(t)
	config := realConfig(t)
	config.Slots, config.MaxLength = 1, 64
	config.MaxChunk = 16
	w, err := env.ShareWeights(config.Model, config.Graph)
	if err != nil {
		t.Fatal(err)
	}
	wantMisuse(t, "closing an environment in use", ErrInUse, env.Close)
	config.Weights = w
	s, err := env.Open(config)
	if err != nil {
		t.Fatal(err)
	}
	wantMisuse(t, "closing weights in use", ErrInUse, w.Close)
	for _, change := range []func(*Config){
		func(c *Config) { c.Model = "other.onnx" },
		func(c *Config) { c.Device = Device{Provider: CUDA} },
	} {
		other := config
		change(&other)
		if _, err := env.Open(other); err == nil {
			t.Errorf("opened %s on %s", other.Model, other.Device)
		}
	}
	if err := errors.Join(s.Close(), w.Close()); err != nil {
		t.Fatal(err)
	}
	wantMisuse(t, "renewing a closed session", ErrClosed, s.Renew)
	wantMisuse(t, "closing weights twice", ErrClosed, w.Close)
	wantMisuse(t, "a session on closed weights", ErrClosed, func() error {
		_, err := env.Open(config)
		return err
	})
}

// TestBadWeights: a graph that points outside its data file, or is none, shares nothing.
func TestBadWeights(t *testing.T) {
	env := openEnvironment(t)
	config := realConfig(t)
	graph, err := os.ReadFile(config.Model)
	if err != nil {
		t.Fatal(err)
	}
	for name, files := range map[string]map[string][]byte{
		"no data":      {"model.onnx": graph},
		"empty data":   {"model.onnx": graph, config.Graph.Data: {}},
		"little data":  {"model.onnx": graph, config.Graph.Data: make([]byte, 4096)},
		"no graph":     {config.Graph.Data: make([]byte, 4096)},
		"not a graph":  {"model.onnx": []byte("text"), config.Graph.Data: make([]byte, 4096)},
		"nothing else": {},
	} {
		dir := t.TempDir()
		for file, data := range files {
			if err := os.WriteFile(filepath.Join(dir, file), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := env.ShareWeights(filepath.Join(dir, "model.onnx"), config.Graph); err == nil {
			t.Errorf("%s: shared", name)
		}
	}
}

func TestInside(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		kind   modelonnx.DataType
		dims   []int64
		offset int64
		length int64
		want   bool
	}{
		{modelonnx.Float, []int64{2, 3}, 16, 24, true},
		{modelonnx.Float, []int64{2, 3}, 16, 23, false},  // fewer bytes than values
		{modelonnx.Float, []int64{2, 3}, 18, 24, false},  // not aligned
		{modelonnx.Float, []int64{2, 3}, 80, 24, false},  // past the end
		{modelonnx.Float, []int64{2, 3}, -16, 24, false}, // before the beginning
		{modelonnx.Uint8, []int64{100}, 0, 100, true},
		{modelonnx.Uint8, []int64{1 << 62, 1 << 62}, 0, 0, false}, // overflows
		{modelonnx.Uint8, []int64{-1}, 0, 1, false},
		{modelonnx.Int64, nil, 8, 8, true}, // a scalar
	} {
		tensor := modelonnx.Tensor{Type: test.kind, Dims: test.dims, External: &modelonnx.External{Offset: test.offset, Length: test.length}}
		if got := inside(tensor, 100); got != test.want {
			t.Errorf("%v %v at %d, %d bytes: %t", test.kind, test.dims, test.offset, test.length, got)
		}
	}
}
