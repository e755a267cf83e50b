package inference

import (
	"errors"
	"fmt"
	"slices"
)

// defaultAlias names the default model in every protocol, unless a model bears it as its own name.
const defaultAlias = "default"

// Registry holds the served models, the default one first. It never changes after NewRegistry and is safe for
// concurrent use.
type Registry struct {
	models []*Model
	byName map[string]*Model
}

// NewRegistry makes a registry of models; the first is the default, which "" and "default" name too. A name that is
// empty or taken is an error.
func NewRegistry(models ...*Model) (*Registry, error) {
	if len(models) == 0 {
		return nil, errors.New("registry: no model")
	}
	r := &Registry{models: slices.Clone(models), byName: make(map[string]*Model, len(models)+2)}
	for _, m := range models {
		if m.config.Name == "" {
			return nil, errors.New("registry: a model has no name")
		}
		if _, taken := r.byName[m.config.Name]; taken {
			return nil, fmt.Errorf("registry: two models are named %q", m.config.Name)
		}
		r.byName[m.config.Name] = m
	}
	first := models[0]
	r.byName[""] = first
	if _, taken := r.byName[defaultAlias]; !taken {
		r.byName[defaultAlias] = first
		first.aliases = []string{defaultAlias}
	}
	return r, nil
}

// Model finds a model by its name or alias. The error is a *NotFoundError.
func (r *Registry) Model(name string) (*Model, error) {
	m, ok := r.byName[name]
	if !ok {
		return nil, &NotFoundError{Model: name}
	}
	return m, nil
}

// Models lists the models, the default one first. The caller must not change the slice.
func (r *Registry) Models() []*Model { return r.models }

// Drain makes every model refuse new requests and finish those that it has; their Run returns when they are done.
func (r *Registry) Drain() {
	for _, m := range r.models {
		m.Drain()
	}
}
