package inference

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Manager loads models into a registry, runs them, replaces and unloads them. A version of a model is replaced without
// a failed request: the new one is loaded and warm before the name leads to it, and the old one finishes what it has.
// It is safe for concurrent use.
type Manager struct {
	config   ManagerConfig
	registry *Registry

	// turn holds a token while a model is being loaded: one at a time, so that each sees the memory that the others left.
	turn    chan struct{}
	loading context.Context    //nolint:containedctx // ends the loads when the manager closes
	stop    context.CancelFunc // ends loading
	running sync.WaitGroup     // of operations and of models
	last    sync.Once          // takes the last turn

	mu       sync.Mutex
	closed   bool                // guarded by mu
	busy     map[string]string   // guarded by mu: what is being done to a model, by its name
	versions map[*Model]*version // guarded by mu: those that run
}

// ManagerConfig describes a manager.
type ManagerConfig struct {
	// Registry is changed by the manager alone.
	Registry *Registry
	// DrainTimeout is how long a model that was replaced or unloaded may finish what it has; then it is cut off.
	DrainTimeout func() time.Duration
	// OnEnd is told that a model has ended and its memory was given back, and the error it failed with, if any. It is
	// called from the goroutine that ran the model, and must not call the manager.
	OnEnd func(model string, err error)
}

// Opened is a model that is warm and not running, and how to give back what it holds once it has ended.
type Opened struct {
	Model *Model
	Close func() error
}

// LoadRequest says what to load.
type LoadRequest struct {
	Name    string   // to serve it by
	Folder  string   // for Entry.Folder
	Aliases []string // other names that shall lead to it from then on, and no longer to the models that have them now
	Replace bool     // also if a model of the name serves already

	// Open makes the model, and warms it up. replaces is the model that serves under the name, or nil. It should return
	// soon after ctx has ended.
	Open func(ctx context.Context, replaces *Model) (Opened, error)
}

// version is a model that runs.
type version struct {
	model  *Model
	cancel context.CancelCauseFunc // ends it at once
	done   chan struct{}           // closed when it has ended and its memory was given back
}

// errDrainTimeout is why the requests of a model were cut off.
var errDrainTimeout = errors.New("the model drained for too long")

// NewManager makes a manager. Close ends it.
func NewManager(config ManagerConfig) *Manager {
	m := &Manager{
		config: config, registry: config.Registry, turn: make(chan struct{}, 1),
		busy: map[string]string{}, versions: map[*Model]*version{},
	}
	m.loading, m.stop = context.WithCancel(context.Background())
	return m
}

// Expect announces models that will be loaded, in their order; the first is the default.
func (m *Manager) Expect(names ...string) error {
	for _, name := range names {
		if err := m.registry.expect(name, nil, StateLoading); err != nil {
			return err
		}
	}
	return nil
}

// Fail says that an announced model could not be loaded, and that the others are served without it.
func (m *Manager) Fail(name string) error { return m.registry.expect(name, nil, StateFailed) }

// Load loads a model and returns once it serves. What it replaces is drained after that. When it fails, everything is as
// it was before. Errors: *NameTakenError, *BusyError, *UnavailableError once the manager is closed, the cause of ctx, and
// what Open returns.
func (m *Manager) Load(ctx context.Context, r LoadRequest) (Entry, error) {
	end, err := m.begin(r.Name, "loaded")
	if err != nil {
		return Entry{}, err
	}
	defer end()
	before, err := m.registry.Find(r.Name)
	known := err == nil && before.Name == r.Name
	if state := before.State(); known && before.Model != nil && state != StateFailed && !r.Replace {
		return Entry{}, &NameTakenError{Name: r.Name, Model: r.Name}
	}
	if err := m.registry.expect(r.Name, r.Aliases, StateLoading); err != nil {
		return Entry{}, err
	}
	v, err := m.open(ctx, r, before.Model)
	if err == nil {
		var replaced *Model
		if replaced, err = m.registry.publish(v.model, r.Folder, r.Aliases); err == nil {
			m.drain(m.version(replaced))
			return m.registry.Find(r.Name)
		}
		v.cancel(err)
	}
	if known {
		_ = m.registry.expect(r.Name, nil, before.absent) // it was there before
	} else {
		m.registry.forget(r.Name, nil)
	}
	return Entry{}, err
}

