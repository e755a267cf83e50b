package inference

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/metric"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/trace"
	tracenoop "go.opentelemetry.io/otel/trace/noop"
	"golang.org/x/sync/errgroup"

	"github.com/sluiceml/sluice/inference/answer"
	"github.com/sluiceml/sluice/inference/chat"
	"github.com/sluiceml/sluice/inference/engine"
	"github.com/sluiceml/sluice/tokenizer"
)

// State says whether a model serves requests.
type State int

// The states of a model, in the order in which it passes through them.
const (
	StateLoading  State = iota + 1 // not yet running
	StateReady                     // serves
	StateDraining                  // finishes what it has
	StateFailed                    // no replica runs now
)

// Config describes a model to serve.
type Config struct {
	Name          string
	Architecture  string
	Quantization  string
	ContextLength int      // positions that prompt and output share
	EOSTokenIDs   []uint32 // ids that end an output
	Defaults      Defaults // for what a request leaves unset
	MaxOutputs    int      // outputs of one request; 0: 16

	Tokenizer          *tokenizer.Tokenizer
	Template           *chat.Template            // the default one; nil: no chat input
	Templates          map[string]*chat.Template // further ones, by name
	BOSToken, EOSToken string                    // texts for the templates

	Calls     answer.CallFormat // how the model calls tools
	Reasoning answer.Reasoning  // how it reasons; the zero value: it does not

	Pooling Pooling // of embeddings, by default; PoolingDefault is the mean

	Replicas []Replica // at least one
	// Replaces is the model of this name whose place the new one will take. Their figures are reported as one model's, as
	// long as both run; what the old one counted stays counted. nil: there is none.
	Replaces *Model
	// OnReplica is told what becomes of replicas, from a goroutine of Run. nil: nobody is.
	OnReplica func(ReplicaEvent)
	// OnPanic is told of a panic that was caught while constraints were prepared, beside all requests, and of its stack. It
	// is called from a goroutine of Run. nil: nobody is told.
	OnPanic func(recovered any, stack []byte)

	// WarmGrammars prepares constrained decoding once the model runs, which takes some hundreds of milliseconds of one
	// processor, so that the first constraint need not.
	WarmGrammars bool

	// RecordContent puts the texts of prompts and outputs into the spans of sampled requests. Without it no text of a
	// request leaves in telemetry.
	RecordContent bool

	TracerProvider trace.TracerProvider // nil: no spans
	MeterProvider  metric.MeterProvider // nil: no metrics
}

// defaultMaxOutputs is the default of Config.MaxOutputs.
const defaultMaxOutputs = 16

// Info describes a served model.
type Info struct {
	Name          string
	Architecture  string
	Quantization  string
	ContextLength int
	VocabSize     int
	EOSTokenIDs   []uint32
	HasChat       bool
	Templates     []string // names of the chat templates, the default one first
	Calls         answer.CallFormat
	Reasoning     string // name of the form of reasoning; "": none
	EmbeddingSize int    // values of a vector; 0: the model gives none
	Pooling       string // name of the kind of pooling that Embed uses by default; "": the model gives no vectors
	Replicas      []ReplicaInfo
}

// ReplicaInfo describes one replica now.
type ReplicaInfo struct {
	Device  string
	Slots   int // sequences that it can hold; 0 while it has failed
	Running int // sequences that it holds
	Waiting int // requests that wait for it
}

// Model is a served model: a tokenizer, a chat template and a pool of engines. It is safe for concurrent use.
type Model struct {
	config   Config
	state    atomic.Int32
	running  chan struct{} // closed by Run
	pool     *pool
	figures  *figures // of the model and of those in whose place it came
	turns    turns    // of rendering and encoding
	tracer   trace.Tracer
	metrics  *metrics
	grammars *grammars
	restarts restarts
}

// NewModel makes a model from its parts. Run starts it.
func NewModel(config Config) (*Model, error) {
	switch {
	case config.Tokenizer == nil:
		return nil, fmt.Errorf("model %q: no tokenizer", config.Name)
	case len(config.Replicas) == 0:
		return nil, fmt.Errorf("model %q: no replica", config.Name)
	case config.ContextLength < 2:
		return nil, fmt.Errorf("model %q: a context of %d tokens cannot hold a prompt and an output", config.Name, config.ContextLength)
	case config.MaxOutputs < 0:
		return nil, fmt.Errorf("model %q: MaxOutputs is %d, below 0", config.Name, config.MaxOutputs)
	case config.Defaults.Sampling.MaxTokens < 1:
		return nil, fmt.Errorf("model %q: the default of max_tokens is %d, not at least 1", config.Name, config.Defaults.Sampling.MaxTokens)
	}
	if config.MaxOutputs == 0 {
		config.MaxOutputs = defaultMaxOutputs
	}
	if config.TracerProvider == nil {
		config.TracerProvider = tracenoop.NewTracerProvider()
	}
	if config.MeterProvider == nil {
		config.MeterProvider = metricnoop.NewMeterProvider()
	}
	instruments, err := newMetrics(config.MeterProvider, config.Name)
	if err != nil {
		return nil, fmt.Errorf("model %q: %w", config.Name, err)
	}
	restarts, err := newRestarts(config.MeterProvider, config.Name)
	if err != nil {
		return nil, err
	}
	constraints, err := newGrammars(config.MeterProvider, config.Name, config.Tokenizer, config.EOSTokenIDs)
	if err != nil {
		return nil, fmt.Errorf("model %q: %w", config.Name, err)
	}
	replicas := newPool(config.Replicas)
	reported, err := report(config, replicas) // last: only Run ends the reports
	if err != nil {
		return nil, fmt.Errorf("model %q: %w", config.Name, err)
	}
	if config.OnPanic != nil {
		constraints.onPanic = config.OnPanic
	}
	config.Replaces = nil // which may be forgotten now
	m := &Model{
		config:   config,
		running:  make(chan struct{}),
		pool:     replicas,
		figures:  reported,
		turns:    newTurns(),
		tracer:   config.TracerProvider.Tracer("github.com/sluiceml/sluice/inference"),
		metrics:  instruments,
		grammars: constraints,
		restarts: restarts,
	}
	instruments.begin(context.Background())
	restarts.begin(context.Background())
	m.state.Store(int32(StateLoading))
	return m, nil
}

