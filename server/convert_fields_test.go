package server

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/sluiceml/sluice/inference"
	"github.com/sluiceml/sluice/inference/grammar"
	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
)

// arrival and the draws are fixed, so that a conversion is a function of the request.
var arrival = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func testDraws() draws {
	return draws{id: func() string { return "drawn" }, seed: func() uint64 { return 42 }}
}

func testLimits() limits {
	return limits{context: 64, vocab: 1000, outputs: 16, chat: true, reasons: true, defaults: inference.Defaults{Sampling: inference.Sampling{
		MaxTokens: 16, Temperature: 0.6, TopK: 40, TopP: 0.9, MinP: 0.05, RepetitionPenalty: 1.1,
	}}}
}

// plain is what the request `prompt: "hi"` means.
func plain() inference.Request {
	request := inference.Request{
		ID:       "drawn",
		Input:    inference.Prompt{Text: "hi", ParseSpecial: true},
		Sampling: testLimits().defaults.Sampling,
		Output:   inference.Output{SkipSpecialTokens: true},
		Arrival:  arrival,
	}
	request.Sampling.MaxTokens = 0
	request.Sampling.Seed = 42
	return request
}

// handled lists the fields that have an effect: a value other than the default, and what it changes.
func handled() map[string]struct {
	text   string
	change func(*inference.Request)
} {
	type effect = struct {
		text   string
		change func(*inference.Request)
	}
	chat := func(r *inference.Request) *inference.Chat {
		return &inference.Chat{Messages: []inference.Message{{Role: "user", Content: "hello"}}, AddGenerationPrompt: true}
	}
	return map[string]effect{
		"prompt": {`prompt: "ho"`, func(r *inference.Request) {
			r.Input = inference.Prompt{Text: "ho", ParseSpecial: true}
		}},
		"tokens.ids": {`tokens { ids: 7 ids: 0 }`, func(r *inference.Request) { r.Input = inference.Tokens{7, 0} }},
		"chat.messages.role": {`chat { messages { role: "system" content: "hello" } }`, func(r *inference.Request) {
			c := chat(r)
			c.Messages[0].Role = "system"
			r.Input = *c
		}},
		"chat.messages.content": {`chat { messages { role: "user" content: "" } }`, func(r *inference.Request) {
			c := chat(r)
			c.Messages[0].Content = ""
			r.Input = *c
		}},
		"chat.add_generation_prompt": {
			`chat { messages { role: "user" content: "hello" } add_generation_prompt: false }`,
			func(r *inference.Request) {
				c := chat(r)
				c.AddGenerationPrompt = false
				r.Input = *c
			},
		},
		"chat.messages.name": {`chat { messages { role: "user" content: "hello" name: "bob" } }`, func(r *inference.Request) {
			c := chat(r)
			c.Messages[0].Name = "bob"
			r.Input = *c
		}},
		"chat.messages.reasoning": {`chat { messages { role: "user" content: "hello" reasoning: "hm" } }`, func(r *inference.Request) {
			c := chat(r)
			c.Messages[0].Reasoning = "hm"
			r.Input = *c
		}},
		"chat.messages.tool_call_id": {`chat { messages { role: "user" content: "hello" tool_call_id: "c1" } }`, func(r *inference.Request) {
			c := chat(r)
			c.Messages[0].ToolCallID = "c1"
			r.Input = *c
		}},
		"chat.messages.tool_calls": {
			`chat { messages { role: "user" content: "hello" tool_calls { id: "c1" name: "f" arguments: "{}" } } }`,
			func(r *inference.Request) {
				c := chat(r)
				c.Messages[0].ToolCalls = []inference.ToolCall{{ID: "c1", Name: "f", Arguments: "{}"}}
				r.Input = *c
			},
		},
		"chat.tools": {
			`chat { messages { role: "user" content: "hello" } tools { name: "f" description: "d" parameters: "{}" } }`,
			func(r *inference.Request) {
				c := chat(r)
				c.Tools = []inference.Tool{{Name: "f", Description: "d", Parameters: "{}"}}
				r.Input = *c
			},
		},
		"chat.template": {`chat { messages { role: "user" content: "hello" } template: "rag" }`, func(r *inference.Request) {
			c := chat(r)
			c.Template = "rag"
			r.Input = *c
		}},
		"chat.continue_final_message": {
			`chat { messages { role: "user" content: "hello" } continue_final_message: true }`,
			func(r *inference.Request) {
				c := chat(r)
				c.AddGenerationPrompt, c.ContinueFinalMessage = false, true
				r.Input = *c
			},
		},
		"parse_special": {`parse_special: false`, func(r *inference.Request) { r.Input = inference.Prompt{Text: "hi"} }},
		"request_id":    {`request_id: "mine ~1"`, func(r *inference.Request) { r.ID = "mine ~1" }},

		"sampling.max_tokens":         {`sampling { max_tokens: 9 }`, func(r *inference.Request) { r.Sampling.MaxTokens = 9 }},
		"sampling.temperature":        {`sampling { temperature: 0 }`, func(r *inference.Request) { r.Sampling.Temperature = 0 }},
		"sampling.top_k":              {`sampling { top_k: 0 }`, func(r *inference.Request) { r.Sampling.TopK = 0 }},
		"sampling.top_p":              {`sampling { top_p: 1 }`, func(r *inference.Request) { r.Sampling.TopP = 1 }},
		"sampling.min_p":              {`sampling { min_p: 0 }`, func(r *inference.Request) { r.Sampling.MinP = 0 }},
		"sampling.repetition_penalty": {`sampling { repetition_penalty: 0.5 }`, func(r *inference.Request) { r.Sampling.RepetitionPenalty = 0.5 }},
		"sampling.presence_penalty":   {`sampling { presence_penalty: -2 }`, func(r *inference.Request) { r.Sampling.PresencePenalty = -2 }},
		"sampling.frequency_penalty":  {`sampling { frequency_penalty: 2 }`, func(r *inference.Request) { r.Sampling.FrequencyPenalty = 2 }},
		"sampling.min_tokens":         {`sampling { min_tokens: 3 }`, func(r *inference.Request) { r.Sampling.MinTokens = 3 }},
		"sampling.typical_p":          {`sampling { typical_p: 0.5 }`, func(r *inference.Request) { r.Sampling.TypicalP = 0.5 }},
		"sampling.no_repeat_ngram_size": {
			`sampling { no_repeat_ngram_size: 2 }`,
			func(r *inference.Request) { r.Sampling.NoRepeatNGram = 2 },
		},
		"sampling.logit_bias": {`sampling { logit_bias { key: 1 value: 2 } }`, func(r *inference.Request) {
			r.Sampling.LogitBias = map[uint32]float32{1: 2}
		}},
		"sampling.allowed_token_ids": {
			`sampling { allowed_token_ids: 7 allowed_token_ids: 1 allowed_token_ids: 7 }`,
			func(r *inference.Request) { r.Sampling.AllowedTokenIDs = []uint32{1, 7} },
		},
		"sampling.bad_words": {`sampling { bad_words: "x" }`, func(r *inference.Request) { r.Sampling.BadWords = []string{"x"} }},
		"sampling.max_thinking_tokens": {
			`chat { messages { role: "user" content: "hello" } } sampling { max_thinking_tokens: 5 }`,
			func(r *inference.Request) { r.Input, r.Sampling.MaxThinking = *chat(r), new(5) },
		},
		"sampling.seed":       {`sampling { seed: 0 }`, func(r *inference.Request) { r.Sampling.Seed = 0 }},
		"sampling.n":          {`sampling { n: 3 }`, func(r *inference.Request) { r.Sampling.N = 3 }},
		"sampling.ignore_eos": {`sampling { ignore_eos: true }`, func(r *inference.Request) { r.Sampling.IgnoreEOS = true }},

		"stop.strings":           {`stop { strings: "a" strings: "b" }`, func(r *inference.Request) { r.Stop.Strings = []string{"a", "b"} }},
		"stop.token_ids":         {`stop { token_ids: 5 }`, func(r *inference.Request) { r.Stop.TokenIDs = []uint32{5} }},
		"stop.include_in_output": {`stop { include_in_output: true }`, func(r *inference.Request) { r.Stop.IncludeInOutput = true }},

		"priority":     {`priority: -100`, func(r *inference.Request) { r.Priority = -100 }},
		"cache.bypass": {`cache { bypass: true }`, func(r *inference.Request) { r.Cache.Bypass = true }},
		"cache.salt":   {`cache { salt: "s" }`, func(r *inference.Request) { r.Cache.Salt = "s" }},

		"truncate_prompt_tokens": {`truncate_prompt_tokens: 4`, func(r *inference.Request) { r.TruncatePrompt = 4 }},
		"output.logprobs":        {`output { logprobs: 0 }`, func(r *inference.Request) { r.Output.Logprobs.Wanted = true }},
		"output.prompt_logprobs": {`output { prompt_logprobs: 3 }`, func(r *inference.Request) {
			r.Output.PromptLogprobs = inference.Logprobs{Wanted: true, Top: 3}
		}},
		"output.entropy": {`output { entropy: true }`, func(r *inference.Request) {
			r.Output.Logprobs = inference.Logprobs{Wanted: true, Entropy: true}
		}},
		"output.sampling_trace":      {`output { sampling_trace: true }`, func(r *inference.Request) { r.Output.Trace = true }},
		"output.raw_text":            {`output { raw_text: true }`, func(r *inference.Request) { r.Output.Raw = true }},
		"output.echo":                {`output { echo: true }`, func(r *inference.Request) { r.Output.Echo = true }},
		"output.token_ids":           {`output { token_ids: true }`, func(r *inference.Request) { r.Output.TokenIDs = true }},
		"output.skip_special_tokens": {`output { skip_special_tokens: false }`, func(r *inference.Request) { r.Output.SkipSpecialTokens = false }},

		"constraint.json_schema":    {`constraint { json_schema: "{}" }`, constrained("json_schema", grammar.Constraint{Kind: grammar.KindJSONSchema, Text: "{}"})},
		"constraint.json_object":    {`constraint { json_object: true }`, constrained("json_object", grammar.Constraint{Kind: grammar.KindJSONObject})},
		"constraint.regex":          {`constraint { regex: "a+" }`, constrained("regex", grammar.Constraint{Kind: grammar.KindRegex, Text: "a+"})},
		"constraint.grammar":        {`constraint { grammar: "root ::= [a]" }`, constrained("grammar", grammar.Constraint{Kind: grammar.KindGrammar, Text: "root ::= [a]"})},
		"constraint.choice.choices": {`constraint { choice { choices: "a" choices: "b" } }`, constrained("choice.choices", grammar.Constraint{Kind: grammar.KindChoice, Choices: []string{"a", "b"}})},
	}
}

