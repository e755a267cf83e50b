package tokenizer_test

import (
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluiceml/sluice/tokenizer"
)

func encode(tb testing.TB, tok *tokenizer.Tokenizer, text string) []uint32 {
	tb.Helper()
	ids, err := tok.Encode(text, tokenizer.EncodeOptions{})
	if err != nil {
		tb.Fatal(err)
	}
	return ids
}

// tokens returns the texts of ids.
func tokens(tok *tokenizer.Tokenizer, ids []uint32) []string {
	list := make([]string, len(ids))
	for i, id := range ids {
		list[i], _ = tok.Token(id)
	}
	return list
}

// countSpecial counts the special tokens among ids.
func countSpecial(tok *tokenizer.Tokenizer, ids []uint32) (n int) {
	for _, id := range ids {
		if tok.IsSpecial(id) {
			n++
		}
	}
	return n
}

// TestLiteral: what a user wrote into a template makes no control token, and the template's own are recognised.
func TestLiteral(t *testing.T) {
	t.Parallel()
	tok := load(t, "smollm")
	for _, c := range []struct {
		before, content, after string
		special                int // tokens recognised
	}{
		{"<|im_start|>", "hello", "<|im_end|>", 2},
		{"<|im_start|>", "<|im_end|><|im_start|>", "<|im_end|>", 2},
		{"<|im_start|>", "<|im_", "end|><|im_end|>", 2},       // begins in the content
		{"<|im_start|><|im_", "end|>", "<|im_end|>", 2},       // ends in the content
		{"<|im_start|><|im_", "", "end|><|im_end|>", 3},       // an empty content is nowhere
		{"<|im_start|>", "<|im_end|>\xff<|", "<|im_end|>", 2}, // invalid bytes move the ranges
		{"\xf0\x9f<|im_start|>\xf0", "\xf0\x9f<|im_end|>", "<|im_end|>\xff", 2},
	} {
		text := c.before + c.content + c.after
		literal := tokenizer.Range{Start: len(c.before), End: len(c.before) + len(c.content)}
		ids, err := tok.Encode(text, tokenizer.EncodeOptions{Literal: []tokenizer.Range{literal}})
		if err != nil {
			t.Fatal(err)
		}
		if n := countSpecial(tok, ids); n != c.special {
			t.Errorf("%q + %q + %q: %d special tokens, want %d: %q", c.before, c.content, c.after, n, c.special, tokens(tok, ids))
		}
		if got := tok.Decode(ids, false); got != lossy(text) {
			t.Errorf("%q decodes to %q", text, got)
		}
	}
}

// TestLiteralShorter: a longer token that would touch the content must not hide a shorter one that does not.
func TestLiteralShorter(t *testing.T) {
	t.Parallel()
	tok := load(t, "options") // has <s> and <s><s>
	const text = "<s><s>"
	ids, err := tok.Encode(text, tokenizer.EncodeOptions{Literal: []tokenizer.Range{{Start: 3, End: 6}}})
	if err != nil {
		t.Fatal(err)
	}
	if got := tokens(tok, ids); len(got) < 2 || got[0] != "<s>" || countSpecial(tok, ids[1:]) > strings.Count(strings.Join(got, ""), "<unk>") {
		t.Errorf("%q gives %q", text, got)
	}
}

// TestLiteralMany: ranges in any order, overlapping, empty.
func TestLiteralMany(t *testing.T) {
	t.Parallel()
	tok := load(t, "smollm")
	const token = "<|im_end|>"
	text := strings.Repeat(token, 5)
	n := len(token)
	ids, err := tok.Encode(text, tokenizer.EncodeOptions{Literal: []tokenizer.Range{
		{Start: 4 * n, End: 4*n + 1}, {Start: 2 * n, End: 2 * n}, {Start: 0, End: 2*n - 1}, {Start: n - 1, End: n},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if got := countSpecial(tok, ids); got != 2 { // the third and the fourth
		t.Errorf("%d special tokens: %q", got, tokens(tok, ids))
	}
}

func TestForbidSpecial(t *testing.T) {
	t.Parallel()
	tok := load(t, "smollm")
	for text, want := range map[string]int{
		"hi <|im_start|>":                3,
		"<|im_end|>":                     0,
		"\xf0\x9f\x98é\xff<|im_start|>":  6,
		"a\xed\xa0\x80\xc3<|endoftext|>": 5,
	} {
		dst := []uint32{7}
		got, err := tok.AppendEncode(dst, text, tokenizer.EncodeOptions{Special: tokenizer.ForbidSpecial})
		var special *tokenizer.SpecialTokenError
		if !errors.As(err, &special) || special.Offset != want || !strings.HasPrefix(text[want:], special.Token) {
			t.Errorf("%q: %v, want the offset %d", text, err, want)
		}
		if d := cmp.Diff(dst, got); d != "" {
			t.Errorf("dst after an error: %s", d)
		}
		if _, err := tok.Count(text, tokenizer.EncodeOptions{Special: tokenizer.ForbidSpecial}); err == nil {
			t.Errorf("count of %q passes", text)
		}
	}
	const plain = "nothing <|special here"
	if _, err := tok.Encode(plain, tokenizer.EncodeOptions{Special: tokenizer.ForbidSpecial}); err != nil {
		t.Error(err)
	}
}

func TestRangeError(t *testing.T) {
	t.Parallel()
	tok := load(t, "smollm")
	for _, r := range []tokenizer.Range{{Start: -1, End: 1}, {Start: 2, End: 1}, {Start: 0, End: 4}, {Start: 4, End: 4}} {
		_, err := tok.Encode("abc", tokenizer.EncodeOptions{Literal: []tokenizer.Range{r}})
		var bad *tokenizer.RangeError
		if !errors.As(err, &bad) || bad.Range != r {
			t.Errorf("%+v: %v", r, err)
		}
	}
}

// TestStripLong: tokens that strip white space are not quadratic in it, even if they are white space themselves, and
// many literal ranges are not quadratic in their number. The test would not end if they were.
func TestStripLong(t *testing.T) {
	t.Parallel()
	const n = 1 << 20
	spaces := strings.Repeat(" ", n)
	for _, added := range []string{
		`[{"content": " ", "lstrip": true}]`, `[{"content": " ", "rstrip": true}]`,
		`[{"content": " ", "lstrip": true, "rstrip": true}]`, `[{"content": "<s>", "lstrip": true}]`,
		`[{"content": " a", "rstrip": true}]`, `[{"content": "` + spaces[:30] + `x"}]`,
	} {
		tok, err := tokenizer.FromJSON(with(t, "added_tokens", added))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tok.Count(spaces, tokenizer.EncodeOptions{}); err != nil {
			t.Error(err)
		}
	}
	tok := load(t, "smollm")
	const turn = "<|im_end|>a"
	var literal []tokenizer.Range
	for at := range n / len(turn) {
		literal = append(literal, tokenizer.Range{Start: at*len(turn) + len(turn) - 1, End: (at + 1) * len(turn)})
	}
	if _, err := tok.Count(strings.Repeat(turn, n/len(turn)), tokenizer.EncodeOptions{Literal: literal}); err != nil {
		t.Error(err)
	}
}

// TestConcurrent encodes from many goroutines; run with -race.
func TestConcurrent(t *testing.T) {
	t.Parallel()
	tok := load(t, "options")
	list := vectors(t, "options")
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for _, v := range list {
				if d := cmp.Diff(or(v.IDs, []uint32{}), encode(t, tok, string(v.Text))); d != "" {
					t.Error(d)
				}
			}
		})
	}
	group.Wait()
}

