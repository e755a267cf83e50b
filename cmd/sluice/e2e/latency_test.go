//go:build overload && linux

package e2e_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"time"

	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
)

// What a long prompt must not do to the streams that run when it comes, nor they to it, as docs/reliability.md promises it.
const (
	longPrompt     = 2000 // tokens
	streamsBeside  = 8
	mostGap        = 1.5 // times that without the prompt, at the 95th percentile
	mostLongPrompt = 3   // times the prompt's own first token alone
)

// TestLatencyBesideLongPrompt measures the gaps between the deltas of streams, before a long prompt comes, while it is taken
// in and after it, and the prompt's time to first token alone and beside the streams. `make latency` prints the table of
// docs/reliability.md; ROUNDS changes the run, and FORM=row8 the form of the weights. It wants a machine that does nothing else.
func TestLatencyBesideLongPrompt(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // the client's goroutines take turns anyway
	arguments := []string{"--slots", "16", "--max-context", "4096", "--prefix-cache-bytes", "0", "--device", setting("DEVICE", "cpu")}
	if form := setting("FORM", "auto"); form != "auto" {
		arguments = append(arguments, "--model", form+"="+convert(t, form))
	}
	s := serve(t, nil, arguments...)
	m := &latency{t: t, s: s, w: dialWire(t, s.grpc), random: rand.New(rand.NewPCG(3, 4))}
	m.alone() // warm
	m.first = nil
	for range whole(t, "ROUNDS", 5) {
		m.alone()
		m.beside()
	}
	without, during := percentile(m.without, 0.95), percentile(m.during, 0.95)
	alone, beside := median(m.first), median(m.firstBeside)
	fmt.Printf("| | alone | together | ratio |\n|---|---|---|---|\n")
	fmt.Printf("| gap between the deltas of %d streams, p50, ms | %.1f | %.1f | %.2f |\n", streamsBeside,
		percentile(m.without, 0.5), percentile(m.during, 0.5), percentile(m.during, 0.5)/percentile(m.without, 0.5))
	fmt.Printf("| the same, p95, ms | %.1f | %.1f | %.2f |\n", without, during, during/without)
	fmt.Printf("| first token of a prompt of %d tokens, median, ms | %.0f | %.0f | %.2f |\n", longPrompt, alone, beside, beside/alone)
	fmt.Printf("%d and %d gaps, %d prompts\n", len(m.without), len(m.during), len(m.firstBeside))
	if during > mostGap*without {
		t.Errorf("gaps grow by %.2f, at most %g", during/without, mostGap)
	}
	if beside > mostLongPrompt*alone {
		t.Errorf("the long prompt takes %.2f times as long, at most %d", beside/alone, mostLongPrompt)
	}
}

// latency is what is measured, in milliseconds.
type latency struct {
	t      *testing.T
	s      *server
	w      *wire
	random *rand.Rand

	without, during    []float64 // gaps
	first, firstBeside []float64 // of the long prompt
}

// request is one of a random prompt.
func (m *latency) request(prompt, answer int) []byte {
	m.t.Helper()
	ids := make([]uint32, prompt)
	for i := range ids {
		ids[i] = m.random.Uint32N(49152)
	}
	return encoded(m.t, &sluicev1.GenerateRequest{
		Input:    &sluicev1.GenerateRequest_Tokens{Tokens: &sluicev1.Tokens{Ids: ids}},
		Sampling: &sluicev1.Sampling{Temperature: new(float32(0)), MaxTokens: new(uint32(answer)), IgnoreEos: new(true)},
	})
}

// ask sends the long prompt and waits for its first token.
func (m *latency) ask(request []byte) (sent, first time.Time) {
	m.t.Helper()
	came := make(chan time.Time, 1)
	sent = time.Now()
	err := m.w.send(request, &wireCall{
		message: func(n int, now time.Time) {
			if n == 2 { // the one behind Started
				came <- now
			}
		},
		end: func(status string, _ time.Time) { m.ended(status) },
	})
	if err != nil {
		m.t.Fatal(err)
	}
	select {
	case first = <-came:
	case <-deadline(m.t).Done():
		m.t.Fatal("the long prompt has no first token")
	}
	return sent, first
}

// ended takes note of a call that the server has ended.
func (m *latency) ended(status string) {
	if status != "0" {
		m.t.Errorf("a call ended with gRPC status %s", status)
	}
}

// alone measures the long prompt on an idle server.
func (m *latency) alone() {
	m.t.Helper()
	sent, first := m.ask(m.request(longPrompt, 2))
	m.first = append(m.first, first.Sub(sent).Seconds()*1e3)
	m.s.idle(deadline(m.t))
}

// beside measures it among streams, and these without it: for as long before it as after it, since their gaps grow all the
// while with what they hold.
func (m *latency) beside() {
	m.t.Helper()
	const calm = 2 * time.Second // in which the gaps without the prompt are measured, each time
	long := m.request(longPrompt, 2)
	deltas := make([][]time.Time, streamsBeside) // of each stream; the reading goroutine's until the calls are cancelled
	running := make(chan struct{}, streamsBeside)
	for i := range deltas {
		err := m.w.send(m.request(64, 1900), &wireCall{
			message: func(n int, now time.Time) {
				if n == 2 {
					running <- struct{}{}
				}
				if n > 2 {
					deltas[i] = append(deltas[i], now)
				}
			},
			end: func(status string, _ time.Time) { m.ended(status) },
		})
		if err != nil {
			m.t.Fatal(err)
		}
	}
	for range deltas {
		<-running
	}
	time.Sleep(500 * time.Millisecond) //nolint:forbidigo // the engine learns what steps of so many rows take
	began := time.Now()
	time.Sleep(calm) //nolint:forbidigo // as long as it takes
	sent, first := m.ask(long)
	m.firstBeside = append(m.firstBeside, first.Sub(sent).Seconds()*1e3)
	time.Sleep(calm) //nolint:forbidigo // as long as it takes
	over := time.Now()
	if err := m.w.cancelAll(); err != nil {
		m.t.Fatal(err)
	}
	m.s.idle(deadline(m.t))
	m.w.mu.Lock() // what has come has been taken note of
	defer m.w.mu.Unlock()
	for _, at := range deltas {
		for i := 1; i < len(at); i++ {
			gap := at[i].Sub(at[i-1]).Seconds() * 1e3
			switch {
			case at[i-1].After(began) && at[i].Before(sent), at[i-1].After(first) && at[i].Before(over):
				m.without = append(m.without, gap)
			case at[i].After(sent) && at[i-1].Before(first): // it overlaps the prompt
				m.during = append(m.during, gap)
			}
		}
	}
}

func percentile(values []float64, q float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}
