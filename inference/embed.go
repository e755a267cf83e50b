package inference

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"time"

	"github.com/sluiceml/sluice/inference/engine"
	"github.com/sluiceml/sluice/inference/semconv"
	"github.com/sluiceml/sluice/tokenizer"
)

// Pooling is how the hidden states of an input's tokens become one vector.
type Pooling int

// The kinds of pooling.
const (
	PoolingDefault Pooling = iota // the model's own
	PoolingMean                   // the mean of all tokens
	PoolingLast                   // the last token
	PoolingCLS                    // the first token
)

// String is the name of the kind, as configurations write it.
func (p Pooling) String() string {
	switch p {
	case PoolingDefault:
		return ""
	case PoolingMean:
		return "mean"
	case PoolingLast:
		return "last"
	case PoolingCLS:
		return "cls"
	}
	return fmt.Sprintf("Pooling(%d)", int(p))
}

// ParsePooling is the kind of a name that String gives; PoolingDefault for any other.
func ParsePooling(name string) Pooling {
	for p := PoolingMean; p <= PoolingCLS; p++ {
		if p.String() == name {
			return p
		}
	}
	return PoolingDefault
}

// engine is the engine's word for it.
func (p Pooling) engine() engine.Pooling {
	switch p {
	case PoolingLast:
		return engine.PoolLast
	case PoolingCLS:
		return engine.PoolFirst
	case PoolingDefault, PoolingMean:
	}
	return engine.PoolMean
}

// EmbedRequest asks for a vector for each of several inputs.
type EmbedRequest struct {
	ID       string
	Tenant   string
	Priority int
	// Inputs are Prompts and Tokens, at least one. A Prompt gets the begin and end tokens of the model's post-processor.
	Inputs []Input
	// Pooling is how an input's hidden states become a vector.
	Pooling Pooling
	// Dimensions is how many values of a vector are kept, the first ones; 0: all. At most Info.EmbeddingSize.
	Dimensions int
	// Normalize divides each vector by its length; one of zeros stays as it is.
	Normalize bool
	Cache     Cache
	Arrival   time.Time
}

// Bounds of one EmbedRequest: those of its work, and of its vectors, which memory must hold whole, however few of their
// values are kept, until they are read, and then a message.
const (
	MaxEmbedInputs = 2048
	maxEmbedTokens = 1 << 18
	maxEmbedValues = 1 << 21
)

// Embedding is the vector of an input.
type Embedding struct {
	Vector []float32
	Tokens int // of the input
}

// NoEmbeddingsError says why a model gives no vectors.
type NoEmbeddingsError struct{ Model, Reason string }

func (e *NoEmbeddingsError) Error() string {
	return fmt.Sprintf("model %q gives no embeddings: %s", e.Model, e.Reason)
}

// embeddingSize is the number of values of a vector; 0: the model gives none.
func (m *Model) embeddingSize() int { return m.pool.hiddenSize() }

// noEmbeddings says why the model gives no vectors.
func (m *Model) noEmbeddings() string {
	for _, r := range m.config.Replicas {
		if r.NoEmbeddings != "" {
			return r.NoEmbeddings
		}
	}
	return "its session has no hidden states"
}

// Pooling is the kind of pooling that Embed uses unless a request names one; PoolingDefault for a model that gives no
// vectors.
func (m *Model) Pooling() Pooling {
	switch {
	case m.embeddingSize() == 0:
		return PoolingDefault
	case m.config.Pooling == PoolingDefault:
		return PoolingMean
	}
	return m.config.Pooling
}