// Info describes the model as it is now.
func (m *Model) Info() Info {
	c := &m.config
	return Info{
		Name: c.Name, Architecture: c.Architecture, Quantization: c.Quantization,
		ContextLength: c.ContextLength, VocabSize: c.Tokenizer.Size(), EOSTokenIDs: c.EOSTokenIDs,
		HasChat: m.HasChat(), Templates: m.templates(), Calls: c.Calls, Reasoning: c.Reasoning.Name, Replicas: m.pool.info(),
		EmbeddingSize: m.embeddingSize(), Pooling: m.Pooling().String(),
	}
}

// Name is the model's own name.
func (m *Model) Name() string { return m.config.Name }

// ContextLength is the number of positions that prompt and output share.
func (m *Model) ContextLength() int { return m.config.ContextLength }

// HasChat says whether the model takes conversations.
func (m *Model) HasChat() bool { return m.config.Template != nil }

// Reasons says whether the model has a form of reasoning.
func (m *Model) Reasons() bool { return m.config.Reasoning.Open != "" }

// Defaults are the values of what a request leaves unset.
func (m *Model) Defaults() Defaults { return m.config.Defaults }

// MaxOutputs is how many outputs a request may ask for.
func (m *Model) MaxOutputs() int { return m.config.MaxOutputs }

// Tokenizer is the model's tokenizer.
func (m *Model) Tokenizer() *tokenizer.Tokenizer { return m.config.Tokenizer }

// State says whether the model serves.
func (m *Model) State() State {
	state := State(m.state.Load())
	if state == StateReady && !m.pool.serves() {
		return StateFailed
	}
	return state
}

// Stats are the figures of the model's engines together, and of those of a model that it replaces and that still runs.
// Totals count those that have ended too.
func (m *Model) Stats() engine.Stats { return m.figures.stats() }

// SetQueue changes what may wait for each replica, from now on and for those that are rebuilt. Requests that wait stay.
func (m *Model) SetQueue(queue engine.Queue) { m.pool.setQueue(queue) }

// Running is closed once Run has been called and the model takes requests.
func (m *Model) Running() <-chan struct{} { return m.running }

// Run runs the model's replicas until ctx ends or a drain has finished. The model is ready from the moment that it is
// called. The sessions stay the caller's, to be closed afterwards. A replica whose engine fails ends its own requests
// and is rebuilt; the others go on. The failures of those that stay out are returned when all have stopped.
func (m *Model) Run(ctx context.Context) error {
	if !m.state.CompareAndSwap(int32(StateLoading), int32(StateReady)) {
		return fmt.Errorf("model %q: Run was called twice", m.config.Name)
	}
	close(m.running)
	var group errgroup.Group
	failures := make([]error, len(m.pool.replicas))
	for i, r := range m.pool.replicas {
		group.Go(func() error {
			failures[i] = m.keep(ctx, r)
			return nil
		})
	}
	serving, end := context.WithCancel(ctx) // a drained model ends without ctx
	var beside sync.WaitGroup
	beside.Go(func() {
		if m.config.WarmGrammars {
			m.grammars.warm(serving)
		}
		m.grammars.prepare(serving)
	})
	_ = group.Wait() // the members report through failures
	end()
	beside.Wait()
	return errors.Join(errors.Join(failures...), m.figures.leave(m.pool))
}

// Drain makes the model refuse new requests and finish those that it has.
func (m *Model) Drain() {
	if m.state.CompareAndSwap(int32(StateReady), int32(StateDraining)) {
		m.pool.drain()
	}
}

// retryAfter is what a client of a model that is loading or draining is told to wait: about the time that a load
// balancer needs to notice.
const retryAfter = 2 * time.Second

// available returns an *UnavailableError unless the model serves.
func (m *Model) available() error { return unavailable(m.State()) }

// unavailable is the error of a model in a state in which it does not serve; nil for one that does.
func unavailable(s State) error {
	switch s {
	case StateReady:
		return nil
	case StateLoading:
		return &UnavailableError{Reason: ReasonLoading, RetryAfter: retryAfter}
	case StateDraining:
		return &UnavailableError{Reason: ReasonDraining, RetryAfter: retryAfter}
	case StateFailed:
		return &UnavailableError{Reason: ReasonFailed, RetryAfter: retryAfter}
	}
	panic(fmt.Sprintf("inference: unknown state %d", s))
}
