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
	for name, schema := range map[string]func(int) string{"schema": Schema, "logic": Logic} {
		for i := range 1000 {
			text := schema(i)
			if !json.Valid([]byte(text)) || text != schema(i) {
				t.Fatalf("%s %d: %s", name, i, text)
			}
			if _, err := grammar.Compile(nil, grammar.Constraint{Kind: grammar.KindJSONSchema, Text: text}, v); err != nil {
				t.Errorf("%s %d: %v: %s", name, i, err, text)
			}
		}
	}
}
