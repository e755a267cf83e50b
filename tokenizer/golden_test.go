package tokenizer_test

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/sluiceml/sluice/tokenizer"
)

// vector is a line of testdata/*.vectors.jsonl, made by testdata/golden.py.
type vector struct {
	Text        []byte   `json:"text"`
	IDs         []uint32 `json:"ids"`
	WithSpecial []uint32 `json:"with_special"` // nil: as IDs
	AsText      []uint32 `json:"as_text"`      // nil: as IDs
	Decoded     string   `json:"decoded"`
	Skipped     *string  `json:"skipped"` // nil: as Decoded
}

// goldens names the small tokenizers of testdata.
func goldens() []string { return []string{"smollm", "gpt2", "options"} }

func load(tb testing.TB, name string) *tokenizer.Tokenizer {
	tb.Helper()
	tok, err := tokenizer.Load(filepath.Join("testdata", name+".json"))
	if err != nil {
		tb.Fatal(err)
	}
	return tok
}

func vectors(tb testing.TB, name string) []vector {
	tb.Helper()
	f, err := os.Open(filepath.Join("testdata", name+".vectors.jsonl"))
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	var list []vector
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var v vector
		if err := json.Unmarshal(lines.Bytes(), &v); err != nil {
			tb.Fatal(err)
		}
		list = append(list, v)
	}
	if err := lines.Err(); err != nil || len(list) < 100 {
		tb.Fatalf("%d vectors, %v", len(list), err)
	}
	return list
}

func TestGolden(t *testing.T) {
	t.Parallel()
	for _, name := range goldens() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tok := load(t, name)
			for _, v := range vectors(t, name) {
				v.check(t, tok)
			}
		})
	}
}

func (v *vector) check(t *testing.T, tok *tokenizer.Tokenizer) {
	t.Helper()
	for _, c := range []struct {
		want []uint32
		o    tokenizer.EncodeOptions
	}{
		{v.IDs, tokenizer.EncodeOptions{}},
		{or(v.WithSpecial, v.IDs), tokenizer.EncodeOptions{AddSpecialTokens: true}},
		{or(v.AsText, v.IDs), tokenizer.EncodeOptions{Special: tokenizer.SpecialAsText}},
	} {
		got, err := tok.Encode(string(v.Text), c.o)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(or(c.want, []uint32{}), got); d != "" {
			t.Errorf("encode %q %+v (-want +got):\n%s", v.Text, c.o, d)
		}
		if n, err := tok.Count(string(v.Text), c.o); err != nil || n != len(c.want) {
			t.Errorf("count %q %+v: %d, %v, want %d", v.Text, c.o, n, err, len(c.want))
		}
	}
	if got := tok.Decode(v.IDs, false); got != v.Decoded {
		t.Errorf("decode %q: %q, want %q", v.Text, got, v.Decoded)
	}
	skipped := v.Decoded
	if v.Skipped != nil {
		skipped = *v.Skipped
	}
	if got := stream(t, tok, v.IDs, true); got != skipped {
		t.Errorf("stream of %q: %q, want %q", v.Text, got, skipped)
	}
}

func or(a, b []uint32) []uint32 {
	if a == nil {
		return b
	}
	return a
}

// stream decodes piece by piece and checks that each is whole characters.
func stream(tb testing.TB, tok *tokenizer.Tokenizer, ids []uint32, skip bool) string {
	tb.Helper()
	d := tok.NewDecoder(skip)
	var text string
	for _, id := range ids {
		part := d.Add(id)
		if !utf8.ValidString(part) {
			tb.Errorf("piece %q of %d is not valid UTF-8", part, ids)
		}
		text += part
	}
	return text + d.Flush()
}
