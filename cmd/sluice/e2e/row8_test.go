package e2e_test

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/sluiceml/sluice/inference/ort/kernels"
	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
)

// TestRow8 serves the default model in the form row8, on the kernels and as a hybrid graph, in which prompts ride along with
// decode rows and requests that run alone are speculated on. None of it shows in the tokens.
func TestRow8(t *testing.T) {
	folder := convert(t, "row8")
	for name, flags := range map[string][]string{"kernels": nil, "hybrid graph": {"--no-kernels"}} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, nil, append([]string{"--model", "row8=" + folder, "--slots", "32"}, flags...)...)
			// Of a token the prefix cache keeps numbers of 16 bits, or of 32 and 8.
			bytes := 46080 + 11520.0
			if name == "kernels" && kernels.Supported() {
				bytes = 23040
			}
			t.Run("bytes of a token", func(t *testing.T) { testTokenBytes(t, s, bytes) })
			t.Run("together equals alone", func(t *testing.T) { testTogether(t, s) })
			t.Run("prefix cache", func(t *testing.T) { testPrefixCache(t, s) })
			t.Run("speculation", func(t *testing.T) {
				testSpeculation(t, s, serve(t, nil, append([]string{"--model", "row8=" + folder, "--no-speculation"}, flags...)...))
			})
		})
	}
}

// testTokenBytes runs the first prompt of a server, and looks at what the prefix cache takes for its whole blocks.
func testTokenBytes(t *testing.T, s *server, want float64) {
	t.Helper()
	const length, whole = 40, 32
	ctx := deadline(t)
	if _, err := s.Generate(ctx, continued(tokens(rand.New(rand.NewPCG(39, 40)), length), greedy(2), nil)); err != nil {
		t.Fatal(err)
	}
	s.idle(ctx)
	if got := s.metric("sluice_prefix_cache_size_bytes") / whole; got != want {
		t.Errorf("%v bytes a token, want %v", got, want)
	}
}

// copying are prompts whose answers repeat much of them, and two that do not.
func copying() []*sluicev1.GenerateRequest {
	list := "apples, pears, plums, cherries, quinces, figs, grapes, melons, lemons, limes, oranges, bananas"
	code := "func add(a, b int) int {\n\treturn a + b\n}\n\nfunc sub(a, b int) int {\n\treturn a - b\n}\n\n"
	warm, seed := float32(0.7), uint64(11)
	sampled := greedy(64)
	sampled.Temperature, sampled.Seed = &warm, &seed
	return []*sluicev1.GenerateRequest{
		prompt("The list: "+list+".\nThe list again: "+list+".\nOnce more, the list:", greedy(96)),
		prompt(code+code+code, greedy(96)),
		prompt(code+code+code, sampled),
		prompt(strings.Repeat("1 2 3 4 5 6 7 8 9 10 ", 4), greedy(64)),
		prompt("A short poem about the sea:", greedy(48)),
		prompt("Q: Why is the sky blue?\nA:", sampled),
	}
}

func testSpeculation(t *testing.T, with, without *server) {
	t.Helper()
	ctx := deadline(t)
	for i, request := range copying() {
		want, err := without.Generate(ctx, request)
		if err != nil {
			t.Fatal(err)
		}
		got, err := with.Generate(ctx, request)
		if err != nil {
			t.Fatal(err)
		}
		a, b := want.GetOutputs()[0], got.GetOutputs()[0]
		if !slices.Equal(a.GetTokenIds(), b.GetTokenIds()) || a.GetText() != b.GetText() || a.GetFinishReason() != b.GetFinishReason() {
			t.Errorf("request %d:\nwith speculation    %v %q\nwithout speculation %v %q", i, b.GetTokenIds(), b.GetText(), a.GetTokenIds(), a.GetText())
		}
	}
	drafted, accepted := with.metric("sluice_speculation_draft_tokens_total"), with.metric("sluice_speculation_accepted_tokens_total")
	t.Logf("%v of %v guesses were right", accepted, drafted)
	if accepted < 20 || accepted > drafted {
		t.Errorf("%v of %v guesses were right", accepted, drafted)
	}
	if n := without.metric("sluice_speculation_draft_tokens_total"); n != 0 {
		t.Errorf("%v guesses with speculation off", n)
	}
}
