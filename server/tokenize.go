package server

import (
	"context"
	"fmt"

	"github.com/sluiceml/sluice/inference"
	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
	"github.com/sluiceml/sluice/tokenizer"
)

// tokenizerService is sluice.v1.TokenizerService over the registry. It runs in the caller's goroutine and takes no
// slot, so that its inputs are bounded by size and by the model's turns of encoding.
type tokenizerService struct {
	sluicev1.UnimplementedTokenizerServiceServer

	models Registry
}

// Tokenize turns text into token ids.
func (s *tokenizerService) Tokenize(ctx context.Context, in *sluicev1.TokenizeRequest) (*sluicev1.TokenizeResponse, error) {
	model, err := findModel(ctx, s.models, in.GetModel())
	if err != nil {
		return nil, err
	}
	if len(in.GetText()) > maxTokenizeBytes {
		return nil, inference.Invalid("text", "must have at most %d bytes", maxTokenizeBytes)
	}
	options := tokenizer.EncodeOptions{AddSpecialTokens: in.AddSpecialTokens == nil || in.GetAddSpecialTokens()}
	if in.ParseSpecial != nil && !in.GetParseSpecial() {
		options.Special = tokenizer.SpecialAsText
	}
	ids, err := model.Encode(ctx, in.GetText(), options)
	if err != nil {
		return nil, fmt.Errorf("tokenize: %w", err)
	}
	tok := model.Tokenizer()
	tokens := make([]sluicev1.Token, len(ids))
	out := &sluicev1.TokenizeResponse{Tokens: make([]*sluicev1.Token, len(ids))}
	for i, id := range ids {
		tokens[i].Id, tokens[i].Bytes, tokens[i].Special = id, tok.Bytes(id), tok.IsSpecial(id)
		out.Tokens[i] = &tokens[i]
	}
	return out, nil
}

// Detokenize turns token ids into text.
func (s *tokenizerService) Detokenize(ctx context.Context, in *sluicev1.DetokenizeRequest) (*sluicev1.DetokenizeResponse, error) {
	model, err := findModel(ctx, s.models, in.GetModel())
	if err != nil {
		return nil, err
	}
	tok := model.Tokenizer()
	var v violations
	limits{vocab: tok.Size()}.checkIDs(&v, "ids", in.GetIds())
	if err := v.err(); err != nil {
		return nil, err
	}
	size := 0 // a token of one byte on the wire may stand for hundreds
	for _, id := range in.GetIds() {
		size += len(tok.Bytes(id))
	}
	if size > maxDetokenizeText {
		return nil, inference.Invalid("ids", "stand for %d bytes of text, more than %d", size, maxDetokenizeText)
	}
	skip := in.SkipSpecialTokens == nil || in.GetSkipSpecialTokens()
	return &sluicev1.DetokenizeResponse{Text: tok.Decode(in.GetIds(), skip)}, nil
}

// CountTokens counts the tokens that an input of Generate has.
func (s *tokenizerService) CountTokens(ctx context.Context, in *sluicev1.CountTokensRequest) (*sluicev1.CountTokensResponse, error) {
	model, err := findModel(ctx, s.models, in.GetModel())
	if err != nil {
		return nil, err
	}
	bounds := limitsOf(model)
	input, err := bounds.countInput(in)
	if err != nil {
		return nil, err
	}
	n, err := model.CountTokens(ctx, input)
	if err != nil {
		return nil, fmt.Errorf("count tokens: %w", err)
	}
	return &sluicev1.CountTokensResponse{Count: count(n), ContextLength: count(bounds.context)}, nil
}