// open makes a model when it is its turn, and runs it.
func (m *Manager) open(ctx context.Context, r LoadRequest, replaces *Model) (*version, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(m.loading, func() { cancel(unavailable(StateDraining)) })() //nolint:contextcheck // the manager outlives the call
	select {
	case m.turn <- struct{}{}:
		defer func() { <-m.turn }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	opened, err := r.Open(ctx, replaces)
	if err != nil {
		return nil, err
	}
	if ctx.Err() != nil { // nobody waits for it any more
		return nil, errors.Join(context.Cause(ctx), opened.discard()) //nolint:contextcheck // ctx has ended, and what was opened must be closed
	}
	return m.start(opened), nil //nolint:contextcheck // the model outlives the call that loaded it
}

// discard gives back what a model holds that never ran.
func (o Opened) discard() error {
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	return errors.Join(o.Model.Run(ended), o.Close())
}

// start runs a model.
func (m *Manager) start(opened Opened) *version {
	ctx, cancel := context.WithCancelCause(context.Background())
	v := &version{model: opened.Model, cancel: cancel, done: make(chan struct{})}
	m.mu.Lock()
	m.versions[v.model] = v
	m.mu.Unlock()
	m.running.Go(func() {
		defer close(v.done)
		defer cancel(nil)
		err := errors.Join(v.model.Run(ctx), opened.Close())
		if err == nil && errors.Is(context.Cause(ctx), errDrainTimeout) {
			err = errDrainTimeout
		}
		m.mu.Lock()
		delete(m.versions, v.model)
		m.mu.Unlock()
		m.config.OnEnd(v.model.Name(), err)
	})
	<-v.model.Running()
	return v
}

// version is the running version of a model; nil if it has ended.
func (m *Manager) version(model *Model) *version {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.versions[model]
}

// drain lets a model finish what it has, within the timeout.
func (m *Manager) drain(v *version) {
	if v == nil {
		return
	}
	v.model.Drain()
	timeout := time.AfterFunc(m.config.DrainTimeout(), func() { v.cancel(errDrainTimeout) })
	m.running.Go(func() {
		<-v.done
		timeout.Stop()
	})
}

// Unload drains a model and returns when its memory was given back. From the beginning on, its aliases lead nowhere and
// new requests are refused as draining. When ctx ends first, the unloading goes on. Errors: *NotFoundError,
// *InvalidError for an alias, *DefaultModelError, *BusyError, *UnavailableError once the manager is closed, the cause of
// ctx.
func (m *Manager) Unload(ctx context.Context, name string) error {
	entry, err := m.registry.Find(name)
	switch {
	case err != nil:
		return err
	case entry.Name != name:
		return Invalid("name", "is an alias of model %q: name the model itself", entry.Name)
	}
	end, err := m.begin(name, "unloaded")
	if err != nil {
		return err
	}
	entry, err = m.registry.retire(name)
	if err != nil {
		end()
		return err
	}
	gone := make(chan struct{})
	v := m.version(entry.Model)
	m.drain(v)
	m.running.Go(func() {
		if v != nil {
			<-v.done
		}
		m.registry.forget(name, entry.Model)
		end()
		close(gone)
	})
	select {
	case <-gone:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("the model is still being unloaded: %w", context.Cause(ctx))
	}
}

// begin keeps a model to one operation, until the returned function is called.
func (m *Manager) begin(name, operation string) (end func(), err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, unavailable(StateDraining)
	}
	if other, busy := m.busy[name]; busy {
		return nil, &BusyError{Model: name, Operation: other}
	}
	m.busy[name] = operation
	m.running.Add(1)
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.busy, name)
		m.running.Done()
	}, nil
}

// Close ends the loads that run, lets the models finish what they have, and returns when all memory was given back. When
// ctx ends first, the requests that still run are cut off. It may be called again.
func (m *Manager) Close(ctx context.Context) {
	m.mu.Lock()
	m.closed = true
	m.mu.Unlock()
	m.stop()
	m.last.Do(func() { m.turn <- struct{}{} }) // a load that runs ends first; there is none after it
	m.mu.Lock()
	running := make([]*version, 0, len(m.versions))
	for _, v := range m.versions {
		running = append(running, v)
	}
	m.mu.Unlock()
	for _, v := range running {
		v.model.Drain()
		defer context.AfterFunc(ctx, func() { v.cancel(context.Cause(ctx)) })()
	}
	m.running.Wait()
}
