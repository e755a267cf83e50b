package gateway

import (
	"net/http"

	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
)

// modelEntry is a model in OpenAI's form.
type modelEntry struct {
	ID        string `json:"id"`
	Object    string `json:"object"`
	Created   int64  `json:"created"` // required, and known of no model: when the server was asked
	OwnedBy   string `json:"owned_by"`
	MaxLength uint32 `json:"max_model_len"` // as vLLM has it
}

func (g *Gateway) entry(model *sluicev1.Model, id string) modelEntry {
	return modelEntry{ID: id, Object: "model", Created: g.now().Unix(), OwnedBy: "sluice", MaxLength: model.GetContextLength()}
}

func (g *Gateway) listModels(w http.ResponseWriter, r *http.Request) {
	answer, err := g.models.ListModels(g.call(r.Context(), r), &sluicev1.ListModelsRequest{})
	if err != nil {
		fail(w, translate(err, nil))
		return
	}
	list := []modelEntry{}
	for _, model := range answer.GetModels() {
		list = append(list, g.entry(model, model.GetName()))
		for _, alias := range model.GetAliases() { // clients choose from this list, and may have been told the alias
			list = append(list, g.entry(model, alias))
		}
	}
	write(w, http.StatusOK, map[string]any{"object": "list", "data": list})
}

func (g *Gateway) getModel(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	if name == "" { // natively the default model, but /v1/models/ is the list's address to most who write it
		g.listModels(w, r)
		return
	}
	answer, err := g.models.GetModel(g.call(r.Context(), r), &sluicev1.GetModelRequest{Name: name})
	if err != nil {
		fail(w, translate(err, map[string]string{"name": "model"}))
		return
	}
	write(w, http.StatusOK, g.entry(answer.GetModel(), name))
}
