package server_test

import (
	"context"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/sluiceml/sluice/inference"
	"github.com/sluiceml/sluice/inference/inferencetest"
	"github.com/sluiceml/sluice/inference/runner"
	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
	"github.com/sluiceml/sluice/server/servertest"
)

const embeddingSize = 6

// embedderToy is a model that gives embeddings.
func embedderToy(t *testing.T) *inference.Model {
	t.Helper()
	return servertest.Toy{Session: inferencetest.ToyConfig{
		Limits: runner.Limits{Slots: 3, MaxLength: 256, MaxChunk: 32, Blocks: 64, HiddenSize: embeddingSize},
	}}.Model(t)
}

// embedText is an input of text.
func embedText(text string) *sluicev1.EmbedInput {
	return &sluicev1.EmbedInput{Input: &sluicev1.EmbedInput_Text{Text: text}}
}

// toyTokens are the tokens of a text, behind the begin token.
func toyTokens(text string) []uint32 {
	ids := []uint32{servertest.EndOfText}
	for i := range len(text) {
		ids = append(ids, uint32(text[i]))
	}
	return ids
}

// wantVector is the vector of tokens, computed without a server.
func wantVector(kind sluicev1.Pooling, ids []uint32, dimensions int, normalized bool) []float32 {
	sum, n := make([]float64, embeddingSize), 0
	for i := range ids {
		if kind == sluicev1.Pooling_POOLING_LAST && i < len(ids)-1 || kind == sluicev1.Pooling_POOLING_CLS && i > 0 {
			continue
		}
		for k, v := range inferencetest.ToyHidden(embeddingSize, ids[:i+1]) {
			sum[k] += float64(v)
		}
		n++
	}
	vector, squares := make([]float32, dimensions), 0.0
	for k := range vector {
		vector[k] = float32(sum[k] / float64(n))
		squares += float64(vector[k]) * float64(vector[k])
	}
	for k := range vector {
		if normalized {
			vector[k] = float32(float64(vector[k]) / math.Sqrt(squares))
		}
	}
	return vector
}

