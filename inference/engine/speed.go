package engine

import (
	"math"
	"sync/atomic"
	"time"

	"github.com/sluiceml/sluice/inference/kvcache"
	"github.com/sluiceml/sluice/inference/runner"
)

// speed is the best that the engine was seen to do: what a request takes at least. The engine's goroutine writes it, and
// any may read.
type speed struct {
	prompt atomic.Int64 // nanoseconds for a token of a prompt; 0: not seen yet
	token  atomic.Int64 // nanoseconds for a token that follows another
}

// seenTokens is the number of tokens from which on a chunk tells how fast prompts run: small ones mostly read weights.
const seenTokens = 16

// see takes note of a step, in which a decode row got so many tokens.
func (s *speed) see(step runner.Step, tokens int, took time.Duration) {
	if n := step.Prompted(); n >= seenTokens {
		lower(&s.prompt, took/time.Duration(n))
	}
	if len(step.Decode) > 0 {
		lower(&s.token, took/time.Duration(tokens))
	}
}

// lower keeps the least value.
func lower(a *atomic.Int64, d time.Duration) {
	if old := a.Load(); old == 0 || int64(d) < old {
		a.Store(max(1, int64(d)))
	}
}

// need is the least time that a job takes once it runs: for what the prefix store doesn't hold of its prompt, and for the
// tokens that it can't end before.
func (e *Engine) need(j *job) time.Duration {
	tokens := max(1, min(j.req.Sampling.MinTokens, j.limit))
	if len(j.eos) == 0 && len(j.stop) == 0 && len(j.req.Stop.Strings) == 0 {
		tokens = j.limit
	}
	prompt := len(j.req.Prompt)
	if e.directory != nil && len(j.seq.Hashes) > 0 {
		prompt -= e.directory.Leading(j.seq.Hashes) * kvcache.BlockSize
	}
	need := float64(e.speed.prompt.Load())*float64(max(0, prompt)) + float64(e.speed.token.Load())*float64(tokens-1)
	return time.Duration(min(need, math.MaxInt64/2))
}
