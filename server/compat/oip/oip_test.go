package oip_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	"go.uber.org/goleak"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/sluiceml/sluice/inference"
	"github.com/sluiceml/sluice/inference/inferencetest"
	"github.com/sluiceml/sluice/inference/runner"
	oippb "github.com/sluiceml/sluice/proto/inference"
	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
	"github.com/sluiceml/sluice/server"
	"github.com/sluiceml/sluice/server/auth"
	"github.com/sluiceml/sluice/server/compat/oip"
	"github.com/sluiceml/sluice/server/servertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type (
	tensor = oippb.ModelInferRequest_InferInputTensor
	param  = oippb.InferParameter
)

func start(t *testing.T, toy servertest.Toy) (*servertest.Instance, oippb.GRPCInferenceServiceClient) {
	t.Helper()
	i := servertest.Start(t, []*inference.Model{toy.Model(t)})
	return i, oippb.NewGRPCInferenceServiceClient(i.Conn)
}

func text(name, value string) *tensor {
	return &tensor{Name: name, Datatype: "BYTES", Shape: []int64{1}, Contents: &oippb.InferTensorContents{BytesContents: [][]byte{[]byte(value)}}}
}

func flag(name string, value bool) *tensor {
	return &tensor{Name: name, Datatype: "BOOL", Shape: []int64{1, 1}, Contents: &oippb.InferTensorContents{BoolContents: []bool{value}}}
}

func number(name string, value int32) *tensor {
	return &tensor{Name: name, Datatype: "INT32", Shape: []int64{1}, Contents: &oippb.InferTensorContents{IntContents: []int32{value}}}
}

func whole(n int64) *param {
	return &param{ParameterChoice: &oippb.InferParameter_Int64Param{Int64Param: n}}
}

func truth(v bool) *param {
	return &param{ParameterChoice: &oippb.InferParameter_BoolParam{BoolParam: v}}
}

func named(s string) *param {
	return &param{ParameterChoice: &oippb.InferParameter_StringParam{StringParam: s}}
}

// want is what the native service answers.
func want(t *testing.T, i *servertest.Instance, prompt string, tokens uint32) string {
	t.Helper()
	res, err := sluicev1.NewInferenceServiceClient(i.Conn).Generate(t.Context(), &sluicev1.GenerateRequest{
		Input:    &sluicev1.GenerateRequest_Prompt{Prompt: prompt},
		Sampling: &sluicev1.Sampling{MaxTokens: new(tokens), Temperature: new(float32(0))},
	})
	if err != nil {
		t.Fatal(err)
	}
	return res.GetOutputs()[0].GetText()
}