// TestNoAllocations: with room in dst, encoding text whose words the cache knows allocates next to nothing.
func TestNoAllocations(t *testing.T) {
	tok := load(t, "smollm")
	text := strings.Repeat("the quick brown fox doesn't jump over 13 lazy dogs\n", 100)
	dst := encode(t, tok, text)
	n := testing.AllocsPerRun(10, func() {
		var err error
		if dst, err = tok.AppendEncode(dst[:0], text, tokenizer.EncodeOptions{}); err != nil {
			t.Fatal(err)
		}
	})
	if n > 8 {
		t.Errorf("%g allocations for %d tokens", n, len(dst))
	}
}

// FuzzEncode: text without special tokens survives the round trip, and Count, Encode and the policies agree.
func FuzzEncode(f *testing.F) {
	for _, text := range []string{"", "it's 12 o'clock", "<|im_start|>", "日本語 😀", "\xff\xf0\x9f", "  \n\t a"} {
		f.Add(text, 1, 4)
	}
	gpt2, options := load(f, "gpt2"), load(f, "options")
	f.Fuzz(func(t *testing.T, text string, start, end int) {
		ids := encode(t, gpt2, text)
		if got := gpt2.Decode(ids, false); got != lossy(text) {
			t.Errorf("round trip of %q: %q", text, got)
		}
		o := tokenizer.EncodeOptions{AddSpecialTokens: true}
		if start >= 0 && start <= end && end <= len(text) {
			o.Literal = []tokenizer.Range{{Start: start, End: end}}
		}
		all, err := options.Encode(text, o)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := options.Count(text, o); err != nil || n != len(all) {
			t.Errorf("count of %q: %d, %v, want %d", text, n, err, len(all))
		}
		o.Literal = []tokenizer.Range{{Start: 0, End: len(text)}}
		literal, err := options.Encode(text, o)
		if err != nil {
			t.Fatal(err)
		}
		// <unk> is a special token that unknown bytes give.
		for _, id := range literal[1 : len(literal)-1] {
			if tok, _ := options.Token(id); options.IsSpecial(id) && tok != "<unk>" {
				t.Errorf("literal %q gives %q", text, tok)
			}
		}
	})
}

// lossy decodes by the reference's rule, the slow way: a piece is as long as some character has it as its beginning.
func lossy(text string) string {
	var out strings.Builder
	for text != "" {
		if r, n := decodeRune(text); n > 0 {
			out.WriteRune(r)
			text = text[n:]
			continue
		}
		n := 1
		for n < len(text) && n < 4 && beginsCharacter(text[:n+1]) {
			n++
		}
		out.WriteRune('\ufffd')
		text = text[n:]
	}
	return out.String()
}

// decodeRune returns a width of 0 if text does not begin with a character.
func decodeRune(text string) (rune, int) {
	for n := 1; n <= min(4, len(text)); n++ {
		if r := []rune(text[:n]); len(r) == 1 && string(r) == text[:n] {
			return r[0], n
		}
	}
	return 0, 0
}

// beginsCharacter reports whether more bytes could complete the piece to a character.
func beginsCharacter(piece string) bool {
	for _, tail := range []string{"\x80", "\x90", "\xa0", "\x8f", "\x9f"} {
		for _, rest := range []string{"", "\x80", "\x80\x80"} {
			for _, whole := range []string{piece + rest, piece + tail + rest} {
				if _, n := decodeRune(whole); n == len(whole) && n > len(piece) {
					return true
				}
			}
		}
	}
	return false
}
