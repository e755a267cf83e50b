package inference

import (
	"context"
	"runtime"
	"unicode/utf8"

	"github.com/sluiceml/sluice/tokenizer"
)

// turns bounds how many texts are rendered and encoded at once. That work comes before admission, so that nothing else
// bounds it: without turns, clients whose prompts are refused in the end would take the processors from the sequences
// that are being decoded. Waiters are served in the order in which they came.
type turns chan struct{}

// newTurns leaves one processor to decoding, if there is more than one.
func newTurns() turns { return make(turns, max(1, runtime.GOMAXPROCS(0)-1)) }

// take waits for a turn, which give ends. The error is the cause of ctx, if that ends first.
func (t turns) take(ctx context.Context) error {
	if ctx.Err() != nil { // a select draws among what is ready
		return context.Cause(ctx)
	}
	select {
	case t <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (t turns) give() { <-t }

// Encode turns a text into token ids, in turn with the prompts of Generate. Errors: the cause of ctx, and those of the
// tokenizer.
func (m *Model) Encode(ctx context.Context, text string, options tokenizer.EncodeOptions) ([]uint32, error) {
	if err := m.turns.take(ctx); err != nil {
		return nil, err
	}
	defer m.turns.give()
	return m.config.Tokenizer.Encode(text, options)
}

// Of a text that is much longer than the context, first a part is encoded.
const (
	probeBytes  = 16 // of the part for each position of the context: a text has about four bytes to a token
	probeMargin = 2  // how many times the context the part must exceed; its end may be cut through a token
)

// hopeless refuses a text, of a field of the request, whose beginning alone is too long, at a cost that the context bounds
// and not the text.
func (m *Model) hopeless(field, text string, options tokenizer.EncodeOptions) error {
	size := m.config.ContextLength * probeBytes
	if len(text) < 2*size {
		return nil
	}
	for size > 0 && !utf8.RuneStart(text[size]) {
		size--
	}
	var begun []tokenizer.Range // of what is literal
	for _, r := range options.Literal {
		if r.Start < size {
			begun = append(begun, tokenizer.Range{Start: r.Start, End: min(r.End, size)})
		}
	}
	options.Literal = begun
	n, err := m.config.Tokenizer.Count(text[:size], options)
	if err != nil || n <= probeMargin*m.config.ContextLength {
		return nil //nolint:nilerr // Encode will say the same of the whole
	}
	return Invalid(field, "its first %d bytes of %d have %d tokens, and the model's context of %d must hold all and one more", size, len(text), n, m.config.ContextLength)
}
