//go:build overload

package ort

import (
	"context"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluiceml/sluice/inference/engine"
	"github.com/sluiceml/sluice/inference/runner"
	"github.com/sluiceml/sluice/inference/sampling"
)

// TestLongPrompt lets a prompt of 2,000 tokens come among 8 streams of the default model, on a clock that counts the processor
// time of the session's one thread: what else the machine does changes it less than the time of day. It says how many times as
// long the 95th percentile of steps gets, against those before and after it, and the prompt's first token against that alone,
// which without guesses is longer, as nothing is left out beside it.
func TestLongPrompt(t *testing.T) {
	for _, test := range []struct {
		name          string
		noSpeculation bool
		mostFirst     float64
	}{{"guesses", false, 3}, {"no guesses", true, 4}} {
		t.Run(test.name, func(t *testing.T) {
			config := realConfig(t)
			config.Device.Threads = 1
			m := &longPrompt{Session: openSession(t, openEnvironment(t), config), random: rand.New(rand.NewPCG(3, 4))}
			synctest.Test(t, func(t *testing.T) { m.measure(t, test.noSpeculation) })
			gaps, first := slow(m.during)/slow(m.without), float64(m.beside)/float64(m.alone)
			t.Logf("gaps at the 95th percentile %.2f times, first token %.2f times as long", gaps, first)
			if gaps > 1.5 || first > test.mostFirst {
				t.Error("too long")
			}
		})
	}
}

// slow is the 95th percentile.
func slow(steps []time.Duration) float64 {
	slices.Sort(steps)
	return float64(steps[len(steps)*95/100])
}

// longPrompt is a session whose steps take the processor time that they take, on the clock of a synctest bubble.
type longPrompt struct {
	runner.Session

	random          *rand.Rand
	steps           *[]time.Duration // of 8 rows are taken note of here; nil: nowhere
	without, during []time.Duration
	alone, beside   time.Duration
}

// Step runs a step and lets its time pass.
func (m *longPrompt) Step(st runner.Step) (runner.Logits, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before := threadTime()
	logits, err := m.Session.Step(st)
	took := threadTime() - before
	if m.steps != nil && len(st.Decode) == 8 {
		*m.steps = append(*m.steps, took)
	}
	time.Sleep(took) //nolint:forbidigo // the clock is not the real one
	return logits, err
}

// threadTime is what this thread has taken of its processor.
func threadTime() time.Duration {
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_THREAD, &usage); err != nil {
		panic(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// measure lets the prompt run alone, and among streams.
func (m *longPrompt) measure(t *testing.T, noSpeculation bool) {
	t.Helper()
	const calm = 4 * time.Second
	e, err := engine.New(m, engine.Config{Model: "real", NoSpeculation: noSpeculation, ReaderTimeout: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	ran := make(chan error, 1)
	go func() { ran <- e.Run(context.Background()) }()
	m.first(t, e) // what tokens cost is known then
	m.alone = m.first(t, e)
	var outs []*engine.Output
	for range 8 {
		outs = append(outs, m.ask(t, e, 64, 1900))
	}
	time.Sleep(3 * time.Second) //nolint:forbidigo // here too
	m.steps = &m.without
	time.Sleep(calm) //nolint:forbidigo // here too
	m.steps = &m.during
	m.beside = m.first(t, e)
	m.steps = &m.without
	time.Sleep(calm) //nolint:forbidigo // here too
	for _, out := range outs {
		out.Close()
	}
	e.Drain()
	if err := <-ran; err != nil {
		t.Fatal(err)
	}
}

// ask submits a random prompt.
func (m *longPrompt) ask(t *testing.T, e *engine.Engine, prompt, answer int) *engine.Output {
	t.Helper()
	ids := make([]uint32, prompt)
	for i := range ids {
		ids[i] = m.random.Uint32N(49152)
	}
	out, err := e.Submit(t.Context(), engine.Request{ID: "r", Prompt: ids, MaxTokens: answer, IgnoreEOS: true, Sampling: sampling.Greedy()})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// first is how long the long prompt's first token takes.
func (m *longPrompt) first(t *testing.T, e *engine.Engine) time.Duration {
	t.Helper()
	began, out := time.Now(), m.ask(t, e, 2000, 1)
	for {
		u, err := out.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if u.Finish != nil {
			return time.Since(began)
		}
	}
}
