package gateway

import (
	"net/http"

	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
)

// The article's defaults: those of model.generate(max_length=100), which counts the prompt and takes the likeliest token.
const articleMaxLength = 100

const articlePath = "/generate_text"

// generateText serves the route that articles about Flask and transformers show: POST /generate_text {"prompt": "…"} gives
// {"generated_text": "…"}, the prompt included.
func (g *Gateway) generateText(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Prompt    string `json:"prompt"`
		MaxLength *int   `json:"max_length"`
	}
	if p := decode(r, &in); p != nil {
		failArticle(w, p)
		return
	}
	length := articleMaxLength
	if in.MaxLength != nil {
		length = *in.MaxLength
	}
	if length < 1 {
		failArticle(w, invalid("max_length", "must be at least 1"))
		return
	}
	ctx := g.call(r.Context(), r)
	counted, err := g.tokenizer.CountTokens(ctx, &sluicev1.CountTokensRequest{
		Input: &sluicev1.CountTokensRequest_Prompt{Prompt: in.Prompt},
	})
	if err != nil {
		failArticle(w, translate(err, nil))
		return
	}
	left := min(length, int(counted.GetContextLength())) - int(counted.GetCount())
	if left < 1 { // transformers warns and generates nothing useful; an answer that says so is better
		failArticle(w, invalid("prompt", "has %d tokens, which leaves none of the %d of max_length", counted.GetCount(), length))
		return
	}
	answer, err := g.inference.Generate(ctx, &sluicev1.GenerateRequest{
		RequestId: requestID(r),
		Input:     &sluicev1.GenerateRequest_Prompt{Prompt: in.Prompt},
		Sampling:  &sluicev1.Sampling{MaxTokens: new(uint32(left)), Temperature: new(float32(0))}, //nolint:gosec // from 1 to the context
		Output:    &sluicev1.OutputOptions{Echo: true},
	})
	if err != nil {
		failArticle(w, translate(err, nil))
		return
	}
	write(w, http.StatusOK, map[string]string{"generated_text": answer.GetOutputs()[0].GetText()})
}

// failArticle answers as such servers do.
func failArticle(w http.ResponseWriter, p *problem) {
	p.advise(w)
	write(w, p.status, map[string]string{"error": p.message})
}