// Embed computes a vector for each input, in the order of the request: the model's hidden states behind its last norm,
// pooled. Inputs share steps with each other and with what is generated, which does not show in a bit of a vector. Errors
// are those of Score, and a *NoEmbeddingsError.
func (m *Model) Embed(ctx context.Context, request EmbedRequest) ([]Embedding, Summary, error) {
	shared := ScoreRequest{
		ID: request.ID, Tenant: request.Tenant, Priority: request.Priority, Cache: request.Cache, Arrival: request.Arrival,
	}
	return accounted(ctx, m, semconv.OperationEmbeddings, &shared, func(ctx context.Context) ([]Embedding, Summary, error) {
		if err := m.available(); err != nil {
			return nil, Summary{}, err
		}
		size := m.embeddingSize()
		if size == 0 {
			return nil, Summary{}, &NoEmbeddingsError{Model: m.config.Name, Reason: m.noEmbeddings()}
		}
		if request.Dimensions > size {
			return nil, Summary{}, Invalid("dimensions", "%d is more than the model's %d", request.Dimensions, size)
		}
		if n := len(request.Inputs) * size; n > maxEmbedValues {
			return nil, Summary{}, Invalid("inputs", "%d vectors of %d values are more than the %d values of a request", len(request.Inputs), size, maxEmbedValues)
		}
		if request.Dimensions > 0 {
			size = request.Dimensions
		}
		prompts, err := m.embedPrompts(ctx, request.Inputs)
		if err != nil {
			return nil, Summary{}, err
		}
		return m.vectors(ctx, &request, &shared, prompts, size)
	})
}

// embedPrompts encodes the inputs, each of which must fit the model's context.
func (m *Model) embedPrompts(ctx context.Context, inputs []Input) (prompts [][]uint32, err error) {
	total := 0
	for i, input := range inputs {
		name := fmt.Sprintf("inputs[%d].", i)
		var ids []uint32
		switch input := input.(type) {
		case Tokens:
			name, ids = name+"tokens.ids", input
		case Prompt:
			name += "text"
			c := scoreContext{model: m, field: name}
			options := tokenizer.EncodeOptions{AddSpecialTokens: true}
			if !input.ParseSpecial {
				options.Special = tokenizer.SpecialAsText
			}
			if ids, err = c.encode(ctx, input.Text, options); err != nil {
				return nil, err
			}
		case Chat:
			return nil, Invalid(name+"input", "a conversation cannot be embedded")
		}
		if len(ids) == 0 {
			return nil, Invalid(name, "it has no tokens")
		}
		if err := (scoreContext{model: m, field: name}).fits("", len(ids)); err != nil {
			return nil, err
		}
		if total += len(ids); total > maxEmbedTokens {
			return nil, Invalid("inputs", "the first %d of %d have %d tokens, and a request at most %d", i+1, len(inputs), total, maxEmbedTokens)
		}
		prompts = append(prompts, ids)
	}
	return prompts, nil
}

// vectors runs prompts in one batch and finishes their vectors to so many values.
func (m *Model) vectors(ctx context.Context, request *EmbedRequest, shared *ScoreRequest, prompts [][]uint32, size int) ([]Embedding, Summary, error) {
	kind := request.Pooling
	if kind == PoolingDefault {
		kind = m.Pooling()
	}
	batch, embeddings := make([]engine.Request, len(prompts)), make([]Embedding, len(prompts))
	for i, prompt := range prompts {
		embeddings[i].Tokens = len(prompt)
		batch[i] = engine.Request{
			ID: request.ID, Prompt: prompt, Pooling: kind.engine(), Cache: engine.Cache(request.Cache),
			Tenant: request.Tenant, Priority: request.Priority, Arrival: request.Arrival,
		}
	}
	outputs, err := m.submitBatch(ctx, shared, batch)
	if err != nil {
		return nil, Summary{}, err
	}
	defer outputs.Close()
	for {
		i, update, err := outputs.Next(ctx)
		switch {
		case errors.Is(err, io.EOF):
			return embeddings, scoreSummary(outputs.Summary()), nil
		case err != nil:
			return nil, scoreSummary(outputs.Summary()), fromEngine(err)
		case update.Vector != nil:
			embeddings[i].Vector = update.Vector
			if size < len(update.Vector) {
				embeddings[i].Vector = slices.Clone(update.Vector[:size]) // which lets the rest go
			}
			if request.Normalize {
				normalize(embeddings[i].Vector)
			}
		}
	}
}

// normalize divides a vector by its Euclidean length.
func normalize(vector []float32) {
	squares := 0.0
	for _, v := range vector {
		squares += float64(v) * float64(v)
	}
	if squares == 0 {
		return
	}
	length := math.Sqrt(squares)
	for i, v := range vector {
		vector[i] = float32(float64(v) / length)
	}
}
