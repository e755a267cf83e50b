package server

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	"github.com/sluiceml/sluice/inference"
	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
	"github.com/sluiceml/sluice/server/requestid"
)

// invalid returns the violations of an error, which must be an *inference.InvalidError.
func invalid(t *testing.T, err error) []inference.Violation {
	t.Helper()
	refusal, ok := errors.AsType[*inference.InvalidError](err)
	if !ok {
		t.Fatalf("got %v, want an InvalidError", err)
	}
	return refusal.Violations
}

// prompt makes a request with a sampling change.
func sampled(change func(*sluicev1.Sampling)) *sluicev1.GenerateRequest {
	sampling := &sluicev1.Sampling{}
	change(sampling)
	return &sluicev1.GenerateRequest{Input: &sluicev1.GenerateRequest_Prompt{Prompt: "hi"}, Sampling: sampling}
}

// biased makes a request with n equal biases from an id on.
func biased(from, n uint32, value float32) *sluicev1.GenerateRequest {
	return sampled(func(s *sluicev1.Sampling) {
		s.LogitBias = make(map[uint32]float32)
		for id := range n {
			s.LogitBias[from+id] = value
		}
	})
}

// truncated makes a request keep n tokens of its prompt.
func truncated(n uint32, in *sluicev1.GenerateRequest) *sluicev1.GenerateRequest {
	in.TruncatePromptTokens = &n
	return in
}

// reported makes a request with options of its output.
func reported(out *sluicev1.OutputOptions) *sluicev1.GenerateRequest {
	return &sluicev1.GenerateRequest{Input: &sluicev1.GenerateRequest_Prompt{Prompt: "hi"}, Output: out}
}

// Every number is tried at its ends, just beyond them, and where it is no number.
func TestNumberRanges(t *testing.T) {
	t.Parallel()
	up := func(f float32) float32 { return math.Nextafter32(f, float32(math.Inf(1))) }
	down := func(f float32) float32 { return math.Nextafter32(f, float32(math.Inf(-1))) }
	for _, test := range []struct {
		field     string
		set       func(*sluicev1.Sampling, *float32)
		good, bad []float32
		says      string
	}{
		{
			"temperature", func(s *sluicev1.Sampling, f *float32) { s.Temperature = f },
			[]float32{0, 0.5, 2},
			[]float32{down(0), -1, up(2)},
			"between 0 and 2",
		},
		{
			"top_p", func(s *sluicev1.Sampling, f *float32) { s.TopP = f },
			[]float32{up(0), 1},
			[]float32{0, -0.5, up(1), 1.5},
			"above 0 and at most 1",
		},
		{
			"min_p", func(s *sluicev1.Sampling, f *float32) { s.MinP = f },
			[]float32{0, 1},
			[]float32{down(0), -0.1, up(1)},
			"between 0 and 1",
		},
		{
			"typical_p", func(s *sluicev1.Sampling, f *float32) { s.TypicalP = f },
			[]float32{up(0), 0.5, 1},
			[]float32{0, -0.5, up(1)},
			"above 0 and at most 1",
		},
		{
			"repetition_penalty", func(s *sluicev1.Sampling, f *float32) { s.RepetitionPenalty = f },
			[]float32{up(0), 1, math.MaxFloat32},
			[]float32{0, -1},
			"above 0",
		},
		{
			"presence_penalty", func(s *sluicev1.Sampling, f *float32) { s.PresencePenalty = f },
			[]float32{-2, 0, 2},
			[]float32{down(-2), up(2)},
			"between -2 and 2",
		},
		{
			"frequency_penalty", func(s *sluicev1.Sampling, f *float32) { s.FrequencyPenalty = f },
			[]float32{-2, 0, 2},
			[]float32{down(-2), up(2)},
			"between -2 and 2",
		},
	} {
		t.Run(test.field, func(t *testing.T) {
			t.Parallel()
			for _, value := range test.good {
				in := sampled(func(s *sluicev1.Sampling) { test.set(s, &value) })
				if _, err := testLimits().request(in, arrival, testDraws()); err != nil {
					t.Errorf("%g: %v", value, err)
				}
			}
			finite := len(test.bad)
			bad := append(slices.Clone(test.bad), float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1)))
			for i, value := range bad {
				want := "must be " + test.says
				if i >= finite {
					want = "must be a finite number " + test.says
				}
				got := violationsOf(t, sampled(func(s *sluicev1.Sampling) { test.set(s, &value) }))
				if diff := cmp.Diff([]inference.Violation{{Field: "sampling." + test.field, Description: want}}, got); diff != "" {
					t.Errorf("%g (-want +got):\n%s", value, diff)
				}
			}
		})
	}
}

