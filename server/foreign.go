package server

import (
	"crypto/rand"

	oippb "github.com/sluiceml/sluice/proto/inference"
	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
	vllmpb "github.com/sluiceml/sluice/proto/vllm"
	"github.com/sluiceml/sluice/server/compat/oip"
	"github.com/sluiceml/sluice/server/compat/vllm"
)

// registerForeign puts the protocols of others on the gRPC server, on top of the native services.
func (s *Server) registerForeign(
	generate sluicev1.InferenceServiceServer, models sluicev1.ModelServiceServer, tokenizer sluicev1.TokenizerServiceServer,
) {
	oippb.RegisterGRPCInferenceServiceServer(s.grpc, oip.New(oip.Config{
		Inference: generate,
		Models:    models,
		Ready:     s.health.ready,
		Version:   s.config.Version,
		Enter: func() (func(), error) {
			if err := s.gate.enter(); err != nil {
				return nil, err
			}
			return s.gate.leave, nil
		},
	}))
	vllmpb.RegisterInferenceServer(s.grpc, vllm.NewInference(generate, tokenizer))
	vllmpb.RegisterControlServer(s.grpc, vllm.NewControl(models, s.config.Version, rand.Text()))
}

// idles says whether a method's calls may be open with nothing to do, so that a drain does not wait for them: what they
// do enters by itself.
func idles(method string) bool {
	return method == oippb.GRPCInferenceService_ModelStreamInfer_FullMethodName
}
