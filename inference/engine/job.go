package engine

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sluiceml/sluice/inference/kvcache"
	"github.com/sluiceml/sluice/inference/runner"
	"github.com/sluiceml/sluice/inference/sampling"
	"github.com/sluiceml/sluice/inference/sched"
	"github.com/sluiceml/sluice/inference/speculate"
	"github.com/sluiceml/sluice/inference/stop"
)

// job is a request inside the engine. After Submit it belongs to the engine's goroutine, but for out, which has a
// lock, and submitted, which doesn't change.
type job struct {
	req Request
	out *Output
	// ticket is the request's place, which belongs to the inbox.
	ticket *ticket
	trace  *jobTrace // nil if the request is not sampled

	seq       sched.Sequence
	sampler   *sampling.Sampler
	grammar   *constraint // nil: none
	matcher   stop.Matcher
	eos, stop stop.Tokens
	greedy    bool      // of each row, only the best logit is read
	limit     int       // tokens to generate at most
	count     int       // tokens generated
	reasoning Reasoning // nil: the model does not reason
	reasoned  int       // tokens that belong to the reasoning

	pool *pool // nil: the request generates

	lookup *speculate.Lookup // nil: nothing is guessed
	draft  []uint32          // of this step
	asked  bool              // the draft is the draft model's
	rate   speculate.Rate    // of its guesses
	// unguessable: the draft model does not know its tokens, or had no numbers for it, and is not asked again.
	unguessable bool

	entries []sampling.Logprob // of the latest token, if they are wanted; used again

	traces []sampling.Trace // of the latest token, if they are wanted

	scored int // tokens of the prompt whose log-probabilities the reader has

	forked    bool // its prompt was run by a twin
	submitted time.Time
	started   time.Time // of the first step; zero before
	prefilled time.Time // end of the last chunk's run
	first     time.Time // when the first token was there
	last      time.Time // when the last token was there
}

// newJob checks a request and prepares what needs no engine.
func newJob(r Request, l runner.Limits, now time.Time) (*job, error) {
	if err := r.validate(l); err != nil {
		return nil, err
	}
	set, err := stop.Compile(r.Stop.Strings)
	if err != nil {
		return nil, fmt.Errorf("%w %s: stop: %w", ErrInvalid, r.ID, err)
	}
	if r.Arrival.IsZero() {
		r.Arrival = now
	}
	j := &job{
		req:       r,
		out:       newOutput(&r, now),
		seq:       sched.Sequence{Prompt: r.Prompt, Tenant: r.Tenant, Priority: r.Priority},
		matcher:   stop.NewMatcher(set, r.Stop.IncludeInOutput),
		stop:      r.Stop.TokenIDs,
		limit:     min(r.MaxTokens, l.MaxLength-len(r.Prompt)),
		submitted: now,
	}
	j.seq.Owner = j
	unscored := r.Prompt // what the prefix store may hold
	if r.PromptLogprobs.Wanted {
		j.seq.ChunkLimit, j.seq.LimitedFrom = runner.MaxRows, max(0, r.ScoreFrom-1)
		unscored, j.scored = r.Prompt[:j.seq.LimitedFrom], r.ScoreFrom
	}
	if r.Pooling.wholePrompt() {
		unscored = nil
	}
	if l.Blocks > 0 && !r.Cache.Bypass {
		j.seq.Salt, j.seq.Hashes = r.Cache.Salt, kvcache.Hashes(nil, r.Cache.Salt, unscored)
	}
	if r.Pooling != PoolNone {
		j.pool = &pool{kind: r.Pooling}
		return j, nil
	}
	if !r.IgnoreEOS {
		j.eos = r.EOS
	}
	params := r.Sampling
	if params.MinTokens > 0 {
		params.Ends = slices.Concat(j.eos, j.stop)
	}
	if r.NewReasoning != nil {
		j.reasoning = r.NewReasoning()
	}
	j.greedy = r.greedy()
	j.sampler = sampling.New(params, 0, r.Prompt, j.limit)
	if j.grammar, err = newConstraint(r.Grammar); err != nil {
		return nil, fmt.Errorf("%w %s: constraint: %w", ErrInvalid, r.ID, err)
	}
	return j, nil
}

// jobOf is the job of a sequence, which newJob has put there.
func jobOf(q *sched.Sequence) *job {
	j, ok := q.Owner.(*job)
	if !ok {
		panic(fmt.Sprintf("engine: a sequence of %T", q.Owner))
	}
	return j
}

