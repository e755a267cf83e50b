package ort

import (
	"context"
	"fmt"
	"slices"
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

	rows       int
	ended      time.Time       // of the last such step; zero after another one
	runs, gaps []time.Duration // of steps, and between one and the next
	enough     int
	done       chan struct{}
}

// Step runs a step and takes its time.
func (s *timed) Step(st runner.Step) (runner.Logits, error) {
	began := time.Now()
	if !s.ended.IsZero() {
		s.gaps = append(s.gaps, began.Sub(s.ended))
	}
	logits, err := s.Session.Step(st)
	s.ended = time.Time{}
	if len(st.Decode) == s.rows && len(st.Chunks) == 0 && st.Drafted() == 0 {
		s.ended = time.Now()
		s.runs = append(s.runs, s.ended.Sub(began))
	}
	if len(s.gaps) == s.enough {
		s.enough = 0
		close(s.done)
	}
	return logits, err
}

// BenchmarkEngineOverhead is what a step of an engine costs beside the session's on the default model: drawing, text, results,
// the next plan. It reports medians, of greedy rows and of rows that draw from the 40 most likely tokens.
func BenchmarkEngineOverhead(b *testing.B) {
	for _, threads := range []int{1, 2} {
		b.Run(fmt.Sprintf("threads=%d", threads), func(b *testing.B) { benchmarkOverhead(b, threads) })
	}
}

func benchmarkOverhead(b *testing.B, threads int) {
	b.Helper()
	config := realConfig(b)
	config.Device.Threads = threads
	session := openSession(b, openEnvironment(b), config)
	for _, name := range []string{"greedy", "sampled"} {
		params := sampling.Greedy()
		if name == "sampled" {
			params = sampling.Params{Temperature: 0.8, TopK: 40, TopP: 0.95, RepetitionPenalty: 1.1}
		}
		for _, rows := range []int{1, 16} {
			b.Run(fmt.Sprintf("%s/rows=%d", name, rows), func(b *testing.B) {
				for b.Loop() {
					s := &timed{Session: session, rows: rows, enough: 60, done: make(chan struct{})}
					runEngine(b, s, config.Graph.VocabSize, params)
					run, gap := median(s.runs), median(s.gaps)
					b.ReportMetric(float64(run.Microseconds()), "µs/run")
					b.ReportMetric(float64(gap.Microseconds()), "µs-beside")
					b.ReportMetric(100*float64(gap)/float64(run), "%-beside")
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

func median(times []time.Duration) time.Duration {
	slices.Sort(times)
	return times[len(times)/2]
}
