package vllm_test

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/sluiceml/sluice/inference"
	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
	vllmpb "github.com/sluiceml/sluice/proto/vllm"
	"github.com/sluiceml/sluice/server/servertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(t *testing.T) (*servertest.Instance, vllmpb.InferenceClient) {
	t.Helper()
	i := servertest.Start(t, []*inference.Model{servertest.Toy{}.Model(t)})
	return i, vllmpb.NewInferenceClient(i.Conn)
}

func request(prompt string, tokens uint32) *vllmpb.GenerateRequest {
	return &vllmpb.GenerateRequest{
		Prompt: &vllmpb.GenerateRequest_Text{Text: prompt}, Temperature: new(float32(0)),
		Stopping: &vllmpb.StoppingCriteria{MaxNewTokens: tokens},
	}
}

// The answer is the native one, whole and in pieces, with what was asked for.
func TestGenerate(t *testing.T) {
	t.Parallel()
	i, client := start(t)
	native, err := sluicev1.NewInferenceServiceClient(i.Conn).Generate(t.Context(), &sluicev1.GenerateRequest{
		Input:    &sluicev1.GenerateRequest_Prompt{Prompt: "one"},
		Sampling: &sluicev1.Sampling{MaxTokens: new(uint32(7)), Temperature: new(float32(0))},
		Output:   &sluicev1.OutputOptions{TokenIds: true, Logprobs: new(uint32(2))},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := native.GetOutputs()[0]
	in := request("one", 7)
	in.Response = &vllmpb.ResponseOptions{
		OutputTokenIds: true, OutputLogprobs: true, PromptTokenIds: true, PromptLogprobs: true,
		OutputCandidates: &vllmpb.CandidateTokens{Select: &vllmpb.CandidateTokens_TopN{TopN: 2}},
	}
	whole, err := client.Generate(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	got := whole.GetOutputs()
	if got.GetText() != want.GetText() || got.GetNumTokens() != 7 || len(got.GetLogprobs()) != 7 || got.GetRanks()[0] != 1 {
		t.Errorf("%v, want %v", got, want)
	}
	if diff := cmp.Diff(want.GetTokenIds(), got.GetTokenIds()); diff != "" {
		t.Error(diff)
	}
	second := want.GetLogprobs()[0].GetTop()[1]
	if other := got.GetCandidateTokens()[0].GetTokens(); len(other) != 1 || other[0].GetId() != second.GetTokenId() || other[0].GetRank() != 2 {
		t.Errorf("candidates %v, want %v", other, second)
	}
	if f := got.GetFinishInfo(); f.GetFinishReason() != vllmpb.FinishInfo_LENGTH || f.GetNumOutputTokens() != 7 {
		t.Errorf("%v", f)
	}
	if p := whole.GetPromptInfo(); p.GetNumPromptTokens() != 4 || len(p.GetTokenIds()) != 4 || len(p.GetLogprobs()) != 4 {
		t.Errorf("%v", p)
	}

	stream, err := client.GenerateStream(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	joined := &vllmpb.SequenceOutput{}
	var first *vllmpb.PromptInfo
	for n := 0; ; n++ {
		piece, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if (piece.GetPromptInfo() != nil) != (n == 0) {
			t.Errorf("piece %d has the prompt's info: %v", n, piece)
		}
		if n == 0 {
			first = piece.GetPromptInfo()
		}
		o := piece.GetOutputs()
		joined.Text += o.GetText()
		joined.NumTokens += o.GetNumTokens()
		joined.TokenIds = append(joined.TokenIds, o.GetTokenIds()...)
		joined.Logprobs = append(joined.Logprobs, o.GetLogprobs()...)
		joined.Ranks = append(joined.Ranks, o.GetRanks()...)
		joined.CandidateTokens = append(joined.CandidateTokens, o.GetCandidateTokens()...)
		joined.FinishInfo = o.GetFinishInfo()
	}
	if diff := cmp.Diff(got, joined, protocmp.Transform()); diff != "" {
		t.Errorf("(-whole +streamed):\n%s", diff)
	}
	if diff := cmp.Diff(whole.GetPromptInfo(), first, protocmp.Transform()); diff != "" {
		t.Errorf("prompt (-whole +streamed):\n%s", diff)
	}
}

// A sequence's end says what stopped it: the end token, a stop token, a stop text.
func TestFinish(t *testing.T) {
	t.Parallel()
	_, client := start(t)
	in := request("one", 0)
	in.Response = &vllmpb.ResponseOptions{OutputTokenIds: true}
	plain, err := client.Generate(t.Context(), in)
	if err != nil || plain.GetOutputs().GetNumTokens() != 20 { // as the protocol has it
		t.Fatalf("%v, %v", plain, err)
	}
	third := plain.GetOutputs().GetTokenIds()[2]
	in.Stopping = &vllmpb.StoppingCriteria{StopTokenIds: []uint32{third}}
	stopped, err := client.Generate(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	if f := stopped.GetOutputs().GetFinishInfo(); f.GetFinishReason() != vllmpb.FinishInfo_STOP || f.GetStopTokenId() != third || f.GetNumOutputTokens() != 3 {
		t.Errorf("%v", f)
	}
	in.Decoding = &vllmpb.DecodingParameters{AllowedTokenIds: []uint32{servertest.TurnEnd, 'a'}}
	in.Stopping = &vllmpb.StoppingCriteria{StopStrings: []string{"aa"}}
	texts, err := client.Generate(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	switch f := texts.GetOutputs().GetFinishInfo(); f.GetStopReason().(type) {
	case *vllmpb.FinishInfo_StopString:
		if f.GetStopString() != "aa" {
			t.Error(f)
		}
	case *vllmpb.FinishInfo_EosTokenId:
		if f.GetEosTokenId() != servertest.TurnEnd {
			t.Error(f)
		}
	default:
		t.Error(f)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	_, client := start(t)
	for field, change := range map[string]func(*vllmpb.GenerateRequest){
		"sampling.num_sequences": func(in *vllmpb.GenerateRequest) { in.Sampling = &vllmpb.RandomSampling{NumSequences: 2} },
		"kv.kv_transfer_params": func(in *vllmpb.GenerateRequest) {
			in.Kv = &vllmpb.KVCacheParameters{KvTransferParams: &structpb.Struct{}}
		},
		"decoding.structural_tag": func(in *vllmpb.GenerateRequest) {
			in.Decoding = &vllmpb.DecodingParameters{StructuredOutput: &vllmpb.DecodingParameters_StructuralTag{StructuralTag: "x"}}
		},
		"response.output_candidates": func(in *vllmpb.GenerateRequest) {
			in.Response = &vllmpb.ResponseOptions{OutputCandidates: &vllmpb.CandidateTokens{Select: &vllmpb.CandidateTokens_All{All: true}}}
		},
		"input":    func(in *vllmpb.GenerateRequest) { in.Prompt = nil },
		"priority": func(in *vllmpb.GenerateRequest) { in.Priority = -1 << 31 },
	} {
		in := request("x", 1)
		change(in)
		if _, err := client.Generate(t.Context(), in); status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v", field, err)
		}
	}
}

func TestControl(t *testing.T) {
	t.Parallel()
	i, _ := start(t)
	client := vllmpb.NewControlClient(i.Conn)
	server, err := client.GetServerInfo(t.Context(), &vllmpb.GetServerInfoRequest{})
	if err != nil || server.GetMaxModelLen() != 256 || server.GetMaxRunningRequests() != 4 {
		t.Errorf("%v, %v", server, err)
	}
	model, err := client.GetModelInfo(t.Context(), &vllmpb.GetModelInfoRequest{})
	if err != nil || model.GetServedModelName() != "toy" || !model.GetSupportsTokenIdsInput() {
		t.Errorf("%v, %v", model, err)
	}
}
