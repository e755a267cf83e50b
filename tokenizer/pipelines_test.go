package tokenizer_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/sluiceml/sluice/tokenizer"
)

// pipeline is a line of testdata/pipelines.jsonl: a small tokenizer.json with parts of every kind, and what Hugging Face
// tokenizers makes of some texts and ids (internal/parity/oracle.py golden). So are the lines of regressions.jsonl,
// tokenizers that once went wrong (oracle.py regressions).
type pipeline struct {
	Tokenizer      json.RawMessage `json:"tokenizer"`
	Texts          []string        `json:"texts"`
	IDs            [][]uint32      `json:"ids"`
	Offsets        [][][2]int      `json:"offsets"`
	WithSpecial    [][]uint32      `json:"with_special"`
	SpecialOffsets [][][2]int      `json:"special_offsets"`
	AsText         [][]uint32      `json:"as_text"`
	Lists          [][]uint32      `json:"lists"`
	Decoded        []string        `json:"decoded"`
	Skipped        []string        `json:"skipped"`
}

func pipelines(t testing.TB) []pipeline {
	t.Helper()
	var list []pipeline
	for _, name := range []string{"pipelines.jsonl", "regressions.jsonl"} {
		data, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(data) {
			var p pipeline
			if err := json.Unmarshal(line, &p); err != nil {
				t.Fatal(err)
			}
			list = append(list, p)
		}
	}
	return list
}

func TestPipelines(t *testing.T) {
	t.Parallel()
	for _, p := range pipelines(t) {
		tok, err := tokenizer.FromJSON(p.Tokenizer)
		if err != nil {
			t.Fatalf("%v\n%s", err, p.Tokenizer)
		}
		for i, text := range p.Texts {
			for special, want := range map[bool]struct {
				ids    []uint32
				ranges [][2]int
			}{false: {p.IDs[i], p.Offsets[i]}, true: {p.WithSpecial[i], p.SpecialOffsets[i]}} {
				ids, ranges, err := tok.EncodeOffsets(text, tokenizer.EncodeOptions{AddSpecialTokens: special})
				if err != nil {
					t.Fatal(err)
				}
				same := slices.EqualFunc(ranges, want.ranges, func(r tokenizer.Range, w [2]int) bool { return r.Start == w[0] && r.End == w[1] })
				if !slices.Equal(ids, want.ids) || !same {
					t.Errorf("%q, special tokens %t, of %.500s:\ngot  %d %v\nwant %d %v", text, special, p.Tokenizer, ids, ranges, want.ids, want.ranges)
				}
			}
			ids, err := tok.Encode(text, tokenizer.EncodeOptions{Special: tokenizer.SpecialAsText})
			if err != nil || !slices.Equal(ids, p.AsText[i]) {
				t.Errorf("%q as text: %d, %v, want %d", text, ids, err, p.AsText[i])
			}
		}
		for i, list := range p.Lists {
			for skip, want := range map[bool]string{false: p.Decoded[i], true: p.Skipped[i]} {
				if got, stream := tok.Decode(list, skip), streamed(tok, list, skip); got != want || stream != want {
					t.Errorf("decode %d: %q, as a stream %q, want %q", list, got, stream, want)
				}
			}
		}
	}
}

func streamed(tok *tokenizer.Tokenizer, list []uint32, skip bool) string {
	var b strings.Builder
	d := tok.NewDecoder(skip)
	for _, id := range list {
		b.WriteString(d.Add(id))
	}
	b.WriteString(d.Flush())
	return b.String()
}

// FuzzPipeline: whatever the parts, offsets lie in the text and come with the ids that Encode gives, Count counts them,
// literal ranges hide special tokens, and a stream decodes as a list does.
func FuzzPipeline(f *testing.F) {
	var toks []*tokenizer.Tokenizer
	for _, p := range pipelines(f) {
		tok, err := tokenizer.FromJSON(p.Tokenizer)
		if err != nil {
			f.Fatal(err)
		}
		toks = append(toks, tok)
		f.Add(uint8(len(toks)), p.Texts[0], uint8(0), uint8(3))
	}
	f.Add(uint8(0), "a\xffb\xc3 <s>", uint8(1), uint8(200))
	f.Fuzz(func(t *testing.T, which uint8, text string, from, to uint8) {
		tok := toks[int(which)%len(toks)]
		o := tokenizer.EncodeOptions{AddSpecialTokens: which&1 == 0}
		if int(from) < int(to) && int(to) <= len(text) {
			o.Literal = []tokenizer.Range{{Start: int(from), End: int(to)}}
		}
		ids, err := tok.Encode(text, o)
		if err != nil {
			t.Fatal(err)
		}
		again, ranges, err := tok.EncodeOffsets(text, o)
		if err != nil || !slices.Equal(ids, again) || len(ranges) != len(ids) {
			t.Fatalf("%d with offsets, %d without: %v", again, ids, err)
		}
		for _, r := range ranges {
			if r.Start < 0 || r.Start > r.End || (r.End > len(text) && utf8.ValidString(text)) {
				t.Fatalf("range %v of %q", r, text)
			}
		}
		if n, err := tok.Count(text, o); err != nil || n != len(ids) {
			t.Fatalf("%d counted of %d: %v", n, len(ids), err)
		}
		if got, want := streamed(tok, ids, false), tok.Decode(ids, false); got != want {
			t.Fatalf("stream %q, want %q", got, want)
		}
	})
}
