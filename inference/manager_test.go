package inference_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/sluiceml/sluice/inference"
	"github.com/sluiceml/sluice/inference/engine"
	"github.com/sluiceml/sluice/inference/inferencetest"
	"github.com/sluiceml/sluice/inference/runner"
	"github.com/sluiceml/sluice/inference/semconv"
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

// TestManagerSwap replaces a model again and again under load. Every request is served, by one version or another, and
// the figures go on as those of one model.
func TestManagerSwap(t *testing.T) {
	h := newHouse(t)
	h.mustLoad("toy")
	ctx, stop := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	var served, moved atomic.Int32
	for range 8 {
		clients.Go(func() {
			for ctx.Err() == nil {
				m, err := h.registry.Model("toy")
				if err != nil {
					t.Error(err)
					return
				}
				s, err := m.Generate(t.Context(), request(inference.Prompt{Text: "Hello, this is a prompt of some blocks"}))
				if reason(err) == inference.ReasonDraining {
					if other, _ := h.registry.Model("toy"); other != m {
						moved.Add(1) // the name leads elsewhere by now
						continue
					}
				}
				if err != nil {
					t.Error(err)
					return
				}
				if _, _, err := read(t, s); err != nil {
					t.Error(err)
				}
				s.Close()
				served.Add(1)
			}
		})
	}
	const swaps = 20
	for range swaps {
		h.mustLoad("toy")
		if s := h.registry.Models()[0].Stats(); s.Slots < 4 {
			t.Errorf("%d slots", s.Slots)
		}
	}
	stop()
	clients.Wait()
	t.Logf("%d requests served, %d had found a model that was being replaced", served.Load(), moved.Load())
	h.manager.Close(t.Context())
	if n := len(h.ended); n != swaps+1 || slices.ContainsFunc(h.ended, func(s string) bool { return s != "toy" }) {
		t.Errorf("ended: %v", h.ended)
	}
}

// What a version counted stays counted when another takes its place.
func TestManagerSwapKeepsCounters(t *testing.T) {
	h := newHouse(t)
	prompted := 0
	for i := range 3 {
		m := h.mustLoad("toy")
		s, err := m.Generate(t.Context(), request(inference.Prompt{Text: strings.Repeat("a prompt ", i+2)}))
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := read(t, s); err != nil {
			t.Fatal(err)
		}
		prompted += s.Summary().Usage.PromptTokens
		s.Close()
	}
	var all metricdata.ResourceMetrics
	if err := h.reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	queried := int64(-1)
	for _, scope := range all.ScopeMetrics {
		for _, metric := range scope.Metrics {
			if sum, ok := metric.Data.(metricdata.Sum[int64]); ok && metric.Name == semconv.MetricPrefixQueries {
				if len(sum.DataPoints) != 1 {
					t.Errorf("%d series", len(sum.DataPoints))
				}
				queried = sum.DataPoints[0].Value
			}
		}
	}
	if queried != int64(prompted) {
		t.Errorf("%d tokens were looked up, by the metric %d", prompted, queried)
	}
}

// An unload lets what runs finish, refuses what is new, and cuts off what takes too long. The caller need not stay.
func TestManagerUnload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		hold := make(chan struct{})
		h.step = func() error { <-hold; return nil }
		h.mustLoad("one")
		m := h.mustLoad("two", "alias")
		s, err := m.Generate(t.Context(), request(inference.Prompt{Text: "hi"}))
		if err != nil {
			t.Fatal(err)
		}
		ctx, leave := context.WithCancel(t.Context())
		left := make(chan error, 1)
		go func() { left <- h.manager.Unload(ctx, "two") }()
		synctest.Wait()
		h.leads("alias", "")
		if e, err := h.registry.Find("two"); err != nil || e.State() != inference.StateDraining || !e.Leaving {
			t.Errorf("%+v, %v", e, err)
		}
		if _, err := m.Generate(t.Context(), request(inference.Prompt{Text: "hi"})); reason(err) != inference.ReasonDraining {
			t.Errorf("a new request: %v", err)
		}
		leave()
		if err := <-left; !errors.Is(err, context.Canceled) {
			t.Errorf("leaving: %v", err)
		}
		var busy *inference.BusyError
		if _, err := h.load("two"); !errors.As(err, &busy) {
			t.Errorf("loading what is being unloaded: %v", err)
		}
		close(hold)
		if _, finish, err := read(t, s); err != nil || finish == nil {
			t.Errorf("the request that ran: %v, %v", finish, err)
		}
		s.Close()
		synctest.Wait()
		h.leads("two", "")
	})
}

func TestManagerDrainTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.step = func() error { time.Sleep(time.Second); return nil } //nolint:forbidigo // of the bubble's clock
		h.mustLoad("one")
		m := h.mustLoad("two")
		r := request(inference.Prompt{Text: "hi"})
		r.Sampling.MaxTokens, r.Sampling.IgnoreEOS = 100, true // more seconds than the timeout
		s, err := m.Generate(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		cut := make(chan error, 1)
		go func() {
			_, _, err := read(t, s)
			cut <- err
		}()
		if err := h.manager.Unload(t.Context(), "two"); err != nil {
			t.Error(err)
		}
		if err := <-cut; reason(err) != inference.ReasonDraining {
			t.Errorf("the request that was cut off: %v", err)
		}
		s.Close()
		if len(h.ended) != 1 || !strings.HasPrefix(h.ended[0], "two: ") {
			t.Errorf("ended: %q", h.ended)
		}
	})
}

// A manager that closes ends a load that runs and takes no other.
func TestManagerClose(t *testing.T) {
	h := newHouse(t)
	opening := make(chan struct{})
	done := make(chan error, 1)
	go func() {
		_, err := h.manager.Load(t.Context(), inference.LoadRequest{
			Name: "one",
			Open: func(ctx context.Context, replaces *inference.Model) (inference.Opened, error) {
				close(opening)
				<-ctx.Done()
				return h.make("one")(ctx, replaces)
			},
		})
		done <- err
	}()
	<-opening
	h.manager.Close(t.Context())
	if err := <-done; reason(err) != inference.ReasonDraining {
		t.Errorf("a load that ran: %v", err)
	}
	if _, err := h.load("two"); reason(err) != inference.ReasonDraining {
		t.Errorf("a new load: %v", err)
	}
}