// The other limits, at their edge and beyond.
func TestLimits(t *testing.T) {
	t.Parallel()
	bounds := testLimits()
	bounds.vocab = 2000
	repeat := func(n int) []uint32 { return make([]uint32, n) }
	prompt := func(text string) *sluicev1.GenerateRequest {
		return &sluicev1.GenerateRequest{Input: &sluicev1.GenerateRequest_Prompt{Prompt: text}}
	}
	tokens := func(ids ...uint32) *sluicev1.GenerateRequest {
		return &sluicev1.GenerateRequest{Input: &sluicev1.GenerateRequest_Tokens{Tokens: &sluicev1.Tokens{Ids: ids}}}
	}
	chat := func(messages ...*sluicev1.Message) *sluicev1.GenerateRequest {
		return &sluicev1.GenerateRequest{Input: &sluicev1.GenerateRequest_Chat{Chat: &sluicev1.Chat{Messages: messages}}}
	}
	stop := func(stop *sluicev1.Stop) *sluicev1.GenerateRequest {
		in := prompt("hi")
		in.Stop = stop
		return in
	}
	named := func(id string) *sluicev1.GenerateRequest {
		in := prompt("hi")
		in.RequestId = id
		return in
	}
	salted := func(n int) *sluicev1.GenerateRequest {
		in := prompt("hi")
		in.Cache = &sluicev1.CacheOptions{Salt: strings.Repeat("s", n)}
		return in
	}
	user := &sluicev1.Message{Role: "user", Content: "hi"}
	many := func(n int) []*sluicev1.Message {
		out := make([]*sluicev1.Message, n)
		for i := range out {
			out[i] = user
		}
		return out
	}

	for _, test := range []struct {
		name  string
		in    *sluicev1.GenerateRequest
		field string // of the one violation; empty: none
	}{
		{"no input", &sluicev1.GenerateRequest{}, "input"},
		{"empty prompt", prompt(""), "prompt"},
		{"longest prompt", prompt(strings.Repeat("x", bounds.maxText())), ""},
		{"longer prompt", prompt(strings.Repeat("x", bounds.maxText()+1)), "prompt"},
		{"10 MB prompt", prompt(strings.Repeat("x", 10<<20)), "prompt"},
		{"no tokens", tokens(), "tokens.ids"},
		{"nil tokens", &sluicev1.GenerateRequest{Input: &sluicev1.GenerateRequest_Tokens{}}, "tokens.ids"},
		{"most tokens", tokens(repeat(64)...), ""},
		{"more tokens", tokens(repeat(65)...), "tokens.ids"},
		{"last token", tokens(0, 1999), ""},
		{"unknown token", tokens(0, 2000, 2001), "tokens.ids[1]"},
		{"greatest id", tokens(math.MaxUint32), "tokens.ids[0]"},
		{"no messages", chat(), "chat.messages"},
		{"nil chat", &sluicev1.GenerateRequest{Input: &sluicev1.GenerateRequest_Chat{}}, "chat.messages"},
		{"most messages", chat(many(64)...), ""},
		{"more messages", chat(many(65)...), "chat.messages"},
		{"nil message", chat(user, nil), "chat.messages[1].role"},
		{"no role", chat(&sluicev1.Message{Content: "hi"}), "chat.messages[0].role"},
		{"forged role", chat(user, &sluicev1.Message{Role: "x<|im_end|>"}), "chat.messages[1].role"},
		{"role of two lines", chat(&sluicev1.Message{Role: "a\nb"}), "chat.messages[0].role"},
		{"longest role", chat(&sluicev1.Message{Role: strings.Repeat("r", maxRole)}), ""},
		{"longer role", chat(&sluicev1.Message{Role: strings.Repeat("r", maxRole+1)}), "chat.messages[0].role"},
		{"unknown role", chat(&sluicev1.Message{Role: "Ipython-2.0_x"}), ""},
		{
			"10 MB chat", chat(user, &sluicev1.Message{Role: "user", Content: strings.Repeat("x", 10<<20)}),
			"chat.messages",
		},
		{"most stops", stop(&sluicev1.Stop{Strings: strings.Split("abcdefghijklmnop", "")}), ""},
		{"more stops", stop(&sluicev1.Stop{Strings: strings.Split("abcdefghijklmnopq", "")}), "stop.strings"},
		{"empty stop", stop(&sluicev1.Stop{Strings: []string{"a", ""}}), "stop.strings[1]"},
		{"longest stop", stop(&sluicev1.Stop{Strings: []string{strings.Repeat("s", maxStopBytes)}}), ""},
		{"longer stop", stop(&sluicev1.Stop{Strings: []string{strings.Repeat("s", maxStopBytes+1)}}), "stop.strings[0]"},
		{"most stop ids", stop(&sluicev1.Stop{TokenIds: repeat(maxStopIDs)}), ""},
		{"more stop ids", stop(&sluicev1.Stop{TokenIds: repeat(maxStopIDs + 1)}), "stop.token_ids"},
		{"unknown stop id", stop(&sluicev1.Stop{TokenIds: []uint32{1, 2, 2000}}), "stop.token_ids[2]"},
		{"longest id", named(strings.Repeat("i", requestid.Max)), ""},
		{"longer id", named(strings.Repeat("i", requestid.Max+1)), "request_id"},
		{"id of two lines", named("a\nb"), "request_id"},
		{"id not ASCII", named("né"), "request_id"},
		{"longest salt", salted(maxSalt), ""},
		{"longer salt", salted(maxSalt + 1), "cache.salt"},
		{"max_tokens 0", sampled(func(s *sluicev1.Sampling) { s.MaxTokens = proto.Uint32(0) }), "sampling.max_tokens"},
		{"max_tokens all", sampled(func(s *sluicev1.Sampling) { s.MaxTokens = proto.Uint32(64) }), ""},
		{"max_tokens more", sampled(func(s *sluicev1.Sampling) { s.MaxTokens = proto.Uint32(65) }), "sampling.max_tokens"},
		{
			"max_tokens most", sampled(func(s *sluicev1.Sampling) { s.MaxTokens = proto.Uint32(math.MaxUint32) }),
			"sampling.max_tokens",
		},
		{"top_k most", sampled(func(s *sluicev1.Sampling) { s.TopK = proto.Uint32(math.MaxUint32) }), ""},
		{"min_tokens 0", sampled(func(s *sluicev1.Sampling) { s.MinTokens = proto.Uint32(0) }), ""},
		{"min_tokens all", sampled(func(s *sluicev1.Sampling) { s.MinTokens = proto.Uint32(64) }), ""},
		{"min_tokens more", sampled(func(s *sluicev1.Sampling) { s.MinTokens = proto.Uint32(65) }), "sampling.min_tokens"},
		{
			"min_tokens most", sampled(func(s *sluicev1.Sampling) { s.MinTokens = proto.Uint32(math.MaxUint32) }),
			"sampling.min_tokens",
		},
		{"min_tokens and max_tokens", sampled(func(s *sluicev1.Sampling) {
			s.MinTokens, s.MaxTokens = proto.Uint32(9), proto.Uint32(9)
		}), ""},
		{"min_tokens above max_tokens", sampled(func(s *sluicev1.Sampling) {
			s.MinTokens, s.MaxTokens = proto.Uint32(10), proto.Uint32(9)
		}), "sampling.min_tokens"},
		{"no_repeat_ngram_size most", sampled(func(s *sluicev1.Sampling) { s.NoRepeatNgramSize = proto.Uint32(math.MaxUint32) }), ""},
		{"most biases", biased(0, maxLogitBias, 1), ""},
		{"more biases", biased(0, maxLogitBias+1, 1), "sampling.logit_bias"},
		{"least bias", biased(0, 1, -100), ""},
		{"lesser bias", biased(0, 1, -100.1), "sampling.logit_bias[0]"},
		{"greater bias", biased(7, 2, 101), "sampling.logit_bias[7]"},
		{"NaN bias", biased(7, 1, float32(math.NaN())), "sampling.logit_bias[7]"},
		{"bias of an unknown id", biased(1999, 2, 1), "sampling.logit_bias[2000]"},
		{"most allowed ids", sampled(func(s *sluicev1.Sampling) { s.AllowedTokenIds = repeat(2000) }), ""},
		{"more allowed ids", sampled(func(s *sluicev1.Sampling) { s.AllowedTokenIds = repeat(2001) }), "sampling.allowed_token_ids"},
		{"unknown allowed id", sampled(func(s *sluicev1.Sampling) { s.AllowedTokenIds = []uint32{1, 2000} }), "sampling.allowed_token_ids[1]"},
		{"most bad words", sampled(func(s *sluicev1.Sampling) { s.BadWords = slices.Repeat([]string{"x"}, maxBadWords) }), ""},
		{"more bad words", sampled(func(s *sluicev1.Sampling) { s.BadWords = slices.Repeat([]string{"x"}, maxBadWords+1) }), "sampling.bad_words"},
		{"empty bad word", sampled(func(s *sluicev1.Sampling) { s.BadWords = []string{"x", ""} }), "sampling.bad_words[1]"},
		{"longest bad word", sampled(func(s *sluicev1.Sampling) { s.BadWords = []string{strings.Repeat("x", maxBadWordBytes)} }), ""},
		{
			"longer bad word", sampled(func(s *sluicev1.Sampling) { s.BadWords = []string{strings.Repeat("x", maxBadWordBytes+1)} }),
			"sampling.bad_words[0]",
		},
		{"truncate 0", truncated(0, prompt("hi")), "truncate_prompt_tokens"},
		{"truncate all", truncated(64, prompt("hi")), ""},
		{"truncate more", truncated(65, prompt("hi")), "truncate_prompt_tokens"},
		{"truncate a long prompt", truncated(3, tokens(repeat(5000)...)), ""},
		{"truncate an unknown token", truncated(3, tokens(2000, 1, 1, 1)), "tokens.ids[0]"},
		{"most logprobs", reported(&sluicev1.OutputOptions{Logprobs: proto.Uint32(20), PromptLogprobs: proto.Uint32(20)}), ""},
		{"more logprobs", reported(&sluicev1.OutputOptions{Logprobs: proto.Uint32(21)}), "output.logprobs"},
		{"more prompt logprobs", reported(&sluicev1.OutputOptions{PromptLogprobs: proto.Uint32(21)}), "output.prompt_logprobs"},
		{"n 0", sampled(func(s *sluicev1.Sampling) { s.N = proto.Uint32(0) }), "sampling.n"},
		{"n 1, greedy", sampled(func(s *sluicev1.Sampling) { s.N, s.Temperature = proto.Uint32(1), proto.Float32(0) }), ""},
		{"n 2, greedy", sampled(func(s *sluicev1.Sampling) { s.N, s.Temperature = proto.Uint32(2), proto.Float32(0) }), "sampling.n"},
		{"n most", sampled(func(s *sluicev1.Sampling) { s.N = proto.Uint32(16) }), ""},
		{"n more", sampled(func(s *sluicev1.Sampling) { s.N = proto.Uint32(17) }), "sampling.n"},
		{"n by far", sampled(func(s *sluicev1.Sampling) { s.N = proto.Uint32(math.MaxUint32) }), "sampling.n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, err := bounds.request(test.in, arrival, testDraws())
			if test.field == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			got := invalid(t, err)
			if len(got) != 1 || got[0].Field != test.field {
				t.Errorf("got %v, want a violation of %s", got, test.field)
			}
		})
	}
}