// TestEmbed: vectors are exactly those of their inputs alone, of each kind of pooling, while the model generates.
func TestEmbed(t *testing.T) {
	t.Parallel()
	i := servertest.Start(t, []*inference.Model{embedderToy(t)})
	client := generator(i)
	texts := []string{"a", "The quick brown fox.", strings.Repeat("long ", 45), "é<|im_end|>", "The quick brown fox jumps."}
	var wait sync.WaitGroup
	defer wait.Wait()
	for range 4 {
		wait.Go(func() {
			if _, err := client.Generate(context.Background(), greedy("beside", 60)); err != nil {
				t.Error(err)
			}
		})
	}
	for _, test := range []struct {
		kind, used sluicev1.Pooling
		dimensions *uint32
		normalize  *bool
	}{
		{0, sluicev1.Pooling_POOLING_MEAN, nil, nil},
		{sluicev1.Pooling_POOLING_MEAN, sluicev1.Pooling_POOLING_MEAN, proto.Uint32(6), new(false)},
		{sluicev1.Pooling_POOLING_LAST, sluicev1.Pooling_POOLING_LAST, proto.Uint32(2), new(true)},
		{sluicev1.Pooling_POOLING_CLS, sluicev1.Pooling_POOLING_CLS, nil, new(false)},
	} {
		in := &sluicev1.EmbedRequest{Pooling: test.kind, Dimensions: test.dimensions, Normalize: test.normalize, RequestId: "mine"}
		for _, text := range texts {
			in.Inputs = append(in.Inputs, embedText(text))
		}
		in.Inputs = append(in.Inputs, &sluicev1.EmbedInput{Input: &sluicev1.EmbedInput_Tokens{Tokens: &sluicev1.Tokens{Ids: []uint32{1, 2, 3}}}})
		got, err := client.Embed(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		if got.GetId() != "mine" || got.GetModel() != "toy" || got.GetPooling() != test.used || len(got.GetEmbeddings()) != len(in.GetInputs()) {
			t.Fatalf("got %v", got)
		}
		dimensions, sum := embeddingSize, 0
		if test.dimensions != nil {
			dimensions = int(*test.dimensions)
		}
		for n, e := range got.GetEmbeddings() {
			ids := []uint32{1, 2, 3}
			if n < len(texts) {
				ids = toyTokens(texts[n])
			}
			want := wantVector(test.used, ids, dimensions, test.normalize == nil || *test.normalize)
			if diff := cmp.Diff(want, e.GetValues()); diff != "" || int(e.GetTokens()) != len(ids) {
				t.Errorf("%v: input %d of %d tokens, not %d: -want +got\n%s", test.used, n, e.GetTokens(), len(ids), diff)
			}
			sum += len(ids)
		}
		if u := got.GetUsage(); int(u.GetPromptTokens()) != sum || u.GetCompletionTokens() != 0 {
			t.Errorf("%v: usage %v, want %d tokens", test.used, u, sum)
		}
	}
	parsed, err := client.Embed(t.Context(), &sluicev1.EmbedRequest{Inputs: []*sluicev1.EmbedInput{embedText("<|im_end|>")}, ParseSpecial: true})
	if err != nil || parsed.GetEmbeddings()[0].GetTokens() != 2 {
		t.Errorf("a special token that is parsed: %v, %v", parsed, err)
	}
	model, err := sluicev1.NewModelServiceClient(i.Conn).GetModel(t.Context(), &sluicev1.GetModelRequest{})
	if m := model.GetModel(); err != nil || m.GetEmbeddingSize() != embeddingSize || m.GetPooling() != "mean" {
		t.Errorf("got %v, %v", model, err)
	}
}

// TestBadEmbeds: what cannot be embedded is refused by name.
func TestBadEmbeds(t *testing.T) {
	t.Parallel()
	i := servertest.Start(t, []*inference.Model{embedderToy(t)})
	client := generator(i)
	many := func(n int, text string) []*sluicev1.EmbedInput {
		out := make([]*sluicev1.EmbedInput, n)
		for k := range out {
			out[k] = embedText(text)
		}
		return out
	}
	one := many(1, "x")
	for _, test := range []struct {
		field string
		in    *sluicev1.EmbedRequest
	}{
		{"inputs", &sluicev1.EmbedRequest{}},
		{"inputs", &sluicev1.EmbedRequest{Inputs: many(inference.MaxEmbedInputs+1, "x")}},
		{"inputs", &sluicev1.EmbedRequest{Inputs: many(1100, strings.Repeat("x", 250))}}, // 276,100 tokens
		{"inputs[1].text", &sluicev1.EmbedRequest{Inputs: append(many(1, "x"), embedText(""))}},
		{"inputs[1].text", &sluicev1.EmbedRequest{Inputs: append(many(1, "x"), embedText(strings.Repeat("x", 256)))}},
		{"inputs[1].text", &sluicev1.EmbedRequest{Inputs: append(many(1, "x"), embedText(strings.Repeat("x", 10<<20)))}},
		{"inputs[1].input", &sluicev1.EmbedRequest{Inputs: append(many(1, "x"), &sluicev1.EmbedInput{})}},
		{"inputs[0].tokens.ids", &sluicev1.EmbedRequest{Inputs: []*sluicev1.EmbedInput{{Input: &sluicev1.EmbedInput_Tokens{}}}}},
		{"inputs[0].tokens.ids[1]", &sluicev1.EmbedRequest{Inputs: []*sluicev1.EmbedInput{
			{Input: &sluicev1.EmbedInput_Tokens{Tokens: &sluicev1.Tokens{Ids: []uint32{1, servertest.VocabSize}}}},
		}}},
		{"pooling", &sluicev1.EmbedRequest{Inputs: one, Pooling: 99}},
		{"dimensions", &sluicev1.EmbedRequest{Inputs: one, Dimensions: proto.Uint32(0)}},
		{"dimensions", &sluicev1.EmbedRequest{Inputs: one, Dimensions: proto.Uint32(embeddingSize + 1)}},
		{"priority", &sluicev1.EmbedRequest{Inputs: one, Priority: 101}},
		{"request_id", &sluicev1.EmbedRequest{Inputs: one, RequestId: "\n"}},
	} {
		_, err := client.Embed(t.Context(), test.in)
		if got := violations(t, wantStatus(t, err, codes.InvalidArgument)); got != test.field {
			t.Errorf("violations of %q, want %q: %v", got, test.field, err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
	defer cancel()
	_, err := client.Embed(ctx, &sluicev1.EmbedRequest{Inputs: one})
	wantStatus(t, err, codes.DeadlineExceeded)
	_, err = client.Embed(t.Context(), &sluicev1.EmbedRequest{Model: "none such", Inputs: one})
	wantStatus(t, err, codes.NotFound)
}

// TestNoEmbeddings: a model whose session gives no hidden states says so, and why.
func TestNoEmbeddings(t *testing.T) {
	t.Parallel()
	i := servertest.Start(t, []*inference.Model{cachingToy(t)})
	_, err := generator(i).Embed(t.Context(), &sluicev1.EmbedRequest{Inputs: []*sluicev1.EmbedInput{embedText("x")}})
	st := wantStatus(t, err, codes.FailedPrecondition)
	info, ok := st.Details()[0].(*errdetails.ErrorInfo)
	if !ok || info.GetReason() != "NO_EMBEDDINGS" || !strings.Contains(st.Message(), `"toy" gives no embeddings`) {
		t.Errorf("got %v", st)
	}
}
