package server_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/sluiceml/sluice/inference"
	"github.com/sluiceml/sluice/inference/inferencetest"
	"github.com/sluiceml/sluice/inference/runner"
	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
	"github.com/sluiceml/sluice/server/servertest"
)

func TestModels(t *testing.T) {
	t.Parallel()
	limits := runner.Limits{Slots: 3, MaxLength: 100, MaxChunk: 8}
	i := servertest.Start(t, []*inference.Model{
		servertest.Toy{Name: "first", Session: inferencetest.ToyConfig{Limits: limits}}.Model(t),
		servertest.Toy{Name: "second", NoTemplate: true}.Model(t),
	})
	client := sluicev1.NewModelServiceClient(i.Conn)
	list, err := client.ListModels(t.Context(), &sluicev1.ListModelsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	first := &sluicev1.Model{
		Name: "first", Aliases: []string{"default"}, State: sluicev1.ModelState_MODEL_STATE_READY,
		Architecture: "toy", Quantization: "none", ContextLength: 100, VocabSize: servertest.VocabSize,
		EosTokenIds: []uint32{servertest.TurnEnd}, Chat: true, ChatTemplates: []string{"default"},
		Replicas: []*sluicev1.Replica{{Device: "toy", Slots: 3}},
	}
	if len(list.GetModels()) != 2 || list.GetModels()[1].GetName() != "second" || list.GetModels()[1].GetChat() {
		t.Errorf("models %v", list)
	}
	if diff := cmp.Diff(first, list.GetModels()[0], protocmp.Transform()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, name := range []string{"", "default", "first"} {
		got, err := client.GetModel(t.Context(), &sluicev1.GetModelRequest{Name: name})
		if err != nil {
			t.Errorf("%q: %v", name, err)
		}
		if diff := cmp.Diff(first, got.GetModel(), protocmp.Transform()); diff != "" {
			t.Errorf("%q (-want +got):\n%s", name, diff)
		}
	}
	_, err = client.GetModel(t.Context(), &sluicev1.GetModelRequest{Name: "third"})
	detail[*errdetails.ResourceInfo](t, wantStatus(t, err, codes.NotFound))

	in := chatOf("hi")
	in.Model = "second"
	_, err = generator(i).Generate(t.Context(), in)
	if got := violations(t, wantStatus(t, err, codes.InvalidArgument)); got != "chat" {
		t.Errorf("violations of %q", got)
	}
}

// Changing what is served at run time is refused, and the refusal says where it is not.
func TestAdminMethodsAreRefused(t *testing.T) {
	t.Parallel()
	i := start(t, servertest.Toy{})
	client := sluicev1.NewModelServiceClient(i.Conn)
	_, load := client.LoadModel(t.Context(), &sluicev1.LoadModelRequest{Name: "x"})
	_, unload := client.UnloadModel(t.Context(), &sluicev1.UnloadModelRequest{Name: "toy"})
	for _, err := range []error{load, unload} {
		if st := wantStatus(t, err, codes.PermissionDenied); !strings.Contains(st.Message(), "--admin-addr") {
			t.Errorf("message %q", st.Message())
		}
	}
}

func TestTokenizer(t *testing.T) {
	t.Parallel()
	i := start(t, servertest.Toy{})
	client := sluicev1.NewTokenizerServiceClient(i.Conn)
	ids := func(in *sluicev1.TokenizeRequest) []uint32 {
		t.Helper()
		got, err := client.Tokenize(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		var out []uint32
		for _, token := range got.GetTokens() {
			out = append(out, token.GetId())
		}
		return out
	}
	end := []uint32{'<', '|', 'i', 'm', '_', 'e', 'n', 'd', '|', '>'}
	for _, test := range []struct {
		in   *sluicev1.TokenizeRequest
		want []uint32
	}{
		{&sluicev1.TokenizeRequest{}, []uint32{servertest.EndOfText}},
		{&sluicev1.TokenizeRequest{AddSpecialTokens: new(false)}, nil},
		{&sluicev1.TokenizeRequest{Text: "é"}, []uint32{servertest.EndOfText, 0xC3, 0xA9}},
		{&sluicev1.TokenizeRequest{Text: "<|im_end|>", AddSpecialTokens: new(false)}, []uint32{servertest.TurnEnd}},
		{&sluicev1.TokenizeRequest{
			Text: "<|im_end|>", AddSpecialTokens: new(false), ParseSpecial: new(false),
		}, end},
	} {
		if diff := cmp.Diff(test.want, ids(test.in)); diff != "" {
			t.Errorf("%v (-want +got):\n%s", test.in, diff)
		}
	}
	got, err := client.Tokenize(t.Context(), &sluicev1.TokenizeRequest{Text: "é"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&sluicev1.TokenizeResponse{Tokens: []*sluicev1.Token{
		{Id: servertest.EndOfText, Bytes: []byte("<|endoftext|>"), Special: true},
		{Id: 0xC3, Bytes: []byte{0xC3}},
		{Id: 0xA9, Bytes: []byte{0xA9}},
	}}, got, protocmp.Transform()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	_, err = client.Tokenize(t.Context(), &sluicev1.TokenizeRequest{Text: strings.Repeat("x", 2<<20)})
	if got := violations(t, wantStatus(t, err, codes.InvalidArgument)); got != "text" {
		t.Errorf("violations of %q", got)
	}
	_, err = client.Tokenize(t.Context(), &sluicev1.TokenizeRequest{Model: "gpt"})
	wantStatus(t, err, codes.NotFound)
}

func TestDetokenize(t *testing.T) {
	t.Parallel()
	i := start(t, servertest.Toy{})
	client := sluicev1.NewTokenizerServiceClient(i.Conn)
	for _, test := range []struct {
		in   *sluicev1.DetokenizeRequest
		want string
	}{
		{&sluicev1.DetokenizeRequest{}, ""},
		{&sluicev1.DetokenizeRequest{Ids: []uint32{0xC3, 0xA9, servertest.TurnEnd}}, "é"},
		{&sluicev1.DetokenizeRequest{
			Ids: []uint32{0xC3, 0xA9, servertest.TurnEnd}, SkipSpecialTokens: new(false),
		}, "é<|im_end|>"},
		{&sluicev1.DetokenizeRequest{Ids: []uint32{'a', 0xC3}}, "a\uFFFD"},
	} {
		got, err := client.Detokenize(t.Context(), test.in)
		if err != nil || got.GetText() != test.want {
			t.Errorf("%v: %q, %v; want %q", test.in, got.GetText(), err, test.want)
		}
	}
	// One byte of the request can stand for many of the answer.
	long := make([]uint32, 1<<20)
	for n := range long {
		long[n] = servertest.EndOfText
	}
	for name, bad := range map[string]struct {
		ids   []uint32
		field string
	}{"outside the vocabulary": {[]uint32{1, 2, 1 << 31}, "ids[2]"}, "too much text": {long, "ids"}} {
		_, err := client.Detokenize(t.Context(), &sluicev1.DetokenizeRequest{Ids: bad.ids})
		if got := violations(t, wantStatus(t, err, codes.InvalidArgument)); got != bad.field {
			t.Errorf("%s: violations of %q", name, got)
		}
	}
}

func TestCountTokens(t *testing.T) {
	t.Parallel()
	i := start(t, servertest.Toy{})
	client := sluicev1.NewTokenizerServiceClient(i.Conn)
	chat := chatOf("a<|im_end|>")
	ran, err := generator(i).Generate(t.Context(), chat)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		in   *sluicev1.CountTokensRequest
		want uint32
	}{
		{"prompt", &sluicev1.CountTokensRequest{Input: &sluicev1.CountTokensRequest_Prompt{Prompt: "a<|im_end|>"}}, 3},
		{"as text", &sluicev1.CountTokensRequest{
			Input: &sluicev1.CountTokensRequest_Prompt{Prompt: "a<|im_end|>"}, ParseSpecial: new(false),
		}, 12},
		{"over the context", &sluicev1.CountTokensRequest{
			Input: &sluicev1.CountTokensRequest_Prompt{Prompt: strings.Repeat("x", 1000)},
		}, 1001},
		{"chat", &sluicev1.CountTokensRequest{
			Input: &sluicev1.CountTokensRequest_Chat{Chat: chat.GetChat()},
		}, ran.GetUsage().GetPromptTokens()},
	} {
		got, err := client.CountTokens(t.Context(), test.in)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
		want := &sluicev1.CountTokensResponse{Count: test.want, ContextLength: 256}
		if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
	}
	for field, in := range map[string]*sluicev1.CountTokensRequest{
		"input":  {},
		"prompt": {Input: &sluicev1.CountTokensRequest_Prompt{Prompt: strings.Repeat("x", 10<<20)}},
		"chat.tools[0].name": {Input: &sluicev1.CountTokensRequest_Chat{Chat: &sluicev1.Chat{
			Messages: []*sluicev1.Message{{Role: "user"}}, Tools: []*sluicev1.Tool{{}},
		}}},
	} {
		_, err := client.CountTokens(t.Context(), in)
		if got := violations(t, wantStatus(t, err, codes.InvalidArgument)); got != field {
			t.Errorf("violations of %q, want %q", got, field)
		}
	}
}
