package inference

import (
	"errors"
	"testing"

	"github.com/sluiceml/sluice/inference/engine"
	"github.com/sluiceml/sluice/inference/inferencetest"
	"github.com/sluiceml/sluice/inference/runner"
	"github.com/sluiceml/sluice/inference/sampling"
)

// toyEngine is an engine on a toy session, and a failed one if it breaks.
func toyEngine(t *testing.T, breaks bool) *engine.Engine {
	t.Helper()
	e, err := engine.New(inferencetest.NewToy(inferencetest.ToyConfig{BeforeStep: func(runner.Step) error {
		if breaks {
			return errors.New("broken on purpose")
		}
		return nil
	}}), engine.Config{Model: "toy"})
	if err != nil {
		t.Fatal(err)
	}
	if breaks {
		if _, err := e.Submit(t.Context(), toyRequest()); err != nil {
			t.Fatal(err)
		}
		if err := e.Run(t.Context()); err == nil {
			t.Fatal("the engine did not break")
		}
	}
	return e
}

func toyRequest() engine.Request {
	return engine.Request{Prompt: []uint32{1, 2, 3}, MaxTokens: 2, Sampling: sampling.Greedy()}
}

// TestSubmitPastAFailure: a request that meets an engine which has failed, and whose replica does not know it yet, goes
// to another one.
func TestSubmitPastAFailure(t *testing.T) {
	failed, good := toyEngine(t, true), toyEngine(t, false)
	m := &Model{pool: newPool([]Replica{{Engine: failed}, {Engine: good}})}
	for i := range 4 {
		group, err := m.submit(t.Context(), &Request{}, []uint32{1, 2, 3}, toyRequest(), []engine.Decoder{nil})
		if err != nil {
			t.Fatalf("request %d: %v", i, err)
		}
		defer group.Close()
	}
	if n := good.Stats().Waiting; n != 4 {
		t.Errorf("%d requests of 4 went to the engine that runs", n)
	}
	m = &Model{pool: newPool([]Replica{{Engine: failed}})}
	_, err := m.submit(t.Context(), &Request{}, []uint32{1, 2, 3}, toyRequest(), []engine.Decoder{nil})
	if u, ok := errors.AsType[*UnavailableError](err); !ok || u.Reason != ReasonFailed {
		t.Errorf("with no other: %v", err)
	}
}

// TestLost: a replica goes out of service for its own engine only, not for one that it had before.
func TestLost(t *testing.T) {
	first, second, other := toyEngine(t, false), toyEngine(t, false), toyEngine(t, false)
	p := newPool([]Replica{{Engine: first}, {Engine: other}})
	p.lost(first)
	if p.replicas[0].serving.Load() || !p.replicas[1].serving.Load() {
		t.Error("the wrong replica went out of service")
	}
	p.replace(p.replicas[0], second)
	p.lost(first)
	if !p.replicas[0].serving.Load() {
		t.Error("a replica went out of service for an engine that it had before")
	}
}

func TestWorthIt(t *testing.T) {
	for _, test := range []struct {
		name          string
		holder, least engine.Stats
		want          bool
	}{
		{"both idle", engine.Stats{Slots: 8}, engine.Stats{Slots: 8}, true},
		{"a little busier", engine.Stats{Slots: 8, Running: 3}, engine.Stats{Slots: 8, Running: 1}, true},
		{"much busier", engine.Stats{Slots: 8, Running: 4}, engine.Stats{Slots: 8, Running: 1}, false},
		{"full", engine.Stats{Slots: 8, Running: 8}, engine.Stats{Slots: 8, Running: 7}, false},
		{"with a queue", engine.Stats{Slots: 8, Running: 5, Waiting: 3}, engine.Stats{Slots: 8, Running: 7}, false},
		{"of two slots", engine.Stats{Slots: 2, Running: 1}, engine.Stats{Slots: 2}, true},
		{"of one slot", engine.Stats{Slots: 1, Running: 1}, engine.Stats{Slots: 1}, false},
	} {
		if got := worthIt(test.holder, test.least); got != test.want {
			t.Errorf("%s: %t, want %t", test.name, got, test.want)
		}
	}
}
