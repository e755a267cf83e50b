package inference

import (
	"crypto/rand"
	"slices"

	"github.com/sluiceml/sluice/inference/answer"
	"github.com/sluiceml/sluice/inference/engine"
	"github.com/sluiceml/sluice/tokenizer"
)

// reads says in what form a request's outputs are read: none, unless it is a conversation whose reader wants it so. What a
// constraint describes is the whole text.
func (m *Model) reads(request *Request) (calls answer.CallFormat, reasoning answer.Reasoning) {
	input, ok := request.Input.(Chat)
	if !ok || request.Output.Raw || request.Constraint != nil {
		return answer.NoCalls, answer.Reasoning{}
	}
	if len(input.Tools) > 0 && input.ToolChoice.Mode != ToolChoiceNone {
		calls = m.config.Calls
	}
	return calls, m.config.Reasoning
}

// parsers are those of n outputs; nil if their text is given as the model writes it. reasons says that the prompt has
// opened the reasoning.
func (m *Model) parsers(n int, request *Request, reasons bool) []*answer.Parser {
	calls, reasoning := m.reads(request)
	if calls == answer.NoCalls && reasoning == (answer.Reasoning{}) {
		return nil
	}
	config := answer.Config{Reasoning: reasoning, Reasons: reasons, Calls: calls, NewID: newCallID}
	if calls == answer.Mistral {
		config.NewID = newShortCallID
	}
	input, _ := request.Input.(Chat) // reads has seen it
	for _, tool := range input.Tools {
		config.Tools = append(config.Tools, tool.Name)
	}
	config.IsText = isText(input.Tools)
	parsers := make([]*answer.Parser, n)
	for i := range parsers {
		parsers[i] = answer.New(config)
	}
	return parsers
}

// newCallID makes the id of a call.
func newCallID() string { return "call_" + rand.Text() }

// newShortCallID makes one of nine letters and digits, which Mistral's templates insist on.
func newShortCallID() string {
	const length = 9
	return rand.Text()[:length]
}

// parse takes an update's text apart, if the request's outputs are read so.
func (s *Stream) parse(update *Update, last bool) {
	if s.parsers == nil {
		return
	}
	p := s.parsers[update.Index]
	d := p.Add(update.Text)
	update.Reasoning, update.Text, update.Calls = d.Reasoning, d.Text, d.Calls
	if last {
		rest := p.Flush()
		update.Reasoning += rest.Reasoning
		update.Text += rest.Text
		update.Calls = append(update.Calls, rest.Calls...)
	}
}

// finishReason is why an output ended: with an end token after calls of tools, these are why.
func (s *Stream) finishReason(index int, reason engine.FinishReason) FinishReason {
	if reason == engine.FinishStop && s.parsers != nil && s.parsers[index].Calls() > 0 {
		return FinishToolCall
	}
	return finishReason(reason)
}

// decoder makes the decoder of an output. Where special tokens are left out of the text, those that mark reasoning and
// calls stay in it, for its parser.
func (m *Model) decoder(request *Request) engine.Decoder {
	calls, reasoning := m.reads(request)
	tok := m.config.Tokenizer
	var kept []uint32
	for _, mark := range answer.Marks(calls, reasoning) {
		if id, ok := tok.ID(mark); ok && tok.IsSpecial(id) {
			kept = append(kept, id)
		}
	}
	if len(kept) == 0 || !request.Output.SkipSpecialTokens {
		return tok.NewDecoder(request.Output.SkipSpecialTokens)
	}
	return &markedDecoder{Decoder: tok.NewDecoder(false), tok: tok, kept: kept}
}

// markedDecoder leaves out special tokens other than the kept ones.
type markedDecoder struct {
	*tokenizer.Decoder

	tok  *tokenizer.Tokenizer
	kept []uint32 // few
}

// Add implements engine.Decoder.
func (d *markedDecoder) Add(id uint32) string {
	if d.tok.IsSpecial(id) && !slices.Contains(d.kept, id) {
		return ""
	}
	return d.Decoder.Add(id)
}