// constrained sets the constraint of a field.
func constrained(field string, c grammar.Constraint) func(*inference.Request) {
	return func(r *inference.Request) {
		r.Constraint = &inference.Constraint{Constraint: c, Field: "constraint." + field}
	}
}

// refused lists the fields whose effect does not exist yet, each with a request that asks for it. A field that is a
// message stands for all within.
func refused() map[string]string {
	return map[string]string{
		"adapter": `adapter: "lora"`,
	}
}

// elsewhere lists the fields that a conversion does not see.
func elsewhere() map[string]string {
	return map[string]string{"model": "findModel reads it", "chat.tool_choice.name": "TestRequiredCalls", "chat.tool_choice.mode": "TestRequiredCalls", "chat.template_args": "TestConversation"}
}

// overlay is the request `prompt: "hi"` with more fields set.
func overlay(t *testing.T, text string) *sluicev1.GenerateRequest {
	t.Helper()
	in := &sluicev1.GenerateRequest{Input: &sluicev1.GenerateRequest_Prompt{Prompt: "hi"}}
	more := &sluicev1.GenerateRequest{}
	if err := prototext.Unmarshal([]byte(text), more); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	if more.GetInput() != nil {
		in.Input = nil
	}
	proto.Merge(in, more)
	return in
}

// Each field of the proto is either handled or refused: a new one fails this test until it is put into a table.
func TestEveryFieldIsKnown(t *testing.T) {
	t.Parallel()
	known := make(map[string]string)
	note := func(kind, path string) {
		if other, ok := known[path]; ok {
			t.Errorf("%s is both %s and %s", path, other, kind)
		}
		known[path] = kind
	}
	for path := range handled() {
		note("handled", path)
	}
	for path := range refused() {
		note("refused", path)
	}
	for path := range elsewhere() {
		note("elsewhere", path)
	}

	var walk func(message protoreflect.MessageDescriptor, prefix string)
	walk = func(message protoreflect.MessageDescriptor, prefix string) {
		fields := message.Fields()
		for i := range fields.Len() {
			field := fields.Get(i)
			path := prefix + string(field.Name())
			_, ok := known[path]
			switch {
			case ok:
				delete(known, path)
			case field.Kind() == protoreflect.MessageKind && !field.IsMap():
				walk(field.Message(), path+".")
			default:
				t.Errorf("GenerateRequest.%s is neither handled nor refused", path)
			}
		}
	}
	walk((&sluicev1.GenerateRequest{}).ProtoReflect().Descriptor(), "")
	for path, kind := range known {
		t.Errorf("%s is %s and not in the proto", path, kind)
	}
}

