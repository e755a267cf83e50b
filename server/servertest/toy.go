package servertest

import (
	"cmp"
	"strings"
	"testing"

	metricnoop "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/trace"
	tracenoop "go.opentelemetry.io/otel/trace/noop"

	"github.com/sluiceml/sluice/inference"
	"github.com/sluiceml/sluice/inference/answer"
	"github.com/sluiceml/sluice/inference/chat"
	"github.com/sluiceml/sluice/inference/engine"
	"github.com/sluiceml/sluice/inference/inferencetest"
	"github.com/sluiceml/sluice/inference/runner"
	"github.com/sluiceml/sluice/tokenizer"
)

// The special tokens of the toy's vocabulary, which otherwise has one token for each byte: the token of byte b has
// the id b.
const (
	EndOfText = 256 // "<|endoftext|>", the begin token of a prompt
	TurnStart = 257 // "<|im_start|>"
	TurnEnd   = 258 // "<|im_end|>", the end token of an output

	VocabSize = 259
)

// Template is the toy's chat template.
const Template = `{% for m in messages %}<|im_start|>{{ m.role }}
{{ m.content }}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}`

// Toy describes a model on a toy session, whose tokens are nonsense and exactly reproducible.
type Toy struct {
	Name    string                  // default "toy"
	Session inferencetest.ToyConfig // VocabSize is set
	Engine  engine.Config           // Model and TracerProvider are set

	MaxTokens      int                  // default of a request; default 16
	NoTemplate     bool                 // no chat
	Template       string               // default Template
	Templates      map[string]string    // further ones, by name
	Calls          answer.CallFormat    // how it calls tools
	Reasoning      answer.Reasoning     // how it reasons
	TracerProvider trace.TracerProvider // default: none
}

// Model makes the model. Start runs it.
func (c Toy) Model(t testing.TB) *inference.Model {
	t.Helper()
	if c.Name == "" {
		c.Name = "toy"
	}
	if c.MaxTokens == 0 {
		c.MaxTokens = 16
	}
	if c.TracerProvider == nil {
		c.TracerProvider = tracenoop.NewTracerProvider()
	}
	if c.Session.Limits == (runner.Limits{}) {
		c.Session.Limits = runner.Limits{Slots: 4, MaxLength: 256, MaxChunk: 16}
	}
	c.Session.Limits.VocabSize = VocabSize
	session := inferencetest.NewToy(c.Session)
	c.Engine.Model, c.Engine.TracerProvider = c.Name, c.TracerProvider
	loop, err := engine.New(session, c.Engine)
	if err != nil {
		t.Fatalf("servertest: %v", err)
	}
	config := inference.Config{
		Name:          c.Name,
		Architecture:  "toy",
		Quantization:  "none",
		ContextLength: session.Limits().MaxLength,
		EOSTokenIDs:   []uint32{TurnEnd},
		Defaults: inference.Defaults{Sampling: inference.Sampling{
			MaxTokens: c.MaxTokens, Temperature: 1, TopP: 1, RepetitionPenalty: 1,
		}},
		Tokenizer:      Tokenizer(t),
		BOSToken:       "<|endoftext|>",
		EOSToken:       "<|im_end|>",
		Replicas:       []inference.Replica{{Device: "toy", Engine: loop}},
		TracerProvider: c.TracerProvider,
		MeterProvider:  metricnoop.NewMeterProvider(),
	}
	config.Calls, config.Reasoning = c.Calls, c.Reasoning
	if !c.NoTemplate {
		config.Template = parse(t, cmp.Or(c.Template, Template), config.Tokenizer)
	}
	for name, source := range c.Templates {
		if config.Templates == nil {
			config.Templates = map[string]*chat.Template{}
		}
		config.Templates[name] = parse(t, source, config.Tokenizer)
	}
	model, err := inference.NewModel(config)
	if err != nil {
		t.Fatalf("servertest: %v", err)
	}
	return model
}

// parse reads a chat template.
func parse(t testing.TB, source string, tok *tokenizer.Tokenizer) *chat.Template {
	t.Helper()
	template, err := chat.Parse(source, chat.Options{Special: tok.SpecialTokens()})
	if err != nil {
		t.Fatalf("servertest: %v", err)
	}
	return template
}

// Says is a script for a session: behind the last place where a prompt appears in the history it writes a text and ends
// the turn.
func Says(prompt, text string) func(history []uint32) (uint32, bool) {
	return func(history []uint32) (uint32, bool) {
		so := make([]byte, 0, len(history))
		for _, id := range history {
			if id < EndOfText {
				so = append(so, byte(id))
			}
		}
		at := strings.LastIndex(string(so), prompt)
		if at < 0 {
			return 0, false
		}
		said := string(so[at+len(prompt):])
		switch {
		case !strings.HasPrefix(text, said):
			return 0, false
		case said == text:
			return TurnEnd, true
		}
		return uint32(text[len(said)]), true
	}
}

// Tokenizer makes the toy's tokenizer.
func Tokenizer(t testing.TB) *tokenizer.Tokenizer {
	t.Helper()
	bos, eos := uint32(EndOfText), uint32(TurnEnd)
	v := tokenizer.Vocabulary{
		Tokens: make([]string, VocabSize), Types: make([]tokenizer.TokenType, VocabSize),
		Pre: "gpt-2", BOS: &bos, EOS: &eos, AddBOS: true,
	}
	for b := range 256 {
		v.Tokens[b], v.Types[b] = string(byteSymbol(b)), tokenizer.TokenNormal
	}
	for id, text := range map[int]string{EndOfText: "<|endoftext|>", TurnStart: "<|im_start|>", TurnEnd: "<|im_end|>"} {
		v.Tokens[id], v.Types[id] = text, tokenizer.TokenControl
	}
	tok, err := tokenizer.FromVocabulary(v)
	if err != nil {
		t.Fatalf("servertest: %v", err)
	}
	return tok
}

// byteSymbol is how a byte-level vocabulary writes a byte: as the character of the same code where that is visible,
// the others from U+0100 on, in order. It is GPT-2's bytes_to_unicode.
func byteSymbol(b int) rune {
	visible := func(b int) bool { return '!' <= b && b <= '~' || 0xA1 <= b && b <= 0xAC || 0xAE <= b }
	if visible(b) {
		return rune(b)
	}
	next := rune(256)
	for other := range b {
		if !visible(other) {
			next++
		}
	}
	return next
}
