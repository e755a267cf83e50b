package e2e_test

import (
	"encoding/json"
	"math"
	"os"
	"slices"
	"strconv"
	"testing"

	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
)

// samplingGolden is what transformers' generate says of the float32 weights; scripts/parity/README.md has the command.
type samplingGolden struct {
	Prompt            string             `json:"prompt"`
	RepetitionPenalty *float32           `json:"repetition_penalty"`
	NoRepeatNGramSize *uint32            `json:"no_repeat_ngram_size"`
	BadWords          []string           `json:"bad_words"`
	MinTokens         *uint32            `json:"min_tokens"`
	LogitBias         map[string]float32 `json:"logit_bias"` // by token id
	Allowed           []uint32           `json:"allowed"`

	PromptIDs      []uint32         `json:"prompt_ids"`
	Tokens         []uint32         `json:"tokens"`
	Gaps           []float64        `json:"gaps"` // largest processed score less the second, before each token
	PromptLogprobs []positionGolden `json:"prompt_logprobs"`
	Logprobs       []positionGolden `json:"logprobs"`
}

// positionGolden is a token's log-probability and rank, and those of the most likely ones.
type positionGolden struct {
	logprob float64
	rank    uint32
	topIDs  []uint32
	top     []float64
}

func (p *positionGolden) UnmarshalJSON(text []byte) error {
	return json.Unmarshal(text, &[]any{&p.logprob, &p.rank, &p.topIDs, &p.top}) //nolint:wrapcheck // a test's own file
}

func (g samplingGolden) request() *sluicev1.GenerateRequest {
	sampling := greedy(uint32(len(g.Gaps)))
	sampling.RepetitionPenalty, sampling.NoRepeatNgramSize, sampling.MinTokens = g.RepetitionPenalty, g.NoRepeatNGramSize, g.MinTokens
	sampling.BadWords, sampling.AllowedTokenIds = g.BadWords, g.Allowed
	for id, bias := range g.LogitBias {
		n, err := strconv.ParseUint(id, 10, 32)
		if err != nil {
			panic(err)
		}
		if sampling.LogitBias == nil {
			sampling.LogitBias = make(map[uint32]float32)
		}
		sampling.LogitBias[uint32(n)] = bias
	}
	most := uint32(5)
	return &sluicev1.GenerateRequest{
		Model: "none", Input: &sluicev1.GenerateRequest_Prompt{Prompt: g.Prompt}, Sampling: sampling,
		Output: &sluicev1.OutputOptions{TokenIds: true, Logprobs: &most, PromptLogprobs: &most},
	}
}

// TestSamplingEqualsTransformers compares greedy continuations under each processor, and the log-probabilities of
// prompts and outputs, with transformers' generate on the same float32 weights, through gRPC. A position whose two
// largest scores are closer than 2e-3 may end a comparison: there the order of float32 additions decides.
func TestSamplingEqualsTransformers(t *testing.T) {
	text, err := os.ReadFile("testdata/sampling.json")
	if err != nil {
		t.Fatal(err)
	}
	var all []samplingGolden
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	s := serve(t, nil, "--model", "none="+folder)
	ctx := deadline(t)
	compared, worst := 0, 0.0
	for i, g := range all {
		response, err := s.Generate(ctx, g.request())
		if err != nil {
			t.Errorf("case %d: %v", i, err)
			continue
		}
		prompt := response.GetPromptLogprobs()
		if len(prompt) != len(g.PromptIDs) {
			t.Errorf("case %d: %d log-probabilities for a prompt of %d", i, len(prompt), len(g.PromptIDs))
			continue
		}
		if first := prompt[0]; first.GetChosen().GetRank() != 0 || first.GetChosen().GetTokenId() != g.PromptIDs[0] || len(first.GetTop()) > 0 {
			t.Errorf("case %d: the first token of the prompt has %v", i, first)
		}
		for k, want := range g.PromptLogprobs {
			worst = max(worst, want.compare(t, i, k, g.PromptIDs[k+1], prompt[k+1]))
		}
		output := response.GetOutputs()[0]
		if len(output.GetLogprobs()) != len(output.GetTokenIds()) {
			t.Errorf("case %d: %d log-probabilities for %d tokens", i, len(output.GetLogprobs()), len(output.GetTokenIds()))
			continue
		}
		same := 0
		for k, id := range output.GetTokenIds() {
			if k == len(g.Tokens) || id != g.Tokens[k] {
				break
			}
			worst = max(worst, g.Logprobs[k].compare(t, i, k, id, output.GetLogprobs()[k]))
			same++
		}
		compared += same
		if !slices.Equal(output.GetTokenIds(), g.Tokens) && (same == len(g.Gaps) || g.Gaps[same] >= 2e-3) {
			t.Errorf("case %d, token %d: got %v, want %v; the gap is %g", i, same, output.GetTokenIds(), g.Tokens, g.Gaps[min(same, len(g.Gaps)-1)])
		}
	}
	t.Logf("%d tokens compared equal; the largest difference of a log-probability is %.2g", compared, worst)
}

// compare holds a position to 1e-4 and returns the largest difference. Tokens that are nearer to each other than that may
// change places.
func (p *positionGolden) compare(t *testing.T, i, k int, id uint32, got *sluicev1.TokenLogprobs) (worst float64) {
	t.Helper()
	chosen := got.GetChosen()
	near := func(got float32, want float64) bool {
		worst = max(worst, math.Abs(float64(got)-want))
		return math.Abs(float64(got)-want) <= 1e-4
	}
	if chosen.GetTokenId() != id || !near(chosen.GetLogprob(), p.logprob) {
		t.Errorf("case %d, position %d: token %d has %v, want %g", i, k, id, chosen, p.logprob)
	}
	if p.rank <= uint32(len(p.top)) && chosen.GetRank() != p.rank { // further down many are equally unlikely
		t.Errorf("case %d, position %d: rank %d, want %d", i, k, chosen.GetRank(), p.rank)
	}
	if len(got.GetTop()) != len(p.top) {
		t.Fatalf("case %d, position %d: the %d most likely, want %d", i, k, len(got.GetTop()), len(p.top))
	}
	for n, token := range got.GetTop() {
		if !near(token.GetLogprob(), p.top[n]) || token.GetRank() != uint32(n+1) {
			t.Errorf("case %d, position %d: number %d is %v, want %g", i, k, n, token, p.top[n])
		}
		if token.GetTokenId() != p.topIDs[n] && (n+1 == len(p.top) || p.top[n]-p.top[n+1] > 1e-4) && (n == 0 || p.top[n-1]-p.top[n] > 1e-4) {
			t.Errorf("case %d, position %d: number %d is token %d, want %d", i, k, n, token.GetTokenId(), p.topIDs[n])
		}
	}
	return worst
}
