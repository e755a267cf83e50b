//go:build grammar

package grammar

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestBench runs the schemas of JSONSchemaBench, as its MaskBench has them with values that conform and values that do not:
// none of the latter may be taken. JSON_SCHEMA_BENCH is the folder maskbench/data of github.com/guidance-ai/jsonschemabench,
// which no registry of packages has, so that make test-grammar does not run this.
func TestBench(t *testing.T) {
	root := os.Getenv("JSON_SCHEMA_BENCH")
	if root == "" {
		t.Fatal("JSON_SCHEMA_BENCH names no folder")
	}
	files, err := filepath.Glob(filepath.Join(root, "*.json"))
	if err != nil || len(files) < 1000 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	v := byteVocabulary()
	var compiled, valid, invalid, taken, ambiguous int
	refusals := map[string]int{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var group struct {
			Schema json.RawMessage
			Tests  []struct {
				Data  json.RawMessage
				Valid bool
			}
		}
		if err := json.Unmarshal(text, &group); err != nil {
			t.Fatal(err)
		}
		name := filepath.Base(file)
		g, err := Compile(nil, Constraint{Kind: KindJSONSchema, Text: string(group.Schema)}, v)
		if err != nil {
			refusals[err.(*Error).Reason]++
			t.Logf("refused %s: %v", name, err)
			continue
		}
		compiled++
		for i, x := range group.Tests {
			var data bytes.Buffer
			if err := json.Compact(&data, x.Data); err != nil {
				t.Fatal(err)
			}
			m := mustMatcher(t, g)
			got, err := true, error(nil)
			for piece := range slices.Chunk(data.Bytes(), 100) { // each has the bound of a token
				if got, err = m.AcceptBytes(piece); !got || err != nil {
					break
				}
			}
			got = got && m.MayEnd()
			switch {
			case err != nil:
				ambiguous++
				t.Logf("ambiguous: %s, value %d: %v", name, i, err)
			case !x.Valid:
				invalid++
				if got {
					t.Errorf("%s takes value %d: %.300s", name, i, x.Data)
				}
			default:
				valid++
				if got {
					taken++
				} else {
					t.Logf("narrower: %s, value %d", name, i)
				}
			}
		}
	}
	t.Logf("%d of %d schemas compile; of %d valid values %d are taken; %d invalid ones were tried; %d could be read in too many ways",
		compiled, len(files), valid, taken, invalid, ambiguous)
	reasons := make([]string, 0, len(refusals))
	for reason := range refusals {
		reasons = append(reasons, reason)
	}
	slices.SortFunc(reasons, func(a, b string) int { return refusals[b] - refusals[a] })
	for _, reason := range reasons {
		t.Logf("%4d refused: %s", refusals[reason], reason)
	}
}
