package oip

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sluiceml/sluice/inference"
	oippb "github.com/sluiceml/sluice/proto/inference"
	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
	"github.com/sluiceml/sluice/server/compat/local"
)

// version is the version of every model: a name that is given another model serves that one.
const version = "1"

// Config describes a Service.
type Config struct {
	// Inference and Models are the native services. Required.
	Inference sluicev1.InferenceServiceServer
	Models    sluicev1.ModelServiceServer
	// Ready says whether every model is ready. Required.
	Ready func() bool
	// Enter lets a request of a stream in, or refuses it, as the server does with calls; leave ends it. Required.
	Enter func() (leave func(), err error)
	// Admit checks the rights of a further request of a stream anew and takes it from the caller's quota; the context that
	// it returns is the request's. The first request of a stream is the call's own. Required.
	Admit func(ctx context.Context, method string) (context.Context, error)
	// Run runs a request of a stream as the server runs a call: a panic is an error, the error is a status, and a bug is
	// in the log. Required.
	Run func(ctx context.Context, method string, f func(context.Context) error) error
	// SendTimeout is how long a response on a stream may wait for a client that does not read. Required.
	SendTimeout time.Duration
	// Version is the program's.
	Version string
}

// Service is inference.GRPCInferenceService.
type Service struct {
	oippb.UnimplementedGRPCInferenceServiceServer

	config Config
}

// New makes the service.
func New(config Config) *Service { return &Service{config: config} }

// ServerLive says that the server runs.
func (s *Service) ServerLive(context.Context, *oippb.ServerLiveRequest) (*oippb.ServerLiveResponse, error) {
	return &oippb.ServerLiveResponse{Live: true}, nil
}

// ServerReady says whether every model is ready.
func (s *Service) ServerReady(context.Context, *oippb.ServerReadyRequest) (*oippb.ServerReadyResponse, error) {
	return &oippb.ServerReadyResponse{Ready: s.config.Ready()}, nil
}

