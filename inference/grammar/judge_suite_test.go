//go:build grammar

package grammar

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// byteVocabulary has a token for each byte, and an end token.
func byteVocabulary() *Vocabulary {
	var tokens [][]byte
	for b := range 256 {
		tokens = append(tokens, []byte{byte(b)})
	}
	return NewVocabulary(append(tokens, nil), []uint32{256})
}

// TestSuite runs the JSON-Schema-Test-Suite (draft 2020-12): what a schema that compiles says no to must be refused. What
// it says yes to may be refused, where the order of properties, the spelling of numbers or the strings of a format are
// narrower here; how often is printed.
func TestSuite(t *testing.T) {
	root := os.Getenv("JSON_SCHEMA_TEST_SUITE")
	if root == "" {
		t.Fatal("JSON_SCHEMA_TEST_SUITE names no folder; run make test-grammar")
	}
	files, err := filepath.Glob(filepath.Join(root, "*.json"))
	if err != nil || len(files) < 30 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	formats, err := filepath.Glob(filepath.Join(root, "optional", "format", "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	v := byteVocabulary()
	var schemas, compiled, valid, taken int
	refusals := map[string]int{}
	for _, file := range append(files, formats...) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var groups []struct {
			Description string
			Schema      json.RawMessage
			Tests       []struct {
				Description string
				Data        json.RawMessage
				Valid       bool
			}
		}
		if err := json.Unmarshal(text, &groups); err != nil {
			t.Fatal(err)
		}
		for _, group := range groups {
			schemas++
			g, err := Compile(nil, Constraint{Kind: KindJSONSchema, Text: string(group.Schema)}, v)
			name := filepath.Base(file) + ": " + group.Description
			if err != nil {
				refusals[err.(*Error).Reason]++
				t.Logf("refused %s: %v", name, err)
				anyValid := slices.ContainsFunc(group.Tests, func(x struct {
					Description string
					Data        json.RawMessage
					Valid       bool
				},
				) bool {
					return x.Valid
				})
				if err.(*Error).Reason == "no text conforms to it" && anyValid {
					t.Logf("NOTE %s", name)
				}
				continue
			}
			compiled++
			for _, x := range group.Tests {
				data, err := parseJSON(string(x.Data))
				if err != nil {
					continue
				}
				got := matches(t, g, data.canonicalText())
				switch {
				case got && !x.Valid:
					t.Errorf("%s, %s: takes %s", name, x.Description, x.Data)
				case x.Valid:
					valid++
					if got {
						taken++
					} else {
						t.Logf("narrower: %s, %s: %s", name, x.Description, x.Data)
					}
				}
			}
		}
	}
	t.Logf("%d of %d schemas compile; of %d valid values %d are taken", compiled, schemas, valid, taken)
	for reason, n := range refusals {
		t.Logf("%4d refused: %s", n, reason)
	}
}
