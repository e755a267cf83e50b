package sluice_test

import (
	"math"
	"slices"
	"testing"

	sluice "github.com/sluiceml/sluice/clients/go"
	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
)

func TestServerEmbed(t *testing.T) {
	client := server(t)
	res, err := client.Embed(t.Context(), sluice.Texts(prompts[:2]...))
	if err != nil {
		t.Fatal(err)
	}
	about, err := client.Model(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	if res.GetModel() != model || res.GetId() == "" || res.GetPooling() != sluicev1.Pooling_POOLING_MEAN || len(res.GetEmbeddings()) != 2 {
		t.Errorf("got %v", res)
	}
	for i, e := range res.GetEmbeddings() {
		squares := 0.0
		for _, v := range e.GetValues() {
			squares += float64(v) * float64(v)
		}
		if len(e.GetValues()) != int(about.GetEmbeddingSize()) || math.Abs(squares-1) > 1e-5 {
			t.Errorf("input %d: %d values of length %v", i, len(e.GetValues()), math.Sqrt(squares))
		}
		alone, err := client.Embed(t.Context(), sluice.Texts(prompts[i]))
		if err != nil || !slices.Equal(alone.GetEmbeddings()[0].GetValues(), e.GetValues()) {
			t.Errorf("input %d has another vector alone: %v", i, err)
		}
	}
	_, err = client.Embed(t.Context(), sluice.Texts())
	wantViolation(t, err, "inputs")
}