// next draws a token from a row of logits, and sets its entries.
func (j *job) next(row []float32, scratch *sampling.Scratch) (uint32, error) {
	if j.req.Logprobs.Wanted {
		scratch.Keep(row)
	}
	if j.req.Trace {
		scratch.BeginTrace(row)
		defer scratch.DropTrace() // a draw that fails must not leave it to the next one
	}
	id, err := j.sample(row, scratch)
	if err != nil {
		return 0, err
	}
	if j.req.Trace {
		j.traces = append(j.traces[:0], scratch.EndTrace(id))
	}
	if j.req.Logprobs.Wanted {
		if j.entries, err = j.req.Logprobs.append(j.entries[:0], scratch, scratch.Kept(), id); err != nil {
			return 0, err
		}
	}
	j.sampler.Accept(id)
	if j.reasoning != nil && j.reasoning.Add(id) {
		j.reasoned++
	}
	if j.lookup != nil {
		j.lookup.Append(id)
	}
	j.count++
	return id, nil
}

// sample draws a token, unless one must come: the end of the reasoning, or what announces a call. A constraint holds from
// the first token on, unless the reasoning says that it does not yet.
func (j *job) sample(row []float32, scratch *sampling.Scratch) (uint32, error) {
	constrained := j.grammar != nil
	if j.reasoning != nil {
		if id, forced := j.reasoning.Next(); forced {
			return id, nil
		}
		if constrained && !j.reasoning.Constrained() {
			constrained = false
			for _, id := range j.eos {
				row[id] = float32(math.Inf(-1))
			}
		}
	}
	if constrained {
		return j.grammar.sample(j.sampler, row, scratch, j.count)
	}
	return j.sampler.Sample(row, scratch, j.count)
}

// read appends to dst the text that may be shown after a token, and says how the output ended, if it did. A stop
// string wins over everything that ends at the same token, an end token over a stop token, and both over the length.
func (j *job) read(dst []byte, id uint32) ([]byte, *Finish) {
	var finish *Finish
	show := true
	switch {
	case j.eos.Has(id), j.grammar.complete():
		finish = &Finish{Reason: FinishStop}
	case j.stop.Has(id):
		finish = &Finish{Reason: FinishStopSequence}
		if j.req.TokenText != nil {
			finish.StopSequence = j.req.TokenText(id)
		}
		show = j.req.Stop.IncludeInOutput
	case j.count >= j.limit:
		finish = &Finish{Reason: FinishLength}
	}
	if d := j.req.Decoder; d != nil {
		text := ""
		if show {
			text = d.Add(id)
			dst = j.show(dst, text)
		}
		if finish != nil {
			dst = j.show(dst, d.Flush())
		}
		if show && finish != nil && text == "" && isSpelt(finish.StopSequence) {
			dst = j.matcher.Append(dst, finish.StopSequence)
		}
	}
	if found, ok := j.matcher.Match(); ok {
		return dst, &Finish{Reason: FinishStopSequence, StopSequence: found}
	}
	if finish != nil {
		dst = j.matcher.Flush(dst)
	}
	return dst, finish
}

// show appends to dst the text that may be shown of a piece. In the text of the first MinTokens tokens no stop string
// ends the output; one that they begin and a later token completes does.
func (j *job) show(dst []byte, text string) []byte {
	if j.count <= j.req.Sampling.MinTokens {
		return j.matcher.Skip(dst, text)
	}
	return j.matcher.Append(dst, text)
}

// isSpelt says whether a stop token that its decoder gave no text for has one all the same: a special token, which
// decoders skip, but not one of several that make a character, whose own text is not whole.
func isSpelt(text string) bool { return text != "" && !strings.ContainsRune(text, utf8.RuneError) }

// summary is the account at a time.
func (j *job) summary(now time.Time) Summary {
	s := Summary{Usage: Usage{
		PromptTokens: len(j.req.Prompt), CompletionTokens: j.count, CachedTokens: j.seq.Cached(),
		ReasoningTokens: j.reasoned,
	}}
	if j.started.IsZero() {
		s.Timings.Queue = now.Sub(j.submitted)
		return s
	}
	s.Timings.Queue = j.started.Sub(j.submitted)
	if !j.prefilled.IsZero() {
		s.Timings.Prefill = j.prefilled.Sub(j.started)
	}
	if j.count > 0 {
		s.Timings.TimeToFirstToken = j.first.Sub(j.req.Arrival)
		s.Timings.Decode = j.last.Sub(j.first)
	}
	return s
}
