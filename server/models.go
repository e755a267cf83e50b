package server

import (
	"context"
	"errors"
	"fmt"

	"github.com/sluiceml/sluice/inference"
	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
	"github.com/sluiceml/sluice/server/auth"
	"github.com/sluiceml/sluice/server/status"
)

// Registry finds the served models. *inference.Registry implements it.
type Registry interface {
	// Find finds the entry of a name or alias; "" names the default model. The error is an *inference.NotFoundError.
	Find(name string) (inference.Entry, error)
	// Entries lists what is served, loaded and unloaded, the default model first. The caller does not change it.
	Entries() []inference.Entry
	// Models lists the models that serve or are being drained, the default one first.
	Models() []*inference.Model
}

// findEntry finds what the caller may use under the name that a field of a request holds. One who may not use every
// model is not told which others exist.
func findEntry(ctx context.Context, models Registry, field, name string) (inference.Entry, error) {
	if len(name) > maxModelName {
		return inference.Entry{}, inference.Invalid(field, "must have at most %d bytes", maxModelName)
	}
	caller := auth.FromContext(ctx)
	entry, err := models.Find(name)
	switch {
	case err == nil && !caller.MayUseModel(entry.Name), err != nil && !caller.EveryModel():
		return inference.Entry{}, caller.RefuseModel(ctx, name)
	case err != nil:
		return inference.Entry{}, fmt.Errorf("find model: %w", err)
	}
	return entry, nil
}

// findModel finds the model that serves under the name in the field "model" of a request.
func findModel(ctx context.Context, models Registry, name string) (*inference.Model, error) {
	entry, err := findEntry(ctx, models, "model", name)
	if err != nil {
		return nil, err
	}
	model, err := entry.Serving()
	if err != nil {
		return nil, fmt.Errorf("find model: %w", err)
	}
	return model, nil
}

// leadsElsewhere says whether a request that a model refused as draining belongs to another one by now: the name was
// given to it after the request had looked it up.
func leadsElsewhere(models Registry, name string, from *inference.Model, refusal error) bool {
	refused, ok := errors.AsType[*inference.UnavailableError](refusal)
	if !ok || refused.Reason != inference.ReasonDraining {
		return false
	}
	entry, err := models.Find(name)
	return err == nil && entry.Model != nil && entry.Model != from
}

// modelService is sluice.v1.ModelService over the registry, as the public address serves it.
type modelService struct {
	sluicev1.UnimplementedModelServiceServer

	models Registry
}

// ListModels lists the models that the caller may use, the default one first, those that are being loaded too.
func (s *modelService) ListModels(ctx context.Context, _ *sluicev1.ListModelsRequest) (*sluicev1.ListModelsResponse, error) {
	caller := auth.FromContext(ctx)
	out := &sluicev1.ListModelsResponse{}
	for _, entry := range s.models.Entries() {
		if caller.MayUseModel(entry.Name) {
			out.Models = append(out.Models, describe(entry))
		}
	}
	return out, nil
}

// GetModel describes one model.
func (s *modelService) GetModel(ctx context.Context, in *sluicev1.GetModelRequest) (*sluicev1.GetModelResponse, error) {
	entry, err := findEntry(ctx, s.models, "name", in.GetName())
	if err != nil {
		return nil, err
	}
	return &sluicev1.GetModelResponse{Model: describe(entry)}, nil
}

// LoadModel is refused: what is served changes by the admin address only.
func (s *modelService) LoadModel(context.Context, *sluicev1.LoadModelRequest) (*sluicev1.LoadModelResponse, error) {
	return nil, &status.AdminOnlyError{Method: "LoadModel"}
}

// UnloadModel is refused as LoadModel is.
func (s *modelService) UnloadModel(context.Context, *sluicev1.UnloadModelRequest) (*sluicev1.UnloadModelResponse, error) {
	return nil, &status.AdminOnlyError{Method: "UnloadModel"}
}