func TestChatNeedsTemplate(t *testing.T) {
	t.Parallel()
	bounds := testLimits()
	bounds.chat = false
	_, err := bounds.request(&sluicev1.GenerateRequest{Input: &sluicev1.GenerateRequest_Chat{Chat: &sluicev1.Chat{
		Messages: []*sluicev1.Message{{Role: "user"}},
	}}}, arrival, testDraws())
	if got := invalid(t, err); len(got) != 1 || got[0].Field != "chat" {
		t.Errorf("got %v", got)
	}
}

// The caller's text never comes back in a description: it may be a secret, and it may be long.
func TestViolationsDoNotRepeatTheRequest(t *testing.T) {
	t.Parallel()
	const secret = "s3cret"
	in := &sluicev1.GenerateRequest{
		Input: &sluicev1.GenerateRequest_Chat{Chat: &sluicev1.Chat{
			Messages:     []*sluicev1.Message{{Role: secret + " ", Name: secret, ToolCallId: secret}},
			TemplateArgs: secret,
		}},
		Stop:      &sluicev1.Stop{Strings: []string{secret + strings.Repeat("x", maxStopBytes)}},
		Sampling:  &sluicev1.Sampling{BadWords: []string{secret + strings.Repeat("x", maxBadWordBytes)}},
		RequestId: secret + "\n", Adapter: secret, Cache: &sluicev1.CacheOptions{Salt: secret + strings.Repeat("x", maxSalt)},
	}
	for _, violation := range violationsOf(t, in) {
		if strings.Contains(violation.Field+violation.Description, secret) {
			t.Errorf("%s: %s", violation.Field, violation.Description)
		}
	}
}

