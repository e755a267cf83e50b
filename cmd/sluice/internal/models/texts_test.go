package models

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/sluiceml/sluice/tokenizer"
)

// TestWarnOfSlowPattern: what the tokenizer notes is logged once, at the level of warnings.
func TestWarnOfSlowPattern(t *testing.T) {
	const file = `{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": []},
		"pre_tokenizer": {"type": "Split", "pattern": {"Regex": "a|b+"}, "behavior": "Isolated", "invert": false}}`
	tok, err := tokenizer.FromJSON([]byte(file))
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	warnOfTokenizer(slog.New(slog.NewTextHandler(&log, nil)), "m", tok)
	if out := log.String(); strings.Count(out, "level=WARN") != 1 || !strings.Contains(out, "model=m") || !strings.Contains(out, "a|b+") {
		t.Errorf("logged %q", out)
	}
}
