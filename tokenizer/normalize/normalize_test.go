package normalize_test

import (
	"errors"
	"strings"
	"testing"

	"golang.org/x/text/unicode/norm"

	"github.com/sluiceml/sluice/tokenizer/normalize"
)

func TestNormalizers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		n        normalize.Normalizer
		in, want string
	}{
		{normalize.NFC, "e\u0301 a\u0300\u0323", "\u00e9 \u1ea1\u0300"},
		{normalize.NFD, "\u1ea1\u0300\ud55c", "a\u0323\u0300\u1112\u1161\u11ab"},
		{normalize.NFC, "\u1112\u1161\u11ab\u11ab", "\ud55c\u11ab"},
		{normalize.NFC, "\u0301a", "\u0301a"},
		{normalize.NFKC, "\ufb01\u2460\uff21", "fi1A"},
		{normalize.NFKD, "\u00bd", "1\u20442"},
		{normalize.NFC, "\u0958", "\u0915\u093c"},                 // excluded from composition
		{normalize.NFC, "a\U0001e2ec\u0323", "a\U0001e2ec\u0323"}, // a mark younger than the tables
		{normalize.Lowercase{}, "ÀB\u0130\u03a3.\u1e9e", "àb" + "i\u0307" + "\u03c3.ß"},
		{normalize.Prepend("xy"), "a", "xya"},
		{normalize.Prepend("xy"), "", ""},
		{normalize.Strip{Left: true}, " \u3000a ", "a "},
		{normalize.Strip{Left: true, Right: true}, " a\u00a0", "a"},
		{normalize.Strip{Right: true}, "  ", ""},
		{normalize.Replace{Pattern: normalize.Literal("aa"), Content: "b"}, "aaaaa", "bba"},
		{normalize.Replace{Pattern: normalize.Literal(" "), Content: ""}, " a b", "ab"},
		{normalize.Sequence{normalize.NFD, normalize.Replace{Pattern: normalize.Literal("\u0301"), Content: ""}}, "\u00e9", "e"},
	} {
		for _, track := range []bool{false, true} {
			if got, err := c.n.Normalize(normalize.New(c.in, 0, track)); got.Text != c.want || err != nil {
				t.Errorf("%T %+q: %+q, %v, want %+q", c.n, c.in, got.Text, err, c.want)
			}
		}
	}
}