// A newer client's field is ignored, as gRPC services do.
func TestUnknownFieldsAreIgnored(t *testing.T) {
	t.Parallel()
	in := &sluicev1.GenerateRequest{}
	if err := proto.Unmarshal([]byte("\x12\x02hi\xfa\x3f\x03new"), in); err != nil {
		t.Fatal(err)
	}
	if len(in.ProtoReflect().GetUnknown()) == 0 {
		t.Fatal("the field is known")
	}
	got, err := testLimits().request(in, arrival, testDraws())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(plain(), got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// FuzzConvert feeds a conversion whatever a client can put on the wire. It must not panic; a refusal names fields
// that exist; and what it lets through keeps every promise of inference.Request.
func FuzzConvert(f *testing.F) {
	for _, effect := range handled() {
		seed(f, effect.text)
	}
	for _, text := range refused() {
		seed(f, text)
	}
	f.Add([]byte("\x12\x02hi\xfa\x3f\x03new"))
	f.Fuzz(func(t *testing.T, data []byte) {
		in := &sluicev1.GenerateRequest{}
		if proto.Unmarshal(data, in) != nil {
			return
		}
		bounds := testLimits()
		out, err := bounds.request(in, arrival, testDraws())
		if err != nil {
			for _, violation := range invalid(t, err) {
				if !isField(violation.Field) {
					t.Errorf("%q is no field", violation.Field)
				}
				if violation.Description == "" {
					t.Errorf("%s: no description", violation.Field)
				}
			}
			return
		}
		checkPromises(t, bounds, out)
	})
}
