package server

import (
	"context"
	"crypto/rand"

	"google.golang.org/grpc/metadata"

	oippb "github.com/sluiceml/sluice/proto/inference"
	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
	vllmpb "github.com/sluiceml/sluice/proto/vllm"
	"github.com/sluiceml/sluice/server/auth"
	"github.com/sluiceml/sluice/server/compat/oip"
	"github.com/sluiceml/sluice/server/compat/vllm"
	"github.com/sluiceml/sluice/server/handshake"
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
		Admit: s.readmit,
		Run:   s.chain.Run,

		SendTimeout: sendTimeout,
	}))
	vllmpb.RegisterInferenceServer(s.grpc, vllm.NewInference(generate, tokenizer))
	vllmpb.RegisterControlServer(s.grpc, vllm.NewControl(models, s.config.Version, rand.Text()))
}

// readmit checks a further request of a stream by the policy in force now, and takes it from its caller's quota.
func (s *Server) readmit(ctx context.Context, method string) (context.Context, error) {
	if s.config.Guard == nil {
		return ctx, nil
	}
	header := func(name string) []string { return metadata.ValueFromIncomingContext(ctx, name) }
	principal, err := s.config.Guard.Check(ctx, auth.Call{
		Method: method, Header: header, Identity: handshake.FromContext(ctx).Identity(header),
	})
	if err != nil {
		return ctx, err //nolint:wrapcheck // status knows it
	}
	return auth.NewContext(ctx, principal), principal.TakeRequest(ctx)
}

// idles says whether a method's calls may be open with nothing to do, so that a drain does not wait for them: what they
// do enters by itself.
func idles(method string) bool {
	return method == oippb.GRPCInferenceService_ModelStreamInfer_FullMethodName
}