// The parameters of a request may come in each of the three ways, and the prompt in both forms; the answer has its form.
func TestModelInfer(t *testing.T) {
	t.Parallel()
	i, client := start(t, servertest.Toy{})
	expect := want(t, i, "one", 6)
	raw := binary.LittleEndian.AppendUint32(nil, 3)
	raw = append(raw, "one"...)
	for name, in := range map[string]*oippb.ModelInferRequest{
		"parameters": {
			Inputs:     []*tensor{text("text_input", "one")},
			Parameters: map[string]*param{"max_tokens": whole(6), "temperature": whole(0), "exclude_input_in_output": truth(true)},
		},
		"tensors": {Inputs: []*tensor{
			text("text_input", "one"), number("max_tokens", 6), number("temperature", 0), flag("exclude_input_in_output", true),
		}},
		"JSON": {Inputs: []*tensor{
			text("text_input", "one"), text("sampling_parameters", `{"max_tokens":"6","temperature":0}`), flag("exclude_input_in_output", true),
		}},
		"raw": {
			Inputs: []*tensor{
				{Name: "text_input", Datatype: "BYTES", Shape: []int64{1}},
				{Name: "max_tokens", Datatype: "UINT16", Shape: []int64{1}},
				{Name: "exclude_input_in_output", Datatype: "BOOL", Shape: []int64{1}},
				{Name: "temperature", Datatype: "FP32", Shape: []int64{1}},
			},
			RawInputContents: [][]byte{raw, {6, 0}, {1}, {0, 0, 0, 0}},
		},
	} {
		in.ModelName, in.Id = "toy", "mine"
		got, err := client.ModelInfer(t.Context(), in)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		answer := &oippb.ModelInferResponse{
			ModelName: "toy", ModelVersion: "1", Id: "mine",
			Outputs: []*oippb.ModelInferResponse_InferOutputTensor{{
				Name: "text_output", Datatype: "BYTES", Shape: []int64{1},
				Contents: &oippb.InferTensorContents{BytesContents: [][]byte{[]byte(expect)}},
			}},
		}
		if name == "raw" {
			answer.Outputs[0].Contents = nil
			answer.RawOutputContents = [][]byte{append(binary.LittleEndian.AppendUint32(nil, uint32(len(expect))), expect...)}
		}
		if diff := cmp.Diff(answer, got, protocmp.Transform()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	// Without exclude_input_in_output the prompt is in the output, as Triton's vLLM backend has it.
	got, err := client.ModelInfer(t.Context(), &oippb.ModelInferRequest{
		Inputs: []*tensor{text("text_input", "one")}, Parameters: map[string]*param{"max_tokens": whole(6), "temperature": whole(0)},
	})
	if err != nil || string(got.GetOutputs()[0].GetContents().GetBytesContents()[0]) != "one"+expect {
		t.Errorf("%v, %v", got, err)
	}
}

// Requests of one stream run side by side; each has its id, and the last response of each says so.
func TestModelStreamInfer(t *testing.T) {
	t.Parallel()
	i, client := start(t, servertest.Toy{})
	stream, err := client.ModelStreamInfer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, prompt := range []string{"one", "two", ""} {
		if err := stream.Send(&oippb.ModelInferRequest{
			Id: "id of " + prompt, Inputs: []*tensor{text("text_input", prompt), flag("stream", true)},
			Parameters: map[string]*param{"max_tokens": whole(6), "temperature": whole(0), "triton_enable_empty_final_response": truth(true)},
		}); err != nil {
			t.Fatal(err)
		}
	}
	texts, finals := map[string]string{}, map[string]int{}
	for ended := 0; ended < 3; {
		got, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		response := got.GetInferResponse()
		if message := got.GetErrorMessage(); message != "" {
			texts[response.GetId()] = message
			ended++
			continue
		}
		for _, output := range response.GetOutputs() {
			texts[response.GetId()] += string(output.GetContents().GetBytesContents()[0])
		}
		if response.GetParameters()["triton_final_response"].GetBoolParam() {
			finals[response.GetId()]++
			ended++
		}
	}
	expect := map[string]string{
		"id of one": want(t, i, "one", 6), "id of two": want(t, i, "two", 6),
		"id of ": "invalid request: prompt: must not be empty",
	}
	if diff := cmp.Diff(expect, texts); diff != "" || finals["id of one"] != 1 || finals["id of two"] != 1 {
		t.Errorf("%v (-want +got):\n%s", finals, diff)
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("the end is %v", err)
	}
}

// A caller may want errors as the stream's status.
func TestStreamErrorAsStatus(t *testing.T) {
	t.Parallel()
	_, client := start(t, servertest.Toy{})
	stream, err := client.ModelStreamInfer(metadata.AppendToOutgoingContext(t.Context(), "triton_grpc_error", "true"))
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&oippb.ModelInferRequest{Inputs: []*tensor{text("text_input", "")}}); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); status.Code(err) != codes.InvalidArgument {
		t.Error(err)
	}
}

