package inference_test

import (
	"context"
	"errors"
	"slices"
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
)

var errBroken = errors.New("broken on purpose")

// fleet is a model on toy replicas that can be broken: a step of a replica takes a millisecond, and fails while the
// replica is set to break. A replica is rebuilt unless it is set not to.
type fleet struct {
	model   *inference.Model
	breaks  []atomic.Bool
	refuses atomic.Bool // rebuilding fails
	rebuilt atomic.Int32
	metrics *sdkmetric.ManualReader

	mu     sync.Mutex
	events []inference.ReplicaEvent // guarded by mu
}

func newFleet(t *testing.T, replicas int) *fleet {
	t.Helper()
	f := &fleet{breaks: make([]atomic.Bool, replicas), metrics: sdkmetric.NewManualReader()}
	f.model = newModel(t, setup{metrics: f.metrics, configure: func(c *inference.Config) {
		c.Replicas = nil
		for i := range replicas {
			c.Replicas = append(c.Replicas, inference.Replica{
				Device: "toy", Engine: f.engine(t, i),
				Rebuild: func(context.Context) (*engine.Engine, error) {
					f.rebuilt.Add(1)
					if f.refuses.Load() {
						return nil, errBroken
					}
					return f.engine(t, i), nil
				},
			})
		}
		c.OnReplica = func(e inference.ReplicaEvent) {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.events = append(f.events, e)
		}
	}})
	return f
}

// engine makes an engine of a replica.
func (f *fleet) engine(t *testing.T, replica int) *engine.Engine {
	e, err := engine.New(inferencetest.NewToy(inferencetest.ToyConfig{
		Limits: runner.Limits{Slots: 4, MaxLength: context128, MaxChunk: 16, VocabSize: vocabSize, Blocks: 32},
		BeforeStep: func(runner.Step) error {
			time.Sleep(time.Millisecond) //nolint:forbidigo // the time is synctest's
			if f.breaks[replica].Load() {
				return errBroken
			}
			return nil
		},
	}), engine.Config{Model: "toy"})
	if err != nil {
		t.Error(err)
	}
	return e
}

// try runs a request to its end.
func (f *fleet) try(t *testing.T, text string) ([]uint32, error) {
	stream, err := f.model.Generate(t.Context(), request(inference.Prompt{Text: text}))
	if err != nil {
		return nil, err
	}
	ids, _, err := read(t, stream)
	return ids, err
}

// restarts are what the counter says, and how many of them went wrong.
func (f *fleet) restarts(t *testing.T) (all, failed int) {
	t.Helper()
	var collected metricdata.ResourceMetrics
	if err := f.metrics.Collect(t.Context(), &collected); err != nil {
		t.Fatal(err)
	}
	for _, scope := range collected.ScopeMetrics {
		for _, m := range scope.Metrics {
			if sum, ok := m.Data.(metricdata.Sum[int64]); ok && m.Name == semconv.MetricReplicaRestarts {
				for _, point := range sum.DataPoints {
					all += int(point.Value)
					if point.Attributes.HasValue(semconv.ErrorType) {
						failed += int(point.Value)
					}
				}
			}
		}
	}
	return all, failed
}

// TestReplicaIsRebuilt breaks one replica of two under load: its requests end with the failure, those of the other one
// do not notice, nothing is sent to it until it is rebuilt, and then it serves the same tokens again.
func TestReplicaIsRebuilt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 2)
		run(t, f.model)
		want, err := f.try(t, "a prompt of more than one block of positions")
		if err != nil {
			t.Fatal(err)
		}
		load := func(n int) (good, bad int) {
			var wg sync.WaitGroup
			var mu sync.Mutex
			for range n {
				wg.Go(func() {
					got, err := f.try(t, "a prompt of more than one block of positions")
					mu.Lock()
					defer mu.Unlock()
					switch {
					case err == nil && slices.Equal(got, want):
						good++
					case errors.Is(err, errBroken):
						bad++
					default:
						t.Errorf("got %v, %v", got, err)
					}
				})
			}
			wg.Wait()
			return good, bad
		}
		f.breaks[1].Store(true)
		good, bad := load(8)
		if good < 4 || bad == 0 || good+bad != 8 {
			t.Errorf("with one replica broken, %d requests ended well and %d with it", good, bad)
		}
		if f.model.State() != inference.StateReady {
			t.Errorf("the state is %v with one replica left", f.model.State())
		}
		if slots := f.model.Stats().Slots; slots != 4 {
			t.Errorf("%d slots with one replica left", slots)
		}
		if good, bad := load(6); good != 6 || bad != 0 {
			t.Errorf("while it is out, %d requests ended well and %d with it", good, bad)
		}
		asked := f.model.Stats().QueriedTokens
		f.breaks[1].Store(false)
		time.Sleep(time.Second) //nolint:forbidigo // the time is synctest's
		if s := f.model.Stats(); s.QueriedTokens < asked {
			t.Errorf("rebuilt, the prefixes of %d tokens have been looked up, and of %d before", s.QueriedTokens, asked)
		}
		if good, bad := load(8); good != 8 || bad != 0 {
			t.Errorf("rebuilt, %d requests ended well and %d with it", good, bad)
		}
		if s := f.model.Stats(); s.Slots != 8 || s.QueriedTokens <= asked {
			t.Errorf("rebuilt, the figures are %+v, and the prefixes of %d tokens had been looked up before", s, asked)
		}
		for i, r := range f.model.Info().Replicas {
			if r.Slots != 4 {
				t.Errorf("replica %d has %d slots", i, r.Slots)
			}
		}
		if all, failed := f.restarts(t); all != 1 || failed != 0 {
			t.Errorf("%d restarts were counted, %d of them in vain", all, failed)
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		if e := f.events; len(e) != 2 || !errors.Is(e[0].Err, errBroken) || e[0].RetryIn == 0 || e[1].Err != nil {
			t.Errorf("events %+v", e)
		}
	})
}

