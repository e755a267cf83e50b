package inference

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
)

// defaultAlias names the default model in every protocol, unless a model bears it as its own name.
const defaultAlias = "default"

// Registry holds what is served under which name, the default model first. A change replaces its whole content at once:
// a request sees the content before it or the one after it. It is safe for concurrent use.
type Registry struct {
	mu      sync.Mutex // of those who change it
	current atomic.Pointer[listing]
}

// listing is never changed once it is in the registry.
type listing struct {
	entries []Entry        // the default one first, the others in the order in which they came
	byName  map[string]int // names and aliases, and "" for the default
}

// Entry is what a registry knows of one model.
type Entry struct {
	Name    string
	Aliases []string // other names that lead to it, "default" among them
	Model   *Model   // nil while nothing serves under the name
	Folder  string   // of the model store that it was loaded from; "": another place

	Leaving bool // it is being unloaded

	absent State // the state while Model is nil: StateLoading or StateFailed
}

// State says whether the model serves.
func (e Entry) State() State {
	if e.Model == nil {
		return e.absent
	}
	return e.Model.State()
}

// Serving is the entry's model, or an *UnavailableError while there is none. The model may be replaced or unloaded
// before it gets a request, which it then refuses as draining: look the name up again, for it may lead elsewhere by then.
func (e Entry) Serving() (*Model, error) {
	if e.Model != nil {
		return e.Model, nil
	}
	return nil, unavailable(e.absent)
}

// NewRegistry makes a registry of models; the first is the default, which "" and "default" name too. A name that is
// empty or taken is an error.
func NewRegistry(models ...*Model) (*Registry, error) {
	r := &Registry{}
	c := &listing{}
	for _, m := range models {
		if m.config.Name == "" {
			return nil, errors.New("registry: a model has no name")
		}
		if c.own(m.config.Name) >= 0 {
			return nil, fmt.Errorf("registry: two models are named %q", m.config.Name)
		}
		c.entries = append(c.entries, Entry{Name: m.config.Name, Model: m})
	}
	r.current.Store(c.index())
	return r, nil
}

// Find finds the entry of a name or alias; "" names the default model. The error is a *NotFoundError.
func (r *Registry) Find(name string) (Entry, error) {
	c := r.current.Load()
	i, ok := c.byName[name]
	if !ok {
		return Entry{}, &NotFoundError{Model: name}
	}
	return c.entries[i], nil
}

// Model finds the model that serves under a name or alias. The error is a *NotFoundError, or an *UnavailableError if it
// is being loaded or could not be.
func (r *Registry) Model(name string) (*Model, error) {
	e, err := r.Find(name)
	if err != nil {
		return nil, err
	}
	return e.Serving()
}

// Entries lists what there is, the default model first. The caller must not change it.
func (r *Registry) Entries() []Entry { return r.current.Load().entries }

// Models lists the models that serve or are being drained, the default one first.
func (r *Registry) Models() []*Model {
	var models []*Model
	for _, e := range r.Entries() {
		if e.Model != nil {
			models = append(models, e.Model)
		}
	}
	return models
}

// own is the index of the entry with a name of its own, or -1.
func (c *listing) own(name string) int {
	return slices.IndexFunc(c.entries, func(e Entry) bool { return e.Name == name })
}

// index makes byName of the entries. The first entry is the default one. It keeps the alias "default" with it.
func (c *listing) index() *listing {
	c.byName = make(map[string]int, 2*len(c.entries)+1)
	named := c.own(defaultAlias) >= 0
	for i := range c.entries {
		e := &c.entries[i]
		e.Aliases = slices.DeleteFunc(slices.Clone(e.Aliases), func(a string) bool { return a == defaultAlias })
		if i == 0 && !named {
			e.Aliases = append([]string{defaultAlias}, e.Aliases...)
		}
		for _, name := range append(e.Aliases, e.Name) {
			c.byName[name] = i
		}
	}
	if len(c.entries) > 0 {
		c.byName[""] = 0
	}
	return c
}

// change replaces the content by what edit makes of a copy of it, unless edit fails.
func (r *Registry) change(edit func(*listing) error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	next := &listing{entries: slices.Clone(r.current.Load().entries)}
	if err := edit(next); err != nil {
		return err
	}
	r.current.Store(next.index())
	return nil
}

// conflict is the error of a name and aliases that a model cannot have, because they are others'. Aliases of others it
// can have as aliases.
func (c *listing) conflict(name string, aliases []string) error {
	for i := range c.entries {
		if e := &c.entries[i]; slices.Contains(e.Aliases, name) {
			return &NameTakenError{Name: name, Model: e.Name}
		}
	}
	for _, a := range aliases {
		if a != name && c.own(a) >= 0 {
			return &NameTakenError{Name: a, Model: a}
		}
	}
	return nil
}

// expect announces a model that is being loaded, or could not be. One that serves goes on. The error is a
// *NameTakenError.
func (r *Registry) expect(name string, aliases []string, state State) error {
	return r.change(func(c *listing) error {
		if err := c.conflict(name, aliases); err != nil {
			return err
		}
		if i := c.own(name); i < 0 {
			c.entries = append(c.entries, Entry{Name: name, absent: state})
		} else {
			c.entries[i].absent = state
		}
		return nil
	})
}

// publish lets a model serve under its name from now on, in the place of the one that did, which is returned. Other
// models lose the aliases that it gets; it keeps those that the name had. The alias "default" makes it the default
// model. The error is a *NameTakenError.
func (r *Registry) publish(m *Model, folder string, aliases []string) (replaced *Model, err error) {
	err = r.change(func(c *listing) error {
		name := m.config.Name
		if err := c.conflict(name, aliases); err != nil {
			return err
		}
		for i := range c.entries {
			e := &c.entries[i]
			e.Aliases = slices.DeleteFunc(slices.Clone(e.Aliases), func(a string) bool { return slices.Contains(aliases, a) })
		}
		i := c.own(name)
		if i < 0 {
			i = len(c.entries)
			c.entries = append(c.entries, Entry{Name: name})
		}
		e := &c.entries[i]
		replaced = e.Model
		e.Model, e.Folder = m, folder
		e.Aliases = slices.DeleteFunc(append(slices.Clone(e.Aliases), aliases...), func(a string) bool { return a == name })
		slices.Sort(e.Aliases)
		e.Aliases = slices.Compact(e.Aliases)
		if slices.Contains(aliases, defaultAlias) {
			first := *e
			c.entries = slices.Insert(slices.Delete(c.entries, i, i+1), 0, first)
		}
		return nil
	})
	return replaced, err
}

// retire takes the aliases from a model that is to be unloaded, so that they lead nowhere. The entry stays until forget,
// for those who ask what becomes of the model. The default model cannot go.
func (r *Registry) retire(name string) (Entry, error) {
	var retired Entry
	err := r.change(func(c *listing) error {
		i := c.own(name)
		switch {
		case i < 0:
			return &NotFoundError{Model: name}
		case i == 0:
			return &DefaultModelError{Model: name}
		}
		retired = c.entries[i]
		c.entries[i].Aliases, c.entries[i].Leaving = nil, true
		return nil
	})
	return retired, err
}

// forget takes a model out of the registry if it is still the one that serves under its name, or if none does.
func (r *Registry) forget(name string, m *Model) {
	_ = r.change(func(c *listing) error { // the edit does not fail
		c.entries = slices.DeleteFunc(c.entries, func(e Entry) bool { return e.Name == name && e.Model == m })
		return nil
	})
}
