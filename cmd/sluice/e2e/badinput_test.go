package e2e_test

import (
	"math"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
)

// TestBadInput sends what a client must not, demands the precise status, and that the server lives on with every slot
// free.
func TestBadInput(t *testing.T) {
	s := serve(t, nil, "--slots", "2")
	ctx := deadline(t)
	sampling := func(change func(*sluicev1.Sampling)) *sluicev1.GenerateRequest {
		request := prompt("Hello", greedy(4))
		change(request.GetSampling())
		return request
	}
	number := func(f float32) *float32 { return &f }
	for name, test := range map[string]struct {
		request *sluicev1.GenerateRequest
		code    codes.Code
		field   string // of the violation; "" for none
	}{
		"unknown model":          {&sluicev1.GenerateRequest{Model: "gpt-17", Input: &sluicev1.GenerateRequest_Prompt{Prompt: "Hello"}}, codes.NotFound, ""},
		"no input":               {&sluicev1.GenerateRequest{}, codes.InvalidArgument, "input"},
		"empty prompt":           {prompt("", nil), codes.InvalidArgument, "prompt"},
		"prompt over context":    {prompt(strings.Repeat("word ", 9000), nil), codes.InvalidArgument, "prompt"},
		"10 MB prompt":           {prompt(strings.Repeat("0123456789", 1<<20), nil), codes.InvalidArgument, "prompt"},
		"20 MB message":          {prompt(strings.Repeat("0123456789", 2<<20), nil), codes.ResourceExhausted, ""},
		"NaN temperature":        {sampling(func(s *sluicev1.Sampling) { s.Temperature = number(float32(math.NaN())) }), codes.InvalidArgument, "sampling.temperature"},
		"infinite penalty":       {sampling(func(s *sluicev1.Sampling) { s.PresencePenalty = number(float32(math.Inf(1))) }), codes.InvalidArgument, "sampling.presence_penalty"},
		"top_p 1.5":              {sampling(func(s *sluicev1.Sampling) { s.TopP = number(1.5) }), codes.InvalidArgument, "sampling.top_p"},
		"negative min_p":         {sampling(func(s *sluicev1.Sampling) { s.MinP = number(-0.1) }), codes.InvalidArgument, "sampling.min_p"},
		"max_tokens cannot fit":  {prompt("Hello", greedy(9000)), codes.InvalidArgument, "sampling.max_tokens"},
		"token outside":          {&sluicev1.GenerateRequest{Input: &sluicev1.GenerateRequest_Tokens{Tokens: &sluicev1.Tokens{Ids: []uint32{5, 49152}}}}, codes.InvalidArgument, "tokens.ids[1]"},
		"typical_p 0":            {sampling(func(s *sluicev1.Sampling) { s.TypicalP = number(0) }), codes.InvalidArgument, "sampling.typical_p"},
		"bias 101":               {sampling(func(s *sluicev1.Sampling) { s.LogitBias = map[uint32]float32{5: 101} }), codes.InvalidArgument, "sampling.logit_bias[5]"},
		"constraint":             {&sluicev1.GenerateRequest{Input: &sluicev1.GenerateRequest_Prompt{Prompt: "Hello"}, Constraint: &sluicev1.Constraint{Kind: &sluicev1.Constraint_Regex{Regex: "a+("}}}, codes.InvalidArgument, "constraint.regex"},
		"empty stop string":      {&sluicev1.GenerateRequest{Input: &sluicev1.GenerateRequest_Prompt{Prompt: "Hello"}, Stop: &sluicev1.Stop{Strings: []string{""}}}, codes.InvalidArgument, "stop.strings[0]"},
		"no message in the chat": {&sluicev1.GenerateRequest{Input: &sluicev1.GenerateRequest_Chat{Chat: &sluicev1.Chat{}}}, codes.InvalidArgument, "chat.messages"},
	} {
		check := func(kind string, err error) {
			if status.Code(err) != test.code {
				t.Errorf("%s, %s: got %v, want %v", name, kind, err, test.code)
				return
			}
			if test.field == "" {
				return
			}
			for _, detail := range status.Convert(err).Details() {
				if bad, ok := detail.(*errdetails.BadRequest); ok {
					for _, v := range bad.GetFieldViolations() {
						if v.GetField() == test.field {
							return
						}
					}
				}
			}
			t.Errorf("%s, %s: no violation of %s in %v %v", name, kind, test.field, err, status.Convert(err).Details())
		}
		_, err := s.Generate(ctx, test.request)
		check("unary", err)
		stream, err := s.GenerateStream(ctx, test.request)
		if err == nil {
			_, err = stream.Recv()
		}
		check("stream", err)
	}
	s.idle(ctx)
	if _, err := s.Generate(ctx, prompt("Hello", greedy(4))); err != nil {
		t.Errorf("after the bad input: %v", err)
	}
}