// TestOnlyReplica: a model whose only replica is being rebuilt is unavailable for that long, and then ready.
func TestOnlyReplica(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 1)
		run(t, f.model)
		f.breaks[0].Store(true)
		if _, err := f.try(t, "Hello"); !errors.Is(err, errBroken) {
			t.Errorf("the request ended with %v", err)
		}
		synctest.Wait()
		if s := f.model.State(); s != inference.StateFailed {
			t.Errorf("the state is %v", s)
		}
		_, err := f.try(t, "Hello")
		if u, ok := errors.AsType[*inference.UnavailableError](err); !ok || u.Reason != inference.ReasonFailed {
			t.Errorf("meanwhile: %v", err)
		}
		f.breaks[0].Store(false)
		time.Sleep(time.Second) //nolint:forbidigo // the time is synctest's
		if s := f.model.State(); s != inference.StateReady {
			t.Errorf("rebuilt, the state is %v", s)
		}
		if _, err := f.try(t, "Hello"); err != nil {
			t.Errorf("rebuilt: %v", err)
		}
	})
}

// TestReplicaStaysOut: rebuilding is tried ever more slowly, and not for ever. Without a replica left, Run ends.
func TestReplicaStaysOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 1)
		f.refuses.Store(true)
		ended := make(chan error, 1)
		go func() { ended <- f.model.Run(t.Context()) }()
		synctest.Wait()
		f.breaks[0].Store(true)
		began := time.Now()
		if _, err := f.try(t, "Hello"); !errors.Is(err, errBroken) {
			t.Errorf("the request ended with %v", err)
		}
		if err := <-ended; !errors.Is(err, errBroken) {
			t.Errorf("Run: %v", err)
		}
		if n, took := f.rebuilt.Load(), time.Since(began); n != 10 || took < time.Minute || took > 3*time.Minute {
			t.Errorf("rebuilt %d times in %s", n, took)
		}
		if all, failed := f.restarts(t); all != 10 || failed != 10 {
			t.Errorf("%d restarts were counted, %d of them in vain", all, failed)
		}
		last := f.events[len(f.events)-1]
		if len(f.events) != 11 || last.RetryIn != 0 || !errors.Is(last.Err, errBroken) {
			t.Errorf("%d events, the last one %+v", len(f.events), last)
		}
		for i, e := range f.events[1:10] {
			if e.RetryIn < f.events[i].RetryIn {
				t.Errorf("retry %d waits %s after %s", i+1, e.RetryIn, f.events[i].RetryIn)
			}
		}
	})
}

// TestFailuresFarApart: a replica that runs for a while between its failures is rebuilt every time.
func TestFailuresFarApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 1)
		run(t, f.model)
		for i := range 15 {
			f.breaks[0].Store(true)
			if _, err := f.try(t, "Hello"); !errors.Is(err, errBroken) {
				t.Fatalf("failure %d: %v", i, err)
			}
			f.breaks[0].Store(false)
			time.Sleep(2 * time.Minute) //nolint:forbidigo // the time is synctest's
			if _, err := f.try(t, "Hello"); err != nil {
				t.Fatalf("after failure %d: %v", i, err)
			}
		}
	})
}

