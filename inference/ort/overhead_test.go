package ort

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/sluiceml/sluice/inference/engine"
	"github.com/sluiceml/sluice/inference/runner"
	"github.com/sluiceml/sluice/inference/sampling"
)

// timed is a session that notes when its steps of so many rows, and nothing else, begin and end, until it has seen enough.
type timed struct {
	runner.Session

	tb         testing.TB
	rows       int
	ended      time.Duration // of the last such step; 0 after another one
	runs, gaps time.Duration // of steps, and between one and the next
	seen       int
	enough     int
	done       chan struct{}
}

// Step runs a step and takes its time.
func (s *timed) Step(st runner.Step) (runner.Logits, error) {
	began := processorTime(s.tb)
	if s.ended > 0 {
		s.gaps += began - s.ended
		s.seen++
	}
	logits, err := s.Session.Step(st)
	s.ended = 0
	if len(st.Decode) == s.rows && len(st.Chunks) == 0 && st.Drafted() == 0 {
		s.ended = processorTime(s.tb)
		s.runs += s.ended - began
	}
	if s.seen == s.enough {
		s.seen++
		close(s.done)
	}
	return logits, err
}

// BenchmarkEngineOverhead is what a step of an engine costs beside the session's on the default model: drawing, text, results,
// the next plan. It reports processor time, all threads together, which other work on the machine changes less than others,
// of greedy rows and of rows that draw from the 40 most likely tokens.
func BenchmarkEngineOverhead(b *testing.B) {
	config := realConfig(b)
	config.Device.Threads = 1 // others would spin
	session := openSession(b, openEnvironment(b), config)
	for _, name := range []string{"greedy", "sampled"} {
		params := sampling.Greedy()
		if name == "sampled" {
			params = sampling.Params{Temperature: 0.8, TopK: 40, TopP: 0.95, RepetitionPenalty: 1.1}
		}
		for _, rows := range []int{1, 16} {
			b.Run(fmt.Sprintf("%s/rows=%d", name, rows), func(b *testing.B) {
				for b.Loop() {
					s := &timed{Session: session, tb: b, rows: rows, enough: 100, done: make(chan struct{})}
					runEngine(b, s, config.Graph.VocabSize, params)
					b.ReportMetric(float64(s.runs.Microseconds())/float64(s.enough), "µs/run")
					b.ReportMetric(float64(s.gaps.Microseconds())/float64(s.enough), "µs-beside")
					b.ReportMetric(100*float64(s.gaps)/float64(s.runs), "%-beside")
				}
			})
		}
	}
}

// runEngine lets as many requests run as the session wants to see, until it has seen enough.
func runEngine(b *testing.B, s *timed, vocabulary int, params sampling.Params) {
	b.Helper()
	e, err := engine.New(s, engine.Config{Model: "real", NoSpeculation: true})
	if err != nil {
		b.Fatal(err)
	}
	var ran sync.WaitGroup
	ran.Go(func() {
		if err := e.Run(context.WithoutCancel(b.Context())); err != nil {
			b.Errorf("Run: %v", err)
		}
	})
	var outs []*engine.Output
	for i := range s.rows {
		r := mixedRequest(i, vocabulary)
		r.MaxTokens, r.Sampling = 1000, params
		out, err := e.Submit(b.Context(), r)
		if err != nil {
			b.Fatal(err)
		}
		outs = append(outs, out)
	}
	<-s.done
	for _, out := range outs {
		out.Close()
	}
	e.Drain()
	ran.Wait()
}
