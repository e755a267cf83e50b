package inference_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/sluiceml/sluice/inference"
	"github.com/sluiceml/sluice/tokenizer"
)

// TestHopelessPrompt refuses a prompt far beyond the context by its beginning, and says so without encoding the rest.
func TestHopelessPrompt(t *testing.T) {
	m := newModel(t, setup{})
	_, err := m.CountTokens(t.Context(), inference.Prompt{Text: strings.Repeat("long ", 4096)})
	invalid, ok := errors.AsType[*inference.InvalidError](err)
	if !ok || invalid.Violations[0].Field != "prompt" || !strings.Contains(err.Error(), "its first 2048 bytes of 20480") {
		t.Errorf("got %v", err)
	}
	// The part ends between characters.
	_, err = m.CountTokens(t.Context(), inference.Prompt{Text: "x" + strings.Repeat("\u20AC", 4096)})
	if !errors.As(err, &invalid) || !strings.Contains(err.Error(), "its first 2047 bytes") {
		t.Errorf("got %v", err)
	}
	if n, err := m.CountTokens(t.Context(), inference.Prompt{Text: strings.Repeat("x", 4000)}); err != nil || n != 4000 {
		t.Errorf("a text that is only too long: %d, %v", n, err)
	}
}

// TestEncodeEnds: whoever waits for a turn leaves when its context ends.
func TestEncodeEnds(t *testing.T) {
	m := newModel(t, setup{})
	gone := errors.New("gone")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(gone)
	if _, err := m.Encode(ctx, "text", tokenizer.EncodeOptions{}); !errors.Is(err, gone) {
		t.Errorf("Encode: %v", err)
	}
	if _, err := m.CountTokens(ctx, inference.Prompt{Text: "text"}); !errors.Is(err, gone) {
		t.Errorf("CountTokens: %v", err)
	}
}

// TestEncodeTurns: many at once all get their turn.
func TestEncodeTurns(t *testing.T) {
	m := newModel(t, setup{})
	var callers sync.WaitGroup
	for range 4 * runtime.GOMAXPROCS(0) {
		callers.Go(func() {
			if ids, err := m.Encode(t.Context(), "text", tokenizer.EncodeOptions{}); err != nil || len(ids) != 4 {
				t.Errorf("%v, %v", ids, err)
			}
		})
	}
	callers.Wait()
}

// TestHopelessChat: the same holds for a conversation, whose literal parts may end behind the part that is looked at.
func TestHopelessChat(t *testing.T) {
	m := newModel(t, setup{})
	_, err := m.CountTokens(t.Context(), chatOf(strings.Repeat("long ", 4096)))
	if v := violation(err); v.Field != "chat.messages" || !strings.Contains(v.Description, "its first 2048 bytes of 20") {
		t.Errorf("got %v", err)
	}
}