// normalized normalizes what cannot fail.
func normalized(tb testing.TB, n normalize.Normalizer, s normalize.String) normalize.String {
	tb.Helper()
	s, err := n.Normalize(s)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// TestGrowth: a text that grows without bound is an error before it takes the memory, tracked or not.
func TestGrowth(t *testing.T) {
	t.Parallel()
	double := normalize.Replace{Pattern: normalize.Literal("a"), Content: "aa"}
	long := normalize.Replace{Pattern: normalize.Literal("a"), Content: strings.Repeat("b", 1<<20)}
	var many normalize.Sequence
	for range 256 {
		many = append(many, double)
	}
	var prepends normalize.Sequence
	for range 256 {
		prepends = append(prepends, normalize.Prepend(strings.Repeat("b", 1<<10)))
	}
	for _, n := range []normalize.Normalizer{many, long, prepends} {
		for _, track := range []bool{false, true} {
			var growth *normalize.GrowthError
			if s, err := n.Normalize(normalize.New("aaaa", 0, track)); !errors.As(err, &growth) || len(s.Text) > 4*growth.Limit {
				t.Errorf("%d bytes, %v", len(s.Text), err)
			}
		}
	}
}

// TestManyMarks: there is no limit on the marks of a character, and they cost no quadratic time.
func TestManyMarks(t *testing.T) {
	t.Parallel()
	const n = 1 << 18
	text := "a" + strings.Repeat("\u0301\u0323", n)
	want := "\u1ea1" + strings.Repeat("\u0323", n-1) + strings.Repeat("\u0301", n)
	if got := normalized(t, normalize.NFC, normalize.New(text, 0, false)).Text; got != want {
		t.Errorf("%d bytes, want %d", len(got), len(want))
	}
}

func TestSpans(t *testing.T) {
	t.Parallel()
	s := normalize.New("xe\u0301 y", 10, true)
	s = normalized(t, normalize.Sequence{normalize.NFC, normalize.Replace{Pattern: normalize.Literal(" "), Content: "\u2581"}, normalize.Prepend("\u2581")}, s)
	if s.Text != "\u2581x\u00e9\u2581y" {
		t.Fatalf("%+q", s.Text)
	}
	for i, want := range []normalize.Span{{10, 11}, {10, 11}, {10, 11}, {10, 11}, {11, 12}, {11, 12}, {14, 15}, {14, 15}, {14, 15}, {15, 16}} {
		got := s.Span(i, i+1)
		if i == 4 || i == 5 { // the reference gives what was composed the span of its first character
			want = normalize.Span{Start: 11, End: 12}
		}
		if got != want {
			t.Errorf("byte %d: %v, want %v", i, got, want)
		}
	}
	part := s.Slice(4, 9)
	if part.Text != "\u00e9\u2581" || part.Start() != 11 || part.Span(0, 5) != (normalize.Span{Start: 11, End: 15}) {
		t.Errorf("%+q from %d, %v", part.Text, part.Start(), part.Span(0, 5))
	}
}

// TestIdeographs: the characters that are passed over without a look are left alone by every form.
func TestIdeographs(t *testing.T) {
	t.Parallel()
	for r := rune(0x4000); r < 0xa000; r++ {
		text := "e\u0301" + string(r) + "\u0323"
		for form, want := range map[normalize.Form]string{normalize.NFC: "\u00e9" + string(r) + "\u0323", normalize.NFKD: text} {
			if got := normalized(t, form, normalize.New(text, 0, false)).Text; got != want {
				t.Fatalf("%U: %+q", r, got)
			}
		}
	}
	for r, first := range map[rune]byte{0x4000: 0xe4, 0x9fff: 0xe9} {
		if string(r)[0] != first {
			t.Errorf("%U begins with %x", r, string(r)[0])
		}
	}
}

func TestPunctuation(t *testing.T) {
	t.Parallel()
	for r, want := range map[rune]bool{'!': true, '$': true, '~': true, 'a': false, ' ': false, '。': true, '€': false, 0x10ffff: false} {
		if normalize.IsPunctuation(r) != want {
			t.Errorf("%q", r)
		}
	}
}

// FuzzForms holds the forms to package norm where both know the characters: Latin, Greek, Cyrillic and Hangul, with fewer
// marks in a row than norm breaks up.
func FuzzForms(f *testing.F) {
	f.Add("e\u0301\u0323 \u1112\u1161 \u1ea1")
	f.Fuzz(func(t *testing.T, text string) {
		marks := 0
		for _, r := range text {
			known := r < 0x530 && r != 0xfffd || r >= 0x1100 && r < 0x1200 || r >= 0x1e00 && r < 0x1f00 || r >= 0xac00 && r <= 0xd7a3
			if !known {
				return
			}
			if marks++; r < 0x300 || r >= 0x370 {
				marks = 0
			}
			if marks > 20 {
				return
			}
		}
		for form, judge := range map[normalize.Form]norm.Form{normalize.NFC: norm.NFC, normalize.NFD: norm.NFD, normalize.NFKC: norm.NFKC, normalize.NFKD: norm.NFKD} {
			got := normalized(t, form, normalize.New(text, 0, false))
			tracked := normalized(t, form, normalize.New(text, 0, true))
			if want := judge.String(text); got.Text != want || tracked.Text != want {
				t.Fatalf("form %d of %+q: %+q, tracked %+q, want %+q", form, text, got.Text, tracked.Text, want)
			}
			for i := range len(tracked.Text) {
				if s := tracked.Span(i, i+1); s.Start < 0 || s.Start > s.End || s.End > len(text) {
					t.Fatalf("form %d of %+q: byte %d has the span %v", form, text, i, s)
				}
			}
		}
	})
}
