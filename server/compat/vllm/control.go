package vllm

import (
	"context"
	"fmt"

	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
	vllmpb "github.com/sluiceml/sluice/proto/vllm"
)

// ControlService is the part of vllm.Control that reads.
type ControlService struct {
	vllmpb.UnimplementedControlServer

	models   sluicev1.ModelServiceServer
	version  string
	instance string
}

// NewControl makes the service on top of the native one. Version is the program's, instance names the process.
func NewControl(models sluicev1.ModelServiceServer, version, instance string) *ControlService {
	return &ControlService{models: models, version: version, instance: instance}
}

// GetServerInfo describes the server as its default model runs. What has no counterpart is 0.
func (s *ControlService) GetServerInfo(ctx context.Context, _ *vllmpb.GetServerInfoRequest) (*vllmpb.ServerInfo, error) {
	model, err := s.models.GetModel(ctx, &sluicev1.GetModelRequest{})
	if err != nil {
		return nil, fmt.Errorf("vllm: %w", err)
	}
	out := &vllmpb.ServerInfo{
		EngineVersion: "sluice " + s.version, InstanceId: s.instance, MaxModelLen: model.GetModel().GetContextLength(),
		Parallelism: &vllmpb.ParallelismInfo{
			TensorParallelSize: 1, PipelineParallelSize: 1, DecodeContextParallelSize: 1,
			DataParallelSize: uint32(len(model.GetModel().GetReplicas())), //nolint:gosec // a few
		},
	}
	for _, replica := range model.GetModel().GetReplicas() {
		out.MaxRunningRequests += uint64(replica.GetSlots())
	}
	return out, nil
}

// GetModelInfo describes the default model.
func (s *ControlService) GetModelInfo(ctx context.Context, _ *vllmpb.GetModelInfoRequest) (*vllmpb.ModelInfo, error) {
	model, err := s.models.GetModel(ctx, &sluicev1.GetModelRequest{})
	if err != nil {
		return nil, fmt.Errorf("vllm: %w", err)
	}
	m := model.GetModel()
	return &vllmpb.ModelInfo{
		ModelId: m.GetName(), ServedModelName: m.GetName(), ServedModelAliases: m.GetAliases(),
		SupportsTextInput: true, SupportsTokenIdsInput: true,
	}, nil
}