// TestDrainWhileRebuilding: a drain does not wait for a replica that is out, nor let it come back.
func TestDrainWhileRebuilding(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 2)
		ended := make(chan error, 1)
		go func() { ended <- f.model.Run(t.Context()) }()
		synctest.Wait()
		f.breaks[0].Store(true)
		f.breaks[1].Store(true)
		for range 2 {
			if _, err := f.try(t, "Hello"); !errors.Is(err, errBroken) {
				t.Errorf("the request ended with %v", err)
			}
		}
		f.model.Drain()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
		if n := f.rebuilt.Load(); n != 0 {
			t.Errorf("%d replicas were rebuilt", n)
		}
		if s := f.model.State(); s != inference.StateDraining {
			t.Errorf("the state is %v", s)
		}
	})
}

// TestDrainAsItComesBack: a replica that is rebuilt while the drain begins ends with it.
func TestDrainAsItComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 1)
		m := newModel(t, setup{configure: func(c *inference.Config) {
			c.Replicas = []inference.Replica{{Device: "toy", Engine: f.engine(t, 0), Rebuild: func(context.Context) (*engine.Engine, error) {
				f.model.Drain()
				return f.engine(t, 0), nil
			}}}
		}})
		f.model = m
		ended := make(chan error, 1)
		go func() { ended <- m.Run(t.Context()) }()
		synctest.Wait()
		f.breaks[0].Store(true)
		if _, err := f.try(t, "Hello"); !errors.Is(err, errBroken) {
			t.Errorf("the request ended with %v", err)
		}
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

// TestRebuildPanics: a panic in the rebuilding is a failure of it, and the next attempt may succeed.
func TestRebuildPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f *fleet
		attempts := 0
		f = newFleet(t, 1)
		m := newModel(t, setup{configure: func(c *inference.Config) {
			c.Replicas = []inference.Replica{{Device: "toy", Engine: f.engine(t, 0), Rebuild: func(context.Context) (*engine.Engine, error) {
				if attempts++; attempts == 1 {
					panic("no memory")
				}
				f.breaks[0].Store(false)
				return f.engine(t, 0), nil
			}}}
		}})
		run(t, m)
		f.model = m
		f.breaks[0].Store(true)
		if _, err := f.try(t, "Hello"); !errors.Is(err, errBroken) {
			t.Errorf("the request ended with %v", err)
		}
		time.Sleep(time.Second) //nolint:forbidigo // the time is synctest's
		if _, err := f.try(t, "Hello"); err != nil || attempts != 2 {
			t.Errorf("after %d attempts: %v", attempts, err)
		}
	})
}

// TestPrefixAffinity: a prompt goes to the replica that holds its beginning, also when that is not the next in turn; and
// a prefix that everybody has does not draw all requests to one replica.
func TestPrefixAffinity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 3)
		run(t, f.model)
		const shared = "the beginning that all these prompts have in common, of several blocks: "
		cached := func(text string) int {
			stream, err := f.model.Generate(t.Context(), request(inference.Prompt{Text: shared + text}))
			if err != nil {
				t.Fatal(err)
			}
			if _, _, err := read(t, stream); err != nil {
				t.Fatal(err)
			}
			return stream.Summary().Usage.CachedTokens
		}
		if n := cached("one"); n != 0 {
			t.Errorf("the first prompt had %d tokens in the cache", n)
		}
		for _, text := range []string{"two", "three", "four", "five", "six"} {
			if n := cached(text); n < 64 {
				t.Errorf("%q had %d tokens in the cache", text, n)
			}
		}
		var wg sync.WaitGroup
		for range 12 {
			wg.Go(func() { _, _ = f.try(t, shared+"many") })
		}
		time.Sleep(5 * time.Millisecond) //nolint:forbidigo // the time is synctest's
		for i, r := range f.model.Info().Replicas {
			if r.Running+r.Waiting < 3 || r.Running+r.Waiting > 5 {
				t.Errorf("replica %d has %d requests of 12", i, r.Running+r.Waiting)
			}
		}
		wg.Wait()

		// The replicas fail one by one, each with what it holds: the rest goes on.
		f.refuses.Store(true)
		for i := range 2 {
			f.breaks[i].Store(true)
			for range 6 {
				_, _ = f.try(t, shared+"many")
			}
			if slots := f.model.Stats().Slots; slots != 4*(2-i) {
				t.Fatalf("%d slots are left of 12 after %d failures", slots, i+1)
			}
			if _, err := f.try(t, shared+"many"); err != nil {
				t.Errorf("after %d failures: %v", i+1, err)
			}
		}
	})
}
