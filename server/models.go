package server

import (
	"context"
	"fmt"

	"github.com/sluiceml/sluice/inference"
	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
	"github.com/sluiceml/sluice/server/auth"
	"github.com/sluiceml/sluice/server/status"
)

// Registry finds the served models. *inference.Registry implements it.
type Registry interface {
	// Model finds a model by its name or alias; "" and "default" name the first. The error is an
	// *inference.NotFoundError.
	Model(name string) (*inference.Model, error)
	// Models lists the models, the default one first.
	Models() []*inference.Model
}

// findModel finds the model that a field of a request names, if the caller may use it. One who may not use every model
// is not told which others exist.
func findModel(ctx context.Context, models Registry, field, name string) (*inference.Model, error) {
	if len(name) > maxModelName {
		return nil, inference.Invalid(field, "must have at most %d bytes", maxModelName)
	}
	caller := auth.FromContext(ctx)
	model, err := models.Model(name)
	switch {
	case err == nil && !caller.MayUseModel(model.Name()), err != nil && !caller.EveryModel():
		return nil, caller.RefuseModel(ctx, name)
	case err != nil:
		return nil, fmt.Errorf("find model: %w", err)
	}
	return model, nil
}

// modelService is sluice.v1.ModelService over the registry, as the public address serves it.
type modelService struct {
	sluicev1.UnimplementedModelServiceServer

	models Registry
}

// ListModels lists the served models that the caller may use, the default one first.
func (s *modelService) ListModels(ctx context.Context, _ *sluicev1.ListModelsRequest) (*sluicev1.ListModelsResponse, error) {
	caller := auth.FromContext(ctx)
	out := &sluicev1.ListModelsResponse{}
	for _, model := range s.models.Models() {
		if caller.MayUseModel(model.Name()) {
			out.Models = append(out.Models, describe(model))
		}
	}
	return out, nil
}

// GetModel describes one model.
func (s *modelService) GetModel(ctx context.Context, in *sluicev1.GetModelRequest) (*sluicev1.GetModelResponse, error) {
	model, err := findModel(ctx, s.models, "name", in.GetName())
	if err != nil {
		return nil, err
	}
	return &sluicev1.GetModelResponse{Model: describe(model)}, nil
}

// LoadModel is refused: what is served does not change at run time yet, and never on the public address.
func (s *modelService) LoadModel(context.Context, *sluicev1.LoadModelRequest) (*sluicev1.LoadModelResponse, error) {
	return nil, &status.AdminOnlyError{Method: "LoadModel"}
}

// UnloadModel is refused as LoadModel is.
func (s *modelService) UnloadModel(context.Context, *sluicev1.UnloadModelRequest) (*sluicev1.UnloadModelResponse, error) {
	return nil, &status.AdminOnlyError{Method: "UnloadModel"}
}
