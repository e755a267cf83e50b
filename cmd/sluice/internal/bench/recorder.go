package bench

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// recorder gathers what a load's requests meet. It is safe for concurrent use.
type recorder struct {
	load  Load
	slo   SLO
	start time.Time

	mu    sync.Mutex // guards what follows
	level Level
	ended time.Time // the last request's end
	line  *timeline
	first error // of a failed request
	full  fullHouse
	seen  int64 // tokens that deltas brought, of requests that ended well

	ttft, itl, gap, tpot, e2e, late histogram
}

func newRecorder(load Load, slo SLO, start time.Time) *recorder {
	return &recorder{
		load: load, slo: slo, start: start, ended: start, line: newTimeline(),
		level: Level{Streams: load.Streams, Rate: load.Rate, Errors: map[string]Fault{}},
		full:  fullHouse{streams: load.Streams},
		ttft:  newHistogram(), itl: newHistogram(), gap: newHistogram(), tpot: newHistogram(), e2e: newHistogram(), late: newHistogram(),
	}
}

// call is one request on its way. It belongs to the request's goroutine.
type call struct {
	due, sent, first, last time.Time
	firstTokens, tokens    int // of the first delta, of all
	deltas                 []delta
}

// delta is what came after the first one.
type delta struct {
	gap    time.Duration
	tokens int
}

// begin says that a request that was due at a moment is sent now.
func (r *recorder) begin(due time.Time) *call {
	c := &call{due: due, sent: time.Now()}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.level.Sent++
	r.line.change(c.sent.Sub(r.start), 1)
	return c
}

// delta says that tokens have come.
func (r *recorder) delta(c *call, tokens int) {
	if tokens <= 0 {
		return
	}
	now, last := time.Now(), c.last
	if c.tokens == 0 {
		c.first, c.firstTokens = now, tokens
	} else {
		c.deltas = append(c.deltas, delta{gap: now.Sub(c.last), tokens: tokens})
	}
	c.last = now
	c.tokens += tokens
	r.mu.Lock()
	defer r.mu.Unlock()
	r.line.tokens(now.Sub(r.start), tokens)
	if last.IsZero() {
		r.full.enter(now)
	} else {
		r.full.tokens(tokens, last, now)
	}
}

// end says that a request is over. interrupted: by us.
func (r *recorder) end(c *call, request Request, usage Usage, err error, interrupted bool) {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = now
	r.line.change(now.Sub(r.start), -1)
	if c.tokens > 0 {
		r.full.leave()
	}
	switch {
	case err != nil && interrupted:
		r.level.Interrupted++
	case err != nil:
		r.level.Failed++
		r.fail(err)
	default:
		r.level.OK++
		r.succeed(c, request, usage, now)
	}
}

// maxExample bounds the text of an error and maxStatuses the number of kinds: both are the server's to choose.
const (
	maxExample  = 300
	maxStatuses = 64
)

func (r *recorder) fail(err error) {
	if r.first == nil {
		r.first = err
	}
	status, cause := "ERROR", err
	if failure, ok := errors.AsType[*FailureError](err); ok {
		status, cause = failure.Status, failure.Err
	}
	if _, known := r.level.Errors[status]; !known && len(r.level.Errors) >= maxStatuses {
		status = "OTHER"
	}
	fault := r.level.Errors[status]
	if fault.Count == 0 {
		fault.Example = printable(cause.Error(), maxExample)
	}
	fault.Count++
	r.level.Errors[status] = fault
}

// printable is a server's text in one line that a terminal may show.
func printable(text string, limit int) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	text = strings.Map(func(c rune) rune {
		if c < ' ' || c >= 0x7f && c < 0xa0 {
			return ' '
		}
		return c
	}, text)
	if len(text) <= limit {
		return text
	}
	for limit > 0 && !utf8.RuneStart(text[limit]) {
		limit--
	}
	return text[:limit] + "…"
}

func (r *recorder) succeed(c *call, request Request, usage Usage, now time.Time) {
	level, tokens := &r.level, c.tokens
	merged := int64(0)
	if c.tokens > 0 {
		r.ttft.add(c.first.Sub(c.due), 1)
		level.Deltas += int64(1 + len(c.deltas))
		merged += int64(c.firstTokens - 1)
		if c.firstTokens > 1 {
			level.MergedDeltas++
		}
	}
	for _, d := range c.deltas {
		r.gap.add(d.gap, 1)
		r.itl.add(d.gap/time.Duration(d.tokens), int64(d.tokens))
		if d.tokens > 1 {
			level.MergedDeltas++
			merged += int64(d.tokens - 1)
		}
	}
	if usage.Known {
		// Tokens that no delta was seen to bring: they have no text, or share a delta that did not say how many it holds.
		merged += int64(max(usage.CompletionTokens-c.tokens, 0))
		tokens = usage.CompletionTokens
	} else {
		level.NoUsage++
	}
	level.MergedTokens += merged
	r.seen += int64(c.tokens)
	var mean time.Duration
	if rest := tokens - c.firstTokens; rest > 0 && c.tokens > 0 {
		mean = c.last.Sub(c.first) / time.Duration(rest)
		r.tpot.add(mean, 1)
	}
	r.e2e.add(now.Sub(c.due), 1)
	r.late.add(c.sent.Sub(c.due), 1)
	if tokens < request.MaxTokens {
		level.Short++
	}
	level.PromptTokens += int64(usage.PromptTokens)
	level.CachedTokens += int64(usage.CachedTokens)
	level.OutputTokens += int64(tokens)
	if c.tokens > 0 && (r.slo.TTFT == 0 || c.first.Sub(c.due) <= r.slo.TTFT) && (r.slo.ITL == 0 || mean <= r.slo.ITL) {
		level.Good++
	}
}

// result sums up. No request is on its way any more.
func (r *recorder) result() Level {
	r.mu.Lock()
	defer r.mu.Unlock()
	level := r.level
	elapsed := r.ended.Sub(r.start)
	level.Elapsed = elapsed.Seconds()
	if elapsed > 0 {
		level.RequestsPerSecond = float64(level.OK) / level.Elapsed
		level.OutputPerSecond = float64(level.OutputTokens) / level.Elapsed
		level.TotalPerSecond = float64(level.PromptTokens+level.OutputTokens) / level.Elapsed
		level.Goodput = float64(level.Good) / level.Elapsed
	}
	if r.seen > 0 {
		// Tokens that no delta was seen to bring came while others did.
		level.DecodePerSecond = r.full.rate() * max(float64(level.OutputTokens)/float64(r.seen), 1)
		level.DecodeElapsed = r.full.elapsed().Seconds()
	}
	level.TTFT, level.ITL, level.DeltaGap = r.ttft.distribution(), r.itl.distribution(), r.gap.distribution()
	level.TPOT, level.E2E, level.Late = r.tpot.distribution(), r.e2e.distribution(), r.late.distribution()
	level.Timeline = r.line.moments(elapsed)
	return level
}

// ask sends a request and records what comes.
func (r *recorder) ask(ctx context.Context, target Target, request Request, due time.Time, timeout time.Duration) {
	limited, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	c := r.begin(due)
	usage, err := target.Generate(limited, request, func(tokens int) { r.delta(c, tokens) })
	r.end(c, request, usage, err, ctx.Err() != nil)
}
