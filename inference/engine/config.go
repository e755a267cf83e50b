package engine

import (
	"fmt"
	"time"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/sluiceml/sluice/inference/runner"
)

// Config sets up an Engine. The zero value of a field that has a default means the default.
type Config struct {
	// Model is the served model's name, for metrics.
	Model string
	// QueueLimit is how many requests may wait while those before them take all slots. Default 256.
	QueueLimit int
	// QueueTokens is how many tokens the prompts of the requests that wait may have together; a single one may be longer.
	// Default: any number.
	QueueTokens int
	// QueueTime is the longest time that a request may expect to wait for a slot, by the measured speed; one that would wait
	// longer is refused. Until a first request has ended there is no speed to go by. Default: any time.
	QueueTime time.Duration
	// ChunkSize is how many tokens of a prompt run in one step, at most the session's MaxChunk, which is the default.
	ChunkSize int
	// RidingSize is how many tokens of a prompt run in one step beside sequences that decode: fewer keep those sequences
	// smooth. Each prompt adds as many where several run together; elsewhere it holds while no other prompt could run. At
	// most ChunkSize. Default: by the measured speed, so that the slow ones of the sequences' steps take less than 1.5 times as long, or
	// 32 if the session runs the two one after the other.
	RidingSize int
	// MaxStep is the longest that a step with prompts beside sequences that decode is meant to take, by the measured speed,
	// in place of that measure. Only a session that runs the two together, in chunks of any
	// size, and RidingSize unset heed it. Default: as RidingSize.
	MaxStep time.Duration
	// KVTokens is the most positions of keys and values that all slots hold together, at least the session's MaxLength:
	// where sequences outgrow it, some lose their slots and start over later, with the same tokens. Default: as many as
	// the slots have room for.
	KVTokens int
	// NoSpeculation turns speculation off: by default the next tokens of a request are guessed from what its prompt and
	// output repeat, and checked together, where the session can and by the measured speed it pays. It never changes the
	// tokens.
	NoSpeculation bool
	// Draft is the session of a smaller model with the same vocabulary, which guesses where nothing repeats itself, unless
	// NoSpeculation is set: uniform, with a MaxDraft, and with as many slots. Like the engine's own it belongs to the goroutine of
	// Run, stays the caller's to close, and must be new, or as new, for each engine. If it fails, so does the engine.
	// Default: none.
	Draft runner.Session
	// ReaderTimeout is how long a reader may leave output untaken before it loses its slot. Default 30 s.
	ReaderTimeout time.Duration
	// TracerProvider makes the spans. Default: none.
	TracerProvider trace.TracerProvider
	// MeterProvider makes the histograms of steps. Default: none. The gauges are made by ObserveStats, once for all
	// engines of a model.
	MeterProvider metric.MeterProvider
}

// Queue bounds what waits while those before it take all slots.
type Queue struct {
	Requests int           // most requests that wait
	Tokens   int           // most tokens of their prompts together; a single one may be longer; 0: any number
	Time     time.Duration // the longest that a request may expect to wait; 0: any time
}

const (
	defaultQueueLimit    = 256
	defaultReaderTimeout = 30 * time.Second
	mixedRiding          = 16 // until the speed is known
	separateRiding       = 32
)

// withDefaults fills in what is unset and reports the first field that is out of range.
func (c Config) withDefaults(l runner.Limits) (Config, error) {
	if c.QueueLimit == 0 {
		c.QueueLimit = defaultQueueLimit
	}
	if c.ChunkSize == 0 {
		c.ChunkSize = l.MaxChunk
	}
	if l.FixedChunks {
		c.ChunkSize, c.RidingSize = l.MaxChunk, l.MaxChunk
	}
	if c.RidingSize == 0 && !l.Mixes {
		c.RidingSize = separateRiding
	}
	if c.ReaderTimeout == 0 {
		c.ReaderTimeout = defaultReaderTimeout
	}
	if c.KVTokens >= l.Slots*l.MaxLength {
		c.KVTokens = 0
	}
	switch {
	case l.Slots < 1 || l.MaxLength < 2 || l.MaxChunk < 1 || l.VocabSize < 1:
		return c, fmt.Errorf("engine: a session with limits %+v", l)
	case c.QueueLimit < 0:
		return c, fmt.Errorf("engine: QueueLimit is %d, below 0", c.QueueLimit)
	case c.QueueTokens < 0:
		return c, fmt.Errorf("engine: QueueTokens is %d, below 0", c.QueueTokens)
	case c.QueueTime < 0:
		return c, fmt.Errorf("engine: QueueTime is %s, below 0", c.QueueTime)
	case c.ChunkSize < 0 || c.ChunkSize > l.MaxChunk:
		return c, fmt.Errorf("engine: ChunkSize is %d, not 1 to the session's %d", c.ChunkSize, l.MaxChunk)
	case c.KVTokens != 0 && c.KVTokens < l.MaxLength:
		return c, fmt.Errorf("engine: KVTokens is %d, fewer than the %d of a slot", c.KVTokens, l.MaxLength)
	case c.RidingSize < 0:
		return c, fmt.Errorf("engine: RidingSize is %d, below 0", c.RidingSize)
	case c.MaxStep < 0:
		return c, fmt.Errorf("engine: MaxStep is %s, below 0", c.MaxStep)
	case c.ReaderTimeout < 0:
		return c, fmt.Errorf("engine: ReaderTimeout is %s, below 0", c.ReaderTimeout)
	}
	return c, nil
}
