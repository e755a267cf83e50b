package gateway

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"math"
	"net/http"

	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
)

// embeddingsRequest is the body of POST /v1/embeddings.
type embeddingsRequest struct {
	Model          string          `json:"model"`
	Input          embeddingsInput `json:"input"`
	EncodingFormat string          `json:"encoding_format"`
	Dimensions     *uint32         `json:"dimensions"`
	User           json.RawMessage `json:"user"` // of no effect

	// Beyond OpenAI's API.
	Pooling   string `json:"pooling"`
	Normalize *bool  `json:"normalize"`
	Priority  int32  `json:"priority"`
}

// embeddingsInput is what to embed, in the forms of a completion's prompt.
type embeddingsInput struct{ promptList }

// UnmarshalJSON implements json.Unmarshaler.
func (in *embeddingsInput) UnmarshalJSON(text []byte) error {
	err := in.promptList.UnmarshalJSON(text)
	if _, ok := errors.AsType[*problem](err); ok {
		return invalid("input", "must be a string, an array of strings, an array of token ids or an array of such arrays")
	}
	return err
}

// The forms of a vector in an answer.
const (
	formatFloat  = "float"
	formatBase64 = "base64" // of its values as little-endian float32
)

// request is the native request.
func (in *embeddingsRequest) request() (*sluicev1.EmbedRequest, *problem) {
	out := &sluicev1.EmbedRequest{
		Model: in.Model, Dimensions: in.Dimensions, Normalize: in.Normalize, Priority: in.Priority,
	}
	switch in.EncodingFormat {
	case "", formatFloat, formatBase64:
	default:
		return nil, invalid("encoding_format", "must be float or base64")
	}
	switch in.Pooling {
	case "":
	case "mean":
		out.Pooling = sluicev1.Pooling_POOLING_MEAN
	case "last":
		out.Pooling = sluicev1.Pooling_POOLING_LAST
	case "cls":
		out.Pooling = sluicev1.Pooling_POOLING_CLS
	default:
		return nil, invalid("pooling", "must be mean, last or cls")
	}
	for _, text := range in.Input.texts {
		out.Inputs = append(out.Inputs, &sluicev1.EmbedInput{Input: &sluicev1.EmbedInput_Text{Text: text}})
	}
	for _, ids := range in.Input.tokens {
		out.Inputs = append(out.Inputs, &sluicev1.EmbedInput{Input: &sluicev1.EmbedInput_Tokens{Tokens: &sluicev1.Tokens{Ids: ids}}})
	}
	return out, nil
}

// embeddingNames are the fields of embeddings, by their native names.
var embeddingNames = map[string]string{"inputs": "input"} //nolint:gochecknoglobals // a table

// embeddingList is an answer.
type embeddingList struct {
	Object string          `json:"object"`
	Data   []embedding     `json:"data"`
	Model  string          `json:"model"`
	Usage  embeddingsUsage `json:"usage"`
}

type embedding struct {
	Object    string `json:"object"`
	Index     int    `json:"index"`
	Embedding any    `json:"embedding"` // []float32, or a string
}

type embeddingsUsage struct {
	PromptTokens uint32 `json:"prompt_tokens"`
	TotalTokens  uint32 `json:"total_tokens"`
}

func (g *Gateway) embeddings(w http.ResponseWriter, r *http.Request) {
	var in embeddingsRequest
	if p := decode(r, &in); p != nil {
		fail(w, p)
		return
	}
	request, p := in.request()
	if p != nil {
		fail(w, p)
		return
	}
	request.RequestId = requestID(r)
	answer, err := g.inference.Embed(g.call(r.Context(), r), request)
	if err != nil {
		fail(w, translate(err, embeddingNames))
		return
	}
	tokens := answer.GetUsage().GetPromptTokens()
	out := embeddingList{
		Object: "list", Model: answer.GetModel(), Usage: embeddingsUsage{PromptTokens: tokens, TotalTokens: tokens},
		Data: make([]embedding, len(answer.GetEmbeddings())),
	}
	for i, e := range answer.GetEmbeddings() {
		out.Data[i] = embedding{Object: "embedding", Index: i, Embedding: e.GetValues()}
		if in.EncodingFormat == formatBase64 {
			out.Data[i].Embedding = base64Floats(e.GetValues())
		}
	}
	write(w, http.StatusOK, out)
}

// base64Floats is a vector as formatBase64 has it.
func base64Floats(values []float32) string {
	raw := make([]byte, 0, 4*len(values))
	for _, v := range values {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
	}
	return base64.StdEncoding.EncodeToString(raw)
}
