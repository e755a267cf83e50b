package inference_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"

	"github.com/sluiceml/sluice/inference"
	"github.com/sluiceml/sluice/inference/engine"
	"github.com/sluiceml/sluice/inference/inferencetest"
	"github.com/sluiceml/sluice/inference/runner"
	"github.com/sluiceml/sluice/tokenizer"
)

// house is a manager of toy models.
type house struct {
	t        *testing.T
	registry *inference.Registry
	manager  *inference.Manager
	meters   *sdkmetric.MeterProvider
	reader   *sdkmetric.ManualReader
	step     func() error // of every session's step; nil: nothing
	open     atomic.Int32 // models whose memory is held

	mu    sync.Mutex
	ended []string // guarded by mu: names, with the error that they ended with
}

func newHouse(t *testing.T) *house {
	t.Helper()
	registry, err := inference.NewRegistry()
	if err != nil {
		t.Fatal(err)
	}
	h := &house{t: t, registry: registry, reader: sdkmetric.NewManualReader()}
	h.meters = sdkmetric.NewMeterProvider(sdkmetric.WithReader(h.reader))
	h.manager = inference.NewManager(inference.ManagerConfig{
		Registry:     registry,
		DrainTimeout: func() time.Duration { return time.Minute },
		OnEnd: func(model string, err error) {
			h.mu.Lock()
			defer h.mu.Unlock()
			if err != nil {
				model += ": " + err.Error()
			}
			h.ended = append(h.ended, model)
		},
	})
	t.Cleanup(func() {
		h.manager.Close(t.Context())
		h.manager.Close(t.Context()) // may be repeated
		if n := h.open.Load(); n != 0 {
			t.Errorf("the memory of %d models was not given back", n)
		}
	})
	return h
}

// make is an Open that makes a toy.
func (h *house) make(name string) func(context.Context, *inference.Model) (inference.Opened, error) {
	return func(_ context.Context, replaces *inference.Model) (inference.Opened, error) {
		tok, err := tokenizer.FromVocabulary(byteVocabulary())
		if err != nil {
			return inference.Opened{}, err
		}
		toy := inferencetest.NewToy(inferencetest.ToyConfig{
			Limits:     runner.Limits{Slots: 4, MaxLength: context128, MaxChunk: 16, VocabSize: vocabSize, Blocks: 8, BlockBytes: 1},
			BeforeStep: func(runner.Step) error { return h.before() },
		})
		e, err := engine.New(toy, engine.Config{Model: name})
		if err != nil {
			return inference.Opened{}, err
		}
		m, err := inference.NewModel(inference.Config{
			Name: name, ContextLength: context128, EOSTokenIDs: []uint32{endID}, Tokenizer: tok, Replaces: replaces,
			Defaults:      inference.Defaults{Sampling: inference.Sampling{MaxTokens: 16, TopP: 1, RepetitionPenalty: 1}},
			Replicas:      []inference.Replica{{Device: "toy", Engine: e}},
			MeterProvider: h.meters,
		})
		h.open.Add(1)
		return inference.Opened{Model: m, Close: func() error { h.open.Add(-1); return nil }}, err
	}
}

func (h *house) before() error {
	if h.step == nil {
		return nil
	}
	return h.step()
}

func (h *house) load(name string, aliases ...string) (inference.Entry, error) {
	return h.manager.Load(h.t.Context(), inference.LoadRequest{Name: name, Aliases: aliases, Replace: true, Open: h.make(name)})
}

func (h *house) mustLoad(name string, aliases ...string) *inference.Model {
	h.t.Helper()
	e, err := h.load(name, aliases...)
	if err != nil {
		h.t.Fatal(err)
	}
	return e.Model
}

// leads checks where a name leads to; "" is nowhere.
func (h *house) leads(name, want string) {
	h.t.Helper()
	e, err := h.registry.Find(name)
	if _, missing := errors.AsType[*inference.NotFoundError](err); err != nil && !missing || e.Name != want {
		h.t.Errorf("%q leads to %q (%v), want %q", name, e.Name, err, want)
	}
}

