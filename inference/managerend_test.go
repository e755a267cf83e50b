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

	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/sluiceml/sluice/inference"
	"github.com/sluiceml/sluice/inference/semconv"
)

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
