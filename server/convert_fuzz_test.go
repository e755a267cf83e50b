package server

import (
	"math"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/sluiceml/sluice/inference"
	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
	"github.com/sluiceml/sluice/server/requestid"
)

func seed(f *testing.F, text string) {
	f.Helper()
	in := &sluicev1.GenerateRequest{}
	if err := prototext.Unmarshal([]byte(text), in); err != nil {
		f.Fatal(err)
	}
	data, err := proto.Marshal(in)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
}

// isField says whether a path names a field, or the oneof, of GenerateRequest.
func isField(path string) bool {
	message := (&sluicev1.GenerateRequest{}).ProtoReflect().Descriptor()
	if message.Oneofs().ByName(protoreflect.Name(path)) != nil {
		return true
	}
	for name := range strings.SplitSeq(withoutIndices(path), ".") {
		if message == nil {
			return false
		}
		field := message.Fields().ByName(protoreflect.Name(name))
		if field == nil {
			return false
		}
		message = field.Message()
	}
	return true
}

// checkPromises checks what inference.Request says of itself.
func checkPromises(t *testing.T, bounds limits, out inference.Request) {
	t.Helper()
	s := out.Sampling
	for _, ok := range []bool{
		out.ID != "" && len(out.ID) <= requestid.Max,
		0 <= s.MaxTokens && s.MaxTokens <= bounds.context,
		0 <= s.Temperature && s.Temperature <= 2,
		0 <= s.TopK && s.TopK <= bounds.vocab,
		0 < s.TopP && s.TopP <= 1,
		0 <= s.MinP && s.MinP <= 1,
		0 < s.RepetitionPenalty && s.RepetitionPenalty <= math.MaxFloat32,
		-2 <= s.PresencePenalty && s.PresencePenalty <= 2,
		-2 <= s.FrequencyPenalty && s.FrequencyPenalty <= 2,
		0 <= s.TypicalP && s.TypicalP <= 1,
		0 <= s.MinTokens && s.MinTokens <= bounds.context && (s.MaxTokens == 0 || s.MinTokens <= s.MaxTokens),
		0 <= s.NoRepeatNGram && s.NoRepeatNGram <= bounds.context,
		len(s.LogitBias) <= maxLogitBias && len(s.BadWords) <= maxBadWords && len(s.AllowedTokenIDs) <= bounds.vocab,
		slices.IsSorted(s.AllowedTokenIDs) && (s.AllowedTokenIDs == nil || len(s.AllowedTokenIDs) > 0),
		0 <= s.N && s.N <= bounds.outputs && (s.N <= 1 || s.Temperature > 0),
		0 <= out.TruncatePrompt && out.TruncatePrompt <= bounds.context,
		0 <= out.Output.Logprobs.Top && out.Output.Logprobs.Top <= maxLogprobs,
		0 <= out.Output.PromptLogprobs.Top && out.Output.PromptLogprobs.Top <= maxLogprobs,
		len(out.Stop.Strings) <= maxStopStrings && len(out.Stop.TokenIDs) <= maxStopIDs,
	} {
		if !ok {
			t.Fatalf("a promise is broken: %+v", out)
		}
	}
	for _, text := range out.Stop.Strings {
		if text == "" {
			t.Error("an empty stop string")
		}
	}
	for _, word := range s.BadWords {
		if word == "" {
			t.Error("an empty bad word")
		}
	}
	ids := slices.Concat(out.Stop.TokenIDs, s.AllowedTokenIDs)
	for id, bias := range s.LogitBias {
		ids = append(ids, id)
		if !(bias >= -100 && bias <= 100) {
			t.Errorf("a bias of %v", bias)
		}
	}
	switch input := out.Input.(type) {
	case inference.Prompt:
		if input.Text == "" {
			t.Error("an empty prompt")
		}
	case inference.Tokens:
		if len(input) == 0 {
			t.Error("no tokens")
		}
		ids = append(ids, input...)
	case inference.Chat:
		if len(input.Messages) == 0 {
			t.Error("no messages")
		}
	default:
		t.Errorf("input %T", input)
	}
	for _, id := range ids {
		if int64(id) >= int64(bounds.vocab) {
			t.Errorf("token %d", id)
		}
	}
}