// A drain does not wait for a stream that is open and idle, and lets a request of one finish.
func TestStreamDrains(t *testing.T) {
	t.Parallel()
	running := make(chan struct{})
	i, client := start(t, servertest.Toy{Session: inferencetest.ToyConfig{BeforeStep: func(runner.Step) error {
		select {
		case running <- struct{}{}:
		case <-time.After(5 * time.Millisecond):
		}
		return nil
	}}})
	idle, err := client.ModelStreamInfer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	busy, err := client.ModelStreamInfer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := busy.Send(&oippb.ModelInferRequest{
		Inputs:     []*tensor{text("text_input", "x")},
		Parameters: map[string]*param{"max_tokens": whole(20), "ignore_eos": truth(true)},
	}); err != nil {
		t.Fatal(err)
	}
	<-running
	drained := make(chan error, 1)
	go func() { drained <- i.Server.Shutdown(t.Context()) }()
	if got, err := busy.Recv(); err != nil || got.GetErrorMessage() != "" {
		t.Errorf("%v, %v", got, err)
	}
	if err := <-drained; err != nil {
		t.Error(err)
	}
	for name, stream := range map[string]oippb.GRPCInferenceService_ModelStreamInferClient{"idle": idle, "busy": busy} {
		if _, err := stream.Recv(); status.Code(err) != codes.Unavailable {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	_, client := start(t, servertest.Toy{})
	prompt := text("text_input", "x")
	for _, c := range []struct {
		in    *oippb.ModelInferRequest
		code  codes.Code
		field string
	}{
		{&oippb.ModelInferRequest{}, codes.InvalidArgument, "inputs"},
		{&oippb.ModelInferRequest{ModelName: "other", Inputs: []*tensor{prompt}}, codes.NotFound, "other"},
		{&oippb.ModelInferRequest{ModelVersion: "2", Inputs: []*tensor{prompt}}, codes.NotFound, "version 2"},
		{&oippb.ModelInferRequest{Inputs: []*tensor{prompt, flag("stream", true)}}, codes.InvalidArgument, "stream"},
		{&oippb.ModelInferRequest{Inputs: []*tensor{prompt, prompt}}, codes.InvalidArgument, "inputs[1].name"},
		{&oippb.ModelInferRequest{Inputs: []*tensor{prompt, number("surprise", 1)}}, codes.InvalidArgument, "surprise"},
		{&oippb.ModelInferRequest{Inputs: []*tensor{prompt, number("max_tokens", -1)}}, codes.InvalidArgument, "max_tokens"},
		{&oippb.ModelInferRequest{Inputs: []*tensor{prompt, text("temperature", "hot")}}, codes.InvalidArgument, "temperature"},
		{&oippb.ModelInferRequest{Inputs: []*tensor{prompt, text("sampling_parameters", "[]")}}, codes.InvalidArgument, "sampling_parameters"},
		{&oippb.ModelInferRequest{Inputs: []*tensor{prompt}, Parameters: map[string]*param{"priority": whole(1)}}, codes.InvalidArgument, "priority"},
		{&oippb.ModelInferRequest{Inputs: []*tensor{prompt}, Parameters: map[string]*param{"max_tokens": {}}}, codes.InvalidArgument, "parameters.max_tokens"},
		{&oippb.ModelInferRequest{
			Inputs: []*tensor{prompt, number("max_tokens", 1)}, Parameters: map[string]*param{"max_tokens": whole(1)},
		}, codes.InvalidArgument, "invalid request: parameters.max_tokens: is set twice"},
		{&oippb.ModelInferRequest{Inputs: []*tensor{{Name: "text_input", Datatype: "FP16", Shape: []int64{1}}}}, codes.InvalidArgument, "inputs[0].datatype"},
		{&oippb.ModelInferRequest{Inputs: []*tensor{{Name: "text_input", Datatype: "BYTES", Shape: []int64{1 << 40, 1 << 40}}}}, codes.InvalidArgument, "inputs[0].shape"},
		{&oippb.ModelInferRequest{Inputs: []*tensor{prompt}, RawInputContents: [][]byte{{1, 0, 0, 0, 'x'}}}, codes.InvalidArgument, "inputs[0].contents"},
		{&oippb.ModelInferRequest{
			Inputs: []*tensor{{Name: "text_input", Datatype: "BYTES", Shape: []int64{1}}}, RawInputContents: [][]byte{{255, 255, 255, 255, 'x'}},
		}, codes.InvalidArgument, "inputs[0]"},
		{&oippb.ModelInferRequest{
			Inputs: []*tensor{prompt}, Outputs: []*oippb.ModelInferRequest_InferRequestedOutputTensor{{Name: "logits"}},
		}, codes.InvalidArgument, "outputs[0].name"},
	} {
		_, err := client.ModelInfer(t.Context(), c.in)
		if status.Code(err) != c.code || !strings.Contains(err.Error(), c.field) {
			t.Errorf("%v: %v, want %v of %s", c.in, err, c.code, c.field)
		}
	}
	if _, err := client.ModelInfer(t.Context(), &oippb.ModelInferRequest{
		Inputs: []*tensor{prompt}, Parameters: map[string]*param{"stop": named("a"), "timeout": whole(1)},
	}); status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("a microsecond: %v", err)
	}
}

func TestMetadata(t *testing.T) {
	t.Parallel()
	_, client := start(t, servertest.Toy{})
	ctx := t.Context()
	live, err1 := client.ServerLive(ctx, &oippb.ServerLiveRequest{})
	ready, err2 := client.ServerReady(ctx, &oippb.ServerReadyRequest{})
	model, err3 := client.ModelReady(ctx, &oippb.ModelReadyRequest{Name: "toy", Version: "1"})
	other, err4 := client.ModelReady(ctx, &oippb.ModelReadyRequest{Name: "other"})
	if err := errors.Join(err1, err2, err3, err4); err != nil || !live.GetLive() || !ready.GetReady() || !model.GetReady() || other.GetReady() {
		t.Errorf("%v %v %v %v %v", live, ready, model, other, err)
	}
	about, err := client.ModelMetadata(ctx, &oippb.ModelMetadataRequest{Name: "default"})
	if err != nil || about.GetName() != "toy" || about.GetInputs()[0].GetName() != "text_input" || about.GetOutputs()[0].GetDatatype() != "BYTES" {
		t.Errorf("%v, %v", about, err)
	}
	index, err := client.RepositoryIndex(ctx, &oippb.RepositoryIndexRequest{Ready: true})
	if err != nil || fmt.Sprint(index.GetModels()[0].GetName(), index.GetModels()[0].GetState()) != "toyREADY" {
		t.Errorf("%v, %v", index, err)
	}
	if server, err := client.ServerMetadata(ctx, &oippb.ServerMetadataRequest{}); err != nil || server.GetName() != "sluice" {
		t.Errorf("%v, %v", server, err)
	}
}

// Elements of a tensor that a client made up are an error and never a panic.
func FuzzModelInfer(f *testing.F) {
	f.Add("BYTES", int64(1), []byte{1, 0, 0, 0, 'x'}, "text_input")
	f.Add("FP64", int64(-1), bytes.Repeat([]byte{255}, 9), "temperature")
	f.Fuzz(func(t *testing.T, datatype string, size int64, raw []byte, name string) {
		oip.Parse(t, &oippb.ModelInferRequest{
			Inputs: []*tensor{
				{Name: name, Datatype: datatype, Shape: []int64{size}},
				{Name: "text_input", Datatype: "BYTES", Shape: []int64{1}},
			},
			RawInputContents: [][]byte{raw, {1, 0, 0, 0, 'x'}},
		})
	})
}

// Each request of a stream is judged by the keys in force, and a stream may be open for longer than a message may take.
func TestStreamOfRevokedKey(t *testing.T) {
	t.Parallel()
	key := auth.NewKey()
	sum, err := auth.HashKey(key)
	if err != nil {
		t.Fatal(err)
	}
	policies := make([]*auth.Policy, 2)
	for n, text := range []string{`clients: [{name: a, key_sha256: "` + sum + `", requests: {rate: 0.001, burst: 2}}]`, `clients: [{name: b, key_sha256: "` + strings.Repeat("0", 64) + `"}]`} {
		if policies[n], err = auth.ParsePolicy([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	guard, err := auth.NewGuard(auth.Config{Policy: policies[0], MeterProvider: metricnoop.NewMeterProvider()})
	if err != nil {
		t.Fatal(err)
	}
	i := servertest.Start(t, []*inference.Model{servertest.Toy{}.Model(t)}, func(c *server.Config) {
		c.Guard, c.ReceiveTimeout = guard, 50*time.Millisecond
	})
	stream, err := oippb.NewGRPCInferenceServiceClient(i.Conn).ModelStreamInfer(metadata.AppendToOutgoingContext(t.Context(), "x-api-key", key))
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(200 * time.Millisecond) //nolint:forbidigo // longer than a message may take
	for n, want := range []string{"", "", "requests", "key"} {
		if n == 3 {
			guard.Replace(policies[1])
		}
		if err := stream.Send(&oippb.ModelInferRequest{Inputs: []*tensor{text("text_input", "x")}}); err != nil {
			t.Fatal(err)
		}
		got, err := stream.Recv()
		if err != nil || (want == "") != (got.GetErrorMessage() == "") || !strings.Contains(got.GetErrorMessage(), want) {
			t.Errorf("request %d: %v, %v", n, got, err)
		}
	}
}
