package eval

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/sluiceml/sluice/inference/inferencetest"
	"github.com/sluiceml/sluice/inference/runner"
)

// toy is a model whose tokens are bytes, and of which a script may say what comes next.
func toy(t *testing.T, prefix string, script func([]uint32) (uint32, bool)) *subject {
	t.Helper()
	session := inferencetest.NewToy(inferencetest.ToyConfig{Limits: runner.Limits{MaxLength: 128, MaxChunk: 20}, Script: script})
	t.Cleanup(func() {
		if err := session.Close(); err != nil {
			t.Error(err)
		}
	})
	return &subject{session: session, encode: func(text string, special bool) ([]uint32, error) {
		if special {
			text = prefix + text
		}
		tokens := make([]uint32, len(text))
		for i := range tokens {
			tokens[i] = uint32(text[i])
		}
		return tokens, nil
	}}
}

// rows are the logits after each token, one chunk of one token at a time.
func rows(t *testing.T, m *subject, tokens []uint32) [][]float64 {
	t.Helper()
	defer m.session.ReleaseSlot(0)
	var all [][]float64
	for i, token := range tokens {
		logits, err := m.session.Step(runner.Step{Chunks: []runner.Chunk{{Tokens: []uint32{token}, Past: i, Logits: true}}})
		if err != nil {
			t.Fatal(err)
		}
		row := make([]float64, len(logits.Chunks[0]))
		var sum float64
		for j, v := range logits.Chunks[0] {
			sum += math.Exp(float64(v))
			row[j] = float64(v)
		}
		for j := range row {
			row[j] -= math.Log(sum)
		}
		all = append(all, row)
	}
	return all
}

const sentence = "It is a truth universally acknowledged, that a single man in possession of a good fortune, must be in want of a wife."

// TestMeasureQuality holds perplexity and divergence to sums over every window by themselves.
func TestMeasureQuality(t *testing.T) {
	for name, test := range map[string]struct {
		prefix         string
		window, stride int
	}{
		"one window": {"", 128, 128}, "disjoint": {"", 32, 32}, "sliding": {"", 32, 8}, "begun by a token": {"^", 40, 20}, "one by one": {"^^", 30, 1},
	} {
		t.Run(name, func(t *testing.T) {
			m := toy(t, test.prefix, nil)
			other := toy(t, test.prefix, func(h []uint32) (uint32, bool) { return 'e', len(h)%3 == 0 })
			got, err := measureQuality(t.Context(), m, other, passage{text: sentence, window: test.window, stride: test.stride})
			if err != nil {
				t.Fatal(err)
			}
			text, err := m.encode(sentence, false)
			if err != nil {
				t.Fatal(err)
			}
			var loss, reference, kl float64
			tokens, counted := 0, 0
			for begin := 0; counted < len(text); begin += test.stride {
				end := min(begin+test.window-len(test.prefix), len(text))
				window, err := m.encode(test.prefix+sentence[begin:end], false)
				if err != nil {
					t.Fatal(err)
				}
				q, p := rows(t, m, window), rows(t, other, window)
				for i := max(1, len(test.prefix)+counted-begin); i < len(window); i++ {
					tokens++
					loss -= q[i-1][window[i]]
					reference -= p[i-1][window[i]]
					for j := range p[i-1] {
						kl += math.Exp(p[i-1][j]) * (p[i-1][j] - q[i-1][j])
					}
				}
				counted = end
			}
			near := func(what string, got, want float64) {
				if math.Abs(got-want) > 1e-5*math.Abs(want) {
					t.Errorf("%s is %v, want %v", what, got, want)
				}
			}
			if got.Tokens != tokens || got.Bytes != len(sentence) {
				t.Errorf("%d tokens of %d bytes, want %d of %d", got.Tokens, got.Bytes, tokens, len(sentence))
			}
			near("perplexity", got.Perplexity, math.Exp(loss/float64(tokens)))
			near("bits per byte", got.BitsPerByte, loss/math.Ln2/float64(len(sentence)))
			near("the reference's perplexity", got.Reference, math.Exp(reference/float64(tokens)))
			near("KL", got.KL, kl/float64(tokens))
		})
	}
}

