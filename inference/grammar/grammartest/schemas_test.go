package grammartest

import (
	"encoding/json"
	"testing"

	"github.com/sluiceml/sluice/inference/grammar"
)

// TestSchemas: every schema is JSON, compiles, and is the same each time.
func TestSchemas(t *testing.T) {
	t.Parallel()
	var tokens [][]byte
	for b := range 256 {
		tokens = append(tokens, []byte{byte(b)})
	}
	v := grammar.NewVocabulary(append(tokens, nil), []uint32{256})
	for i := range 1000 {
		text := Schema(i)
		if !json.Valid([]byte(text)) || text != Schema(i) {
			t.Fatalf("schema %d: %s", i, text)
		}
		if _, err := grammar.Compile(nil, grammar.Constraint{Kind: grammar.KindJSONSchema, Text: text}, v); err != nil {
			t.Errorf("schema %d: %v: %s", i, err, text)
		}
	}
}