// ModelReady says whether a model is ready. One that is not served is not, as Triton has it.
func (s *Service) ModelReady(ctx context.Context, in *oippb.ModelReadyRequest) (*oippb.ModelReadyResponse, error) {
	if !known(in.GetVersion()) {
		return &oippb.ModelReadyResponse{}, nil
	}
	model, err := s.config.Models.GetModel(ctx, &sluicev1.GetModelRequest{Name: in.GetName()})
	if _, ok := errors.AsType[*inference.NotFoundError](err); ok {
		return &oippb.ModelReadyResponse{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("model ready: %w", err)
	}
	return &oippb.ModelReadyResponse{Ready: model.GetModel().GetState() == sluicev1.ModelState_MODEL_STATE_READY}, nil
}

// ServerMetadata describes the server.
func (s *Service) ServerMetadata(context.Context, *oippb.ServerMetadataRequest) (*oippb.ServerMetadataResponse, error) {
	return &oippb.ServerMetadataResponse{
		Name: "sluice", Version: s.config.Version, Extensions: []string{"model_repository", "schedule_policy", "parameters"},
	}, nil
}

// ModelMetadata describes the tensors of a model, which are the same for all.
func (s *Service) ModelMetadata(ctx context.Context, in *oippb.ModelMetadataRequest) (*oippb.ModelMetadataResponse, error) {
	if !known(in.GetVersion()) {
		return nil, &inference.NotFoundError{Model: in.GetName() + " version " + in.GetVersion()}
	}
	model, err := s.config.Models.GetModel(ctx, &sluicev1.GetModelRequest{Name: in.GetName()})
	if err != nil {
		return nil, fmt.Errorf("model metadata: %w", err)
	}
	type tensor = oippb.ModelMetadataResponse_TensorMetadata
	return &oippb.ModelMetadataResponse{
		Name: model.GetModel().GetName(), Versions: []string{version}, Platform: "sluice_onnxruntime",
		Inputs: []*tensor{
			{Name: textInput, Datatype: "BYTES", Shape: []int64{1}},
			{Name: streamInput, Datatype: "BOOL", Shape: []int64{1}},
			{Name: samplingInput, Datatype: "BYTES", Shape: []int64{1}},
			{Name: excludeInput, Datatype: "BOOL", Shape: []int64{1}},
		},
		Outputs: []*tensor{{Name: textOutput, Datatype: "BYTES", Shape: []int64{-1}}},
	}, nil
}

// RepositoryIndex lists the models that the caller may use.
func (s *Service) RepositoryIndex(ctx context.Context, in *oippb.RepositoryIndexRequest) (*oippb.RepositoryIndexResponse, error) {
	list, err := s.config.Models.ListModels(ctx, &sluicev1.ListModelsRequest{})
	if err != nil {
		return nil, fmt.Errorf("repository index: %w", err)
	}
	states := map[sluicev1.ModelState]string{
		sluicev1.ModelState_MODEL_STATE_LOADING: "LOADING", sluicev1.ModelState_MODEL_STATE_READY: "READY",
		sluicev1.ModelState_MODEL_STATE_DRAINING: "UNLOADING", sluicev1.ModelState_MODEL_STATE_FAILED: "UNAVAILABLE",
	}
	out := &oippb.RepositoryIndexResponse{}
	for _, model := range list.GetModels() {
		if in.GetReady() && model.GetState() != sluicev1.ModelState_MODEL_STATE_READY {
			continue
		}
		out.Models = append(out.Models, &oippb.RepositoryIndexResponse_ModelIndex{
			Name: model.GetName(), Version: version, State: states[model.GetState()],
		})
	}
	return out, nil
}

// ModelInfer generates whole texts.
func (s *Service) ModelInfer(ctx context.Context, in *oippb.ModelInferRequest) (*oippb.ModelInferResponse, error) {
	r, err := parse(in)
	if err != nil {
		return nil, err
	}
	if r.stream {
		return nil, inference.Invalid(streamInput, "must be false: ModelInfer has one response, ModelStreamInfer many")
	}
	bounded, cancel := r.bounded(ctx)
	defer cancel()
	response, err := s.whole(bounded, r)
	return response, timedOut(ctx, bounded, err)
}

// whole runs a request to its end.
func (s *Service) whole(ctx context.Context, r *request) (*oippb.ModelInferResponse, error) {
	answer, err := s.config.Inference.Generate(ctx, r.native)
	if err != nil {
		return nil, fmt.Errorf("model infer: %w", err)
	}
	texts := make([]string, len(answer.GetOutputs()))
	for i, output := range answer.GetOutputs() {
		texts[i] = output.GetText()
	}
	return r.response(answer.GetModel(), texts...), nil
}

// pieces runs a request and sends its text as it comes.
func (s *Service) pieces(ctx context.Context, r *request, send func(*oippb.ModelInferResponse) error) error {
	var model string
	return s.config.Inference.GenerateStream(r.native, local.NewStream(ctx, func(event *sluicev1.GenerateStreamResponse) error { //nolint:wrapcheck // it says what it is
		switch event := event.GetEvent().(type) {
		case *sluicev1.GenerateStreamResponse_Started:
			model = event.Started.GetModel()
		case *sluicev1.GenerateStreamResponse_Delta:
			return send(r.response(model, event.Delta.GetText()))
		}
		return nil
	}))
}

// bounded ends a request after the time that its parameter "timeout" allows.
func (r *request) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if r.timeout <= 0 {
		return ctx, func() {}
	}
	return context.WithTimeoutCause(ctx, r.timeout, context.DeadlineExceeded)
}

// timedOut is the error of a request whose own timeout ended it, which is not its call's.
func timedOut(call, bounded context.Context, err error) error {
	if err != nil && call.Err() == nil && bounded.Err() != nil {
		return status.Error(codes.DeadlineExceeded, "the time of the parameter timeout has passed")
	}
	return err
}

// known says whether a version is a model's.
func known(v string) bool { return v == "" || v == version }

// micros is the unit of Triton's timeouts.
const micros = time.Microsecond
