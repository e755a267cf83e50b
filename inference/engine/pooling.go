package engine

import (
	"fmt"
	"math"

	"github.com/sluiceml/sluice/inference/runner"
	"github.com/sluiceml/sluice/inference/sched"
)

// Pooling is how the hidden states of a prompt's tokens become one vector.
type Pooling int

// The kinds of pooling.
const (
	PoolNone  Pooling = iota // none: the request generates
	PoolMean                 // the mean of all
	PoolLast                 // the last token's
	PoolFirst                // the first token's
)

// wholePrompt says whether tokens that the prefix store holds are needed too: it has no hidden states.
func (p Pooling) wholePrompt() bool { return p == PoolMean || p == PoolFirst }

// pool makes the vector of one prompt, chunk by chunk. Sums are in float64 and in the order of the tokens, so that it does
// not depend on how the prompt was cut.
type pool struct {
	kind  Pooling
	sum   []float64
	count int // tokens in sum
}

// wants says whether the hidden states of a chunk go into the vector.
func (p *pool) wants(c sched.Chunk) bool {
	switch {
	case p == nil:
		return false
	case p.kind == PoolLast:
		return c.Last
	case p.kind == PoolFirst:
		return c.Past == 0
	}
	return true
}

// add takes the hidden states of a chunk, of size values for each token. What a prompt gave before it lost its slot is
// forgotten.
func (p *pool) add(c sched.Chunk, states []float32, size int) {
	if p.count == 0 || c.Past == 0 {
		p.sum, p.count = make([]float64, size), 0
	}
	switch p.kind {
	case PoolFirst:
		states = states[:size]
	case PoolLast:
		states = states[len(states)-size:]
	case PoolNone, PoolMean:
	}
	for ; len(states) > 0; states = states[size:] {
		for i, v := range states[:size] {
			p.sum[i] += float64(v)
		}
		p.count++
	}
}

// vector is the result, after which the pool is empty: a vector may wait long for its reader, with the job that made it. The
// error says that the model's numbers are none.
func (p *pool) vector() ([]float32, error) {
	sum, count := p.sum, float64(p.count)
	p.sum, p.count = nil, 0
	vector := make([]float32, len(sum))
	for i, v := range sum {
		v /= count
		if math.IsNaN(v) || math.Abs(v) > math.MaxFloat32 {
			return nil, fmt.Errorf("value %d of the vector is %v", i, v)
		}
		vector[i] = float32(v)
	}
	return vector, nil
}

// pooled changes a step's batch: of requests for a vector it asks for hidden states where it would for logits.
func pooled(batch runner.Step, plan *sched.Plan) {
	for i, c := range plan.Chunks {
		if j := jobOf(c.Sequence); j.pool != nil {
			batch.Chunks[i].Logits, batch.Chunks[i].Hidden = false, j.pool.wants(c)
		}
	}
}

// advancePooled settles a chunk of a request for a vector, which ends with its prompt.
func (e *Engine) advancePooled(j *job, c sched.Chunk, states []float32, batch runner.Step, now stepTimes) sched.Result {
	if states != nil {
		j.pool.add(c, states, e.limits.HiddenSize)
	}
	j.trace.prefill(e.tracer, j, batch, now.started, now.ended)
	if !c.Last {
		return sched.Result{}
	}
	j.prefilled = now.ended
	vector, err := j.pool.vector()
	if err != nil {
		e.end(j, nil, &FailedError{Err: fmt.Errorf("request %s: %w", j.req.ID, err)})
		return sched.Result{Done: true}
	}
	j.out.putVector(vector)
	e.end(j, &Finish{Reason: FinishLength}, nil)
	return sched.Result{Done: true}
}

// putVector gives the reader a request's vector.
func (o *Output) putVector(vector []float32) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.mu.phase != phaseEnded {
		o.mu.vector = vector
	}
}