func TestManagerNames(t *testing.T) {
	h := newHouse(t)
	if err := h.manager.Expect("one", "two"); err != nil {
		t.Fatal(err)
	}
	if e, err := h.registry.Find(""); err != nil || e.Name != "one" || e.State() != inference.StateLoading {
		t.Errorf("%+v, %v", e, err)
	}
	if _, err := h.registry.Model("two"); reason(err) != inference.ReasonLoading {
		t.Errorf("a model that is being loaded: %v", err)
	}
	h.mustLoad("one")
	if err := h.manager.Fail("two"); err != nil {
		t.Fatal(err)
	}
	if _, err := h.registry.Model("two"); reason(err) != inference.ReasonFailed {
		t.Errorf("a model that could not be loaded: %v", err)
	}
	h.mustLoad("two", "live", "b") // which may be tried again
	h.mustLoad("three", "live")
	for name, want := range map[string]string{
		"": "one", "default": "one", "one": "one", "two": "two", "b": "two", "live": "three", "four": "",
	} {
		h.leads(name, want)
	}

	taken := func(err error) bool { _, ok := errors.AsType[*inference.NameTakenError](err); return ok }
	if _, err := h.load("live"); !taken(err) {
		t.Errorf("an alias as a name: %v", err)
	}
	if _, err := h.load("four", "one"); !taken(err) {
		t.Errorf("a name as an alias: %v", err)
	}
	h.leads("four", "")
	_, err := h.manager.Load(t.Context(), inference.LoadRequest{Name: "one", Open: h.make("one")})
	if !taken(err) {
		t.Errorf("a second time: %v", err)
	}

	var first *inference.DefaultModelError
	if err := h.manager.Unload(t.Context(), "one"); !errors.As(err, &first) {
		t.Errorf("unloading the default: %v", err)
	}
	h.mustLoad("three", "default")
	for name, want := range map[string]string{"": "three", "default": "three", "live": "three", "one": "one"} {
		h.leads(name, want)
	}
	var invalid *inference.InvalidError
	if err := h.manager.Unload(t.Context(), "b"); !errors.As(err, &invalid) {
		t.Errorf("unloading by an alias: %v", err)
	}
	var missing *inference.NotFoundError
	if err := h.manager.Unload(t.Context(), "four"); !errors.As(err, &missing) {
		t.Errorf("unloading what is not there: %v", err)
	}
	for _, name := range []string{"one", "two"} {
		if err := h.manager.Unload(t.Context(), name); err != nil {
			t.Error(err)
		}
		h.leads(name, "")
	}
	h.leads("b", "")
	if names := entryNames(h.registry); !slices.Equal(names, []string{"three"}) {
		t.Errorf("left: %v", names)
	}
}

func entryNames(r *inference.Registry) (names []string) {
	for _, e := range r.Entries() {
		names = append(names, e.Name)
	}
	return names
}

// reason is that of an *UnavailableError.
func reason(err error) string {
	e, ok := errors.AsType[*inference.UnavailableError](err)
	if !ok {
		return ""
	}
	return e.Reason
}

// A load that fails, or that its caller gives up, changes nothing.
func TestManagerFailedLoad(t *testing.T) {
	h := newHouse(t)
	one := h.mustLoad("one")
	broken := errors.New("broken")
	for _, name := range []string{"one", "two"} {
		_, err := h.manager.Load(t.Context(), inference.LoadRequest{
			Name: name, Replace: true, Aliases: []string{"live"},
			Open: func(context.Context, *inference.Model) (inference.Opened, error) { return inference.Opened{}, broken },
		})
		if !errors.Is(err, broken) {
			t.Errorf("%s: %v", name, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		_, err = h.manager.Load(ctx, inference.LoadRequest{
			Name: name, Replace: true,
			Open: func(ctx context.Context, replaces *inference.Model) (inference.Opened, error) {
				cancel()
				return h.make(name)(ctx, replaces)
			},
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", name, err)
		}
	}
	h.leads("two", "")
	h.leads("live", "")
	if m, err := h.registry.Model("one"); err != nil || m != one || m.State() != inference.StateReady {
		t.Errorf("%v, %v", m, err)
	}
	if n := h.open.Load(); n != 1 {
		t.Errorf("the memory of %d models is held", n)
	}
}

// One operation on a model at a time, and one load at a time.
func TestManagerBusy(t *testing.T) {
	h := newHouse(t)
	h.mustLoad("one")
	opening, goOn := make(chan struct{}), make(chan struct{})
	done := make(chan error, 2)
	load := func(name string, wait bool) {
		_, err := h.manager.Load(t.Context(), inference.LoadRequest{
			Name: name,
			Open: func(ctx context.Context, replaces *inference.Model) (inference.Opened, error) {
				if wait {
					close(opening)
					<-goOn
				}
				return h.make(name)(ctx, replaces)
			},
		})
		done <- err
	}
	go load("two", true)
	<-opening
	var busy *inference.BusyError
	if _, err := h.load("two"); !errors.As(err, &busy) {
		t.Errorf("loading it twice at once: %v", err)
	}
	if err := h.manager.Unload(t.Context(), "two"); !errors.As(err, &busy) {
		t.Errorf("unloading what is being loaded: %v", err)
	}
	go load("three", false) // waits for its turn
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := h.manager.Load(ctx, inference.LoadRequest{Name: "four", Open: h.make("four")})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("giving up one's turn: %v", err)
	}
	close(goOn)
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	h.leads("two", "two")
	h.leads("three", "three")
}