// TestQualityOfItself: a model does not differ from itself, and windows that are left out are left out evenly.
func TestQualityOfItself(t *testing.T) {
	m := toy(t, "", nil)
	q, err := measureQuality(t.Context(), m, toy(t, "", nil), passage{text: sentence, window: 16, stride: 16, limit: 3})
	if err != nil {
		t.Fatal(err)
	}
	if q.Tokens != 3*15 || q.KL != 0 || q.SameTop != 1 || q.ChangedByPPL != 0 {
		t.Errorf("%+v", q)
	}
	if want := len(sentence) * 45 / len(sentence); q.Bytes != want {
		t.Errorf("%d bytes, want %d", q.Bytes, want)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := measureQuality(ctx, m, nil, passage{text: sentence, window: 16, stride: 16}); !errors.Is(err, context.Canceled) {
		t.Errorf("after an interrupt: %v", err)
	}
	for _, text := range []passage{{text: "", window: 16, stride: 8}, {text: "a", window: 16, stride: 8}, {text: "ab", window: 8, stride: 9}, {text: "ab", window: 130, stride: 1}} {
		if len(text.text) > 1 && text.window > 128 {
			text.text = strings.Repeat(sentence, 2)
		}
		if _, err := measureQuality(t.Context(), m, nil, text); err == nil {
			t.Errorf("%+v is measured", text)
		}
	}
}

// TestScoreTask: a model that knows the answers has them all right, by sum and by length; one that knows long wrong choices
// is right by sum alone.
func TestScoreTask(t *testing.T) {
	// The likeliest byte is the next one of the one text that the model knows.
	knows := func(known string) func(h []uint32) (uint32, bool) {
		return func(h []uint32) (uint32, bool) {
			if len(h) < len(known) && string(bytesOf(h)) == known[:len(h)] {
				return uint32(known[len(h)]), true
			}
			return 0, false
		}
	}
	task := Task{Name: "capitals", Items: []TaskItem{
		{Context: "The capital of France is ", Choices: []string{"Rome", "Paris", "Oslo"}, Answer: 1},
	}}
	for _, test := range []struct {
		known string
		right float64
	}{{"The capital of France is Paris", 1}, {"The capital of France is Oslo", 0}} {
		s, err := scoreTask(t.Context(), toy(t, "", knows(test.known)), task)
		if err != nil {
			t.Fatal(err)
		}
		if s.Accuracy != test.right || s.AccuracyNorm != test.right || s.Items != 1 {
			t.Errorf("who knows %q: %+v", test.known, s)
		}
	}
	// One byte is likelier than five; by byte it is not.
	m := toy(t, "", knows("Q: hello"))
	short := Task{Items: []TaskItem{{Context: "Q:", Choices: []string{" hello, and so on", " hello"}, Answer: 1}}}
	s, err := scoreTask(t.Context(), m, short)
	if err != nil || s.Accuracy != 1 || s.AccuracyNorm != 1 {
		t.Errorf("%+v, %v", s, err)
	}
	if _, err := scoreTask(t.Context(), m, Task{Items: []TaskItem{{Choices: []string{"a", "b"}}}}); err == nil {
		t.Error("a choice after nothing is scored")
	}
}

// TestLikelihood holds a choice's score to the sum of its bytes' logarithms, and white space before it to the choice.
func TestLikelihood(t *testing.T) {
	m := toy(t, "^", nil)
	all, err := m.encode("Q: yes", true)
	if err != nil {
		t.Fatal(err)
	}
	logs := rows(t, m, all)
	var want float64
	for i := len("^Q:"); i < len(all); i++ {
		want += logs[i-1][all[i]]
	}
	for _, item := range [][2]string{{"Q:", " yes"}, {"Q: ", "yes"}} {
		got, err := m.likelihood(t.Context(), item[0], item[1])
		if err != nil || math.Abs(got-want) > 1e-4 {
			t.Errorf("%q after %q: %v, %v, want %v", item[1], item[0], got, err, want)
		}
	}
}

func bytesOf(tokens []uint32) []byte {
	b := make([]byte, len(tokens))
	for i, v := range tokens {
		b[i] = byte(v)
	}
	return b
}

func TestParseTasks(t *testing.T) {
	t.Parallel()
	good := `{"name":"a","items":[{"context":"x","choices":[" y"," z"],"answer":1}]}`
	for _, text := range []string{good, "[" + good + "," + good + "]"} {
		if tasks, err := ParseTasks([]byte(text)); err != nil || tasks[0].Items[0].Choices[1] != " z" {
			t.Errorf("%s: %v, %v", text, tasks, err)
		}
	}
	for text, want := range map[string]string{
		``: "EOF", `{"name":"a"}`: "no items", `{"items":[{"choices":["y"]}]}`: "fewer than two", good + "x": "after the end",
		`{"items":[{"choices":["y","z"],"answer":2}]}`: "no choice 2", `{"items":[{"choices":["y"," "]}]}`: "choice 1 is empty",
		`{"items":[{"question":"x"}]}`: "question",
	} {
		if _, err := ParseTasks([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q in it", text, err, want)
		}
	}
}

func TestMeasureSpeed(t *testing.T) {
	m := toy(t, "", nil)
	s, err := measureSpeed(t.Context(), m, "some text", workload{promptTokens: 50, newTokens: 10, runs: 2})
	if err != nil || s.TokensPerSecond <= 0 || s.TimeToFirstToken <= 0 || s.PrefillPerSecond <= 0 {
		t.Errorf("%+v, %v", s, err)
	}
	if _, err := measureSpeed(t.Context(), m, "some text", workload{promptTokens: 120, newTokens: 10, runs: 2}); err == nil {
		t.Error("more tokens are timed than there is room for")
	}
}

// TestReport: every outlet holds every model, and the page and the picture are well-formed.
func TestReport(t *testing.T) {
	t.Parallel()
	r := Report{Tool: "v", Window: 512, Stride: 256, Reference: "m/float", Models: []Result{
		{Path: "m/<one>", Quantization: "int4", DiskBytes: 5e6, Quality: &Quality{Tokens: 9, Perplexity: 12.5, KL: 0.25, Reference: 10}, Speed: &Speed{TokensPerSecond: 80}},
		{Path: "m/two", Quantization: "int8", DiskBytes: 9e6, Quality: &Quality{Tokens: 9, Perplexity: 11}, Speed: &Speed{TokensPerSecond: 60}, Tasks: []TaskScore{{Name: "x", Accuracy: 0.5}}},
		{Path: "m/three"},
	}}
	for name, write := range map[string]func(io.Writer) error{"table": r.WriteTable, "json": r.WriteJSON, "page": r.WritePage, "picture": r.WritePicture} {
		var out bytes.Buffer
		if err := write(&out); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"one", "two", "12.5"} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%s: %q is not in it:\n%s", name, want, out.String())
			}
		}
		switch name {
		case "json":
			if err := json.Unmarshal(out.Bytes(), &Report{}); err != nil {
				t.Error(err)
			}
		case "picture":
			d := xml.NewDecoder(&out)
			circles := 0
			for {
				token, err := d.Token()
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					t.Fatalf("picture: %v", err)
				}
				if s, ok := token.(xml.StartElement); ok && s.Name.Local == "circle" {
					circles++
				}
			}
			if circles != 2 {
				t.Errorf("%d models are in the picture, want 2", circles)
			}
		}
	}
}
