package gateway_test

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluiceml/sluice/inference/inferencetest"
	"github.com/sluiceml/sluice/inference/runner"
	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
	"github.com/sluiceml/sluice/server/servertest"
)

type embeddingList[T any] struct {
	Object, Model string
	Data          []struct {
		Object    string
		Index     int
		Embedding T
	}
	Usage usage
}

// embedder is a toy that gives embeddings.
func embedder() servertest.Toy {
	return servertest.Toy{Session: inferencetest.ToyConfig{
		Limits: runner.Limits{Slots: 4, MaxLength: 256, MaxChunk: 16, HiddenSize: 5},
	}}
}

// TestEmbeddings: the forms of inputs and of vectors are those of Embed.
func TestEmbeddings(t *testing.T) {
	t.Parallel()
	d := open(t, embedder(), "")
	native := func(in *sluicev1.EmbedRequest) [][]float32 {
		t.Helper()
		for _, text := range []string{"one", "two"} {
			in.Inputs = append(in.Inputs, &sluicev1.EmbedInput{Input: &sluicev1.EmbedInput_Text{Text: text}})
		}
		got, err := d.native.Embed(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		return [][]float32{got.GetEmbeddings()[0].GetValues(), got.GetEmbeddings()[1].GetValues()}
	}
	want := native(&sluicev1.EmbedRequest{})

	both := answered[embeddingList[[]float32]](t, d, "/v1/embeddings", `{"model":"toy","input":["one","two"],"user":"u"}`)
	if both.Object != "list" || both.Model != "toy" || both.Usage != (usage{Prompt: 8, Total: 8}) {
		t.Errorf("%+v", both)
	}
	for i, data := range both.Data {
		if diff := cmp.Diff(want[i], data.Embedding); diff != "" || data.Object != "embedding" || data.Index != i {
			t.Errorf("%+v: -native +here\n%s", data, diff)
		}
	}
	for _, input := range []string{`"one"`, `[256,111,110,101]`, `[[256,111,110,101]]`} {
		one := answered[embeddingList[string]](t, d, "/v1/embeddings", `{"encoding_format":"base64","input":`+input+`}`)
		raw, err := base64.StdEncoding.DecodeString(one.Data[0].Embedding)
		if err != nil {
			t.Fatal(err)
		}
		got := make([]float32, len(raw)/4)
		if err := binary.Read(bytes.NewReader(raw), binary.LittleEndian, got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want[0], got); diff != "" || len(one.Data) != 1 {
			t.Errorf("%s: -native +here\n%s", input, diff)
		}
	}
	want = native(&sluicev1.EmbedRequest{Dimensions: new(uint32(3)), Normalize: new(false), Pooling: sluicev1.Pooling_POOLING_LAST})
	got := answered[embeddingList[[]float32]](t, d, "/v1/embeddings", `{"input":["one","two"],"dimensions":3,"normalize":false,"pooling":"last"}`)
	if diff := cmp.Diff(want[1], got.Data[1].Embedding); diff != "" {
		t.Errorf("-native +here\n%s", diff)
	}
}

// TestBadEmbeddings: errors name the fields as OpenAI's API does.
func TestBadEmbeddings(t *testing.T) {
	t.Parallel()
	d := open(t, embedder(), "")
	for _, c := range []struct{ body, param string }{
		{`{}`, `"param":"input"`},
		{`{"input":[]}`, `"param":"input[0].tokens.ids"`},
		{`{"input":{}}`, `"param":"input"`},
		{`{"input":["x",""]}`, `"param":"input[1].text"`},
		{`{"input":[[1],[1,999]]}`, `"param":"input[1].tokens.ids[1]"`},
		{`{"input":"x","encoding_format":"hex"}`, `"param":"encoding_format"`},
		{`{"input":"x","pooling":"max"}`, `"param":"pooling"`},
		{`{"input":"x","dimensions":6}`, `"param":"dimensions"`},
		{`{"input":"x","dimensions":0}`, `"param":"dimensions"`},
		{`{"input":"x","truncate":true}`, `"param":"truncate"`},
		{`{"input":["` + strings.Repeat("x", 300) + `"]}`, `"param":"input[0].text"`},
	} {
		if res, text := d.post(t, "/v1/embeddings", c.body); res.StatusCode != http.StatusBadRequest || !strings.Contains(text, c.param) {
			t.Errorf("%s: %s: %s, want %s", c.body, res.Status, text, c.param)
		}
	}
	none := open(t, servertest.Toy{}, "")
	if res, text := none.post(t, "/v1/embeddings", `{"input":"x"}`); res.StatusCode != http.StatusBadRequest || !strings.Contains(text, `"code":"no_embeddings"`) {
		t.Errorf("a model without: %s: %s", res.Status, text)
	}
}