func TestHandledFields(t *testing.T) {
	t.Parallel()
	for path, effect := range handled() {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			want := plain()
			effect.change(&want)
			if cmp.Equal(want, plain()) {
				t.Fatal("the case changes nothing")
			}
			got, err := testLimits().request(overlay(t, effect.text), arrival, testDraws())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", effect.text, diff)
			}
		})
	}
}

func TestRefusedFields(t *testing.T) {
	t.Parallel()
	for path, text := range refused() {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			got := violationsOf(t, overlay(t, text))
			if len(got) != 1 {
				t.Fatalf("%s: violations %v", text, got)
			}
			if field := withoutIndices(got[0].Field); field != path {
				t.Errorf("%s: the violation is of %s", text, field)
			}
			if !strings.HasSuffix(got[0].Description, "not supported yet") {
				t.Errorf("%s: %q", text, got[0].Description)
			}
		})
	}
}

// Every refused field at once: one answer names them all.
func TestAllViolationsTogether(t *testing.T) {
	t.Parallel()
	in := &sluicev1.GenerateRequest{}
	for path, text := range refused() {
		more := &sluicev1.GenerateRequest{}
		if err := prototext.Unmarshal([]byte(text), more); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		proto.Merge(in, more)
	}
	missing := refused()
	for _, violation := range violationsOf(t, in) {
		delete(missing, withoutIndices(violation.Field))
	}
	for path := range missing {
		t.Errorf("no violation of %s", path)
	}
}

// A value that means "off" asks for nothing, so it is no fault.
func TestInertValues(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		`sampling { min_tokens: 0 no_repeat_ngram_size: 0 }`,
		`cache {}`,
		`output { echo: false }`,
		`priority: 0 adapter: ""`,
	} {
		got, err := testLimits().request(overlay(t, text), arrival, testDraws())
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if diff := cmp.Diff(plain(), got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", text, diff)
		}
	}
}

// violationsOf converts a request that must be refused.
func violationsOf(t *testing.T, in *sluicev1.GenerateRequest) []inference.Violation {
	t.Helper()
	_, err := testLimits().request(in, arrival, testDraws())
	return invalid(t, err)
}

var indices = regexp.MustCompile(`\[\d+\]`)

func withoutIndices(path string) string { return indices.ReplaceAllString(path, "") }
