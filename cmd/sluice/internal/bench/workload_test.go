package bench

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestWorkloadIsTheSameInAnyOrder(t *testing.T) {
	t.Parallel()
	for _, form := range []Form{TokenIDs, Words} {
		w := Workload{
			Seed: 3, Prompt: Lengths{Mean: 20, Sigma: 1}, Answer: Lengths{Mean: 30, Sigma: 1}, Prefix: 4, Form: form,
			Vocabulary: 49152,
		}
		var forward, backward []Request
		for i := range uint64(50) {
			forward = append(forward, w.Request(i))
		}
		for i := range uint64(50) {
			backward = append(backward, w.Request(49-i))
		}
		slices.Reverse(backward)
		if diff := cmp.Diff(forward, backward); diff != "" {
			t.Errorf("%s: %s", form, diff)
		}
		other := w
		other.Seed = 4
		if cmp.Equal(w.Request(1), other.Request(1)) {
			t.Errorf("%s: two seeds gave the same request", form)
		}
	}
}

func TestWorkloadFixed(t *testing.T) {
	t.Parallel()
	w := Workload{Seed: 1, Prompt: Lengths{Mean: 16}, Answer: Lengths{Mean: 8}, Prefix: 5, Form: TokenIDs, Vocabulary: 49152}
	a, b := w.Request(1), w.Request(2)
	if len(a.IDs) != 21 || a.MaxTokens != 8 || a.Text != "" {
		t.Errorf("got %d ids, %d tokens to make, text %q", len(a.IDs), a.MaxTokens, a.Text)
	}
	if !slices.Equal(a.IDs[:5], b.IDs[:5]) {
		t.Errorf("the shared prefix differs: %v, %v", a.IDs[:5], b.IDs[:5])
	}
	if slices.Equal(a.IDs[5:], b.IDs[5:]) {
		t.Error("two requests have the same prompt")
	}
	if w.Longest() != 29 {
		t.Errorf("the longest is %d", w.Longest())
	}
	w.Form = Words
	a, b = w.Request(1), w.Request(2)
	all := strings.Fields(a.Text)
	if len(all) != 21 || a.IDs != nil || !slices.Equal(all[:5], strings.Fields(b.Text)[:5]) {
		t.Errorf("got %q and %q", a.Text, b.Text)
	}
}

func TestWorkloadIDsAreOfTheVocabulary(t *testing.T) {
	t.Parallel()
	for _, size := range []int{1, 2, 7, 256, 49152} {
		w := Workload{Prompt: Lengths{Mean: 200}, Answer: Lengths{Mean: 1}, Form: TokenIDs, Vocabulary: size}
		if ids := w.Request(0).IDs; int(slices.Max(ids)) >= size {
			t.Errorf("id %d in a vocabulary of %d", slices.Max(ids), size)
		}
	}
}

func TestLogNormalLengths(t *testing.T) {
	t.Parallel()
	w := Workload{
		Seed: 1, Prompt: Lengths{Mean: 161, Sigma: 1.3}, Answer: Lengths{Mean: 338, Sigma: 0.9, Max: 1024},
		Form: TokenIDs, Vocabulary: 100,
	}
	var prompts, answers []int
	sum := 0.0
	const n = 20_000
	for i := range uint64(n) {
		r := w.Request(i)
		prompts, answers = append(prompts, len(r.IDs)), append(answers, r.MaxTokens)
		sum += float64(len(r.IDs))
	}
	slices.Sort(prompts)
	slices.Sort(answers)
	if mean := sum / n; math.Abs(mean/161-1) > 0.08 { // four standard errors
		t.Errorf("prompts are %g tokens long on average, want 161", mean)
	}
	if median := prompts[n/2]; median < 66 || median > 72 {
		t.Errorf("half of the prompts are up to %d tokens, want 69", median)
	}
	if answers[0] < 1 || answers[n-1] != 1024 {
		t.Errorf("answers from %d to %d tokens", answers[0], answers[n-1])
	}
	if prompts[0] < 1 {
		t.Errorf("a prompt of %d tokens", prompts[0])
	}
}

func TestWordsAreDistinct(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, w := range words {
		if seen[w] || strings.TrimSpace(w) != w || w == "" {
			t.Errorf("%q is there twice, or is no word", w)
		}
		seen[w] = true
	}
}
