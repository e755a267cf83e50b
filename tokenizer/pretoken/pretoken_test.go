package pretoken_test

import (
	"bufio"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/dlclark/regexp2/v2"

	"github.com/sluiceml/sluice/tokenizer/pretoken"
)

// TestClasses compares every code point with the reference's answers (testdata/classes.txt).
func TestClasses(t *testing.T) {
	t.Parallel()
	f, err := os.Open("testdata/classes.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	want := make([]pretoken.Class, utf8.MaxRune+1)
	ranges := 0
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if fields[0] == "#" {
			continue
		}
		first, err1 := strconv.ParseUint(fields[0], 16, 32)
		last, err2 := strconv.ParseUint(fields[1], 16, 32)
		if err1 != nil || err2 != nil {
			t.Fatalf("bad line %q", lines.Text())
		}
		ranges++
		for c := first; c <= last; c++ {
			for _, letter := range fields[2] {
				want[c] |= 1 << strings.IndexRune("ULOMNIPYSRHKDTWX", letter)
			}
		}
	}
	if ranges < 1000 {
		t.Errorf("only %d ranges", ranges)
	}
	for c := range want {
		if got := pretoken.ClassOf(rune(c)); got != want[c] {
			t.Errorf("%U: %016b, want %016b", c, got, want[c])
		}
	}
	for c, class := range want { // what the scanners rely on
		if class&(pretoken.Letter|pretoken.Space) != 0 && class&pretoken.Digit != 0 {
			t.Errorf("%U is a digit and a letter or white space", c)
		}
		if class&(pretoken.Number|pretoken.Digit) == pretoken.Number || class&(pretoken.Number|pretoken.Kana) == pretoken.Number|pretoken.Kana {
			t.Errorf("%U is a number but no digit, or among the kana", c)
		}
	}
	if pretoken.ClassOf(-1) != 0 || pretoken.ClassOf(utf8.MaxRune+1) != 0 {
		t.Error("what is no code point has a class")
	}
}

// split returns the words, and checks the promises of Split.
func split(tb testing.TB, s pretoken.Splitter, text string) []string {
	tb.Helper()
	var words []string
	done := s.Split(text, func(start int, word string) bool {
		if word == "" || text[start:start+len(word)] != word {
			tb.Errorf("%q: word %q at %d", text, word, start)
		}
		words = append(words, word)
		return true
	})
	if !done {
		tb.Errorf("%q: stopped", text)
	}
	return words
}

func gpt2(tb testing.TB) pretoken.Splitter {
	tb.Helper()
	s, ok := pretoken.Lookup(pretoken.GPT2)
	if !ok {
		tb.Fatal("the pattern of GPT-2 has no scanner")
	}
	return s
}

// naive tries the alternatives of GPT-2's pattern one after another, as a backtracking engine does.
func naive(text string) (words []string) {
	run := func(text string, is func(pretoken.Class) bool) int {
		n := 0
		for i, r := range text {
			if !is(pretoken.ClassOf(r)) {
				return i
			}
			n = i + utf8.RuneLen(r)
		}
		return n
	}
	letter := func(c pretoken.Class) bool { return c&pretoken.Letter != 0 }
	number := func(c pretoken.Class) bool { return c&pretoken.Number != 0 }
	space := func(c pretoken.Class) bool { return c&pretoken.Space != 0 }
	other := func(c pretoken.Class) bool { return c&(pretoken.Letter|pretoken.Number|pretoken.Space) == 0 }
	next := func(text string) int {
		for _, c := range []string{"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"} {
			if strings.HasPrefix(text, c) {
				return len(c)
			}
		}
		for _, is := range []func(pretoken.Class) bool{letter, number, other} {
			lead := len(text) - len(strings.TrimPrefix(text, " "))
			if n := run(text[lead:], is); n > 0 {
				return lead + n
			}
		}
		n := run(text, space)
		for n > 0 && n < len(text) {
			_, width := utf8.DecodeLastRuneInString(text[:n])
			n -= width
			if r, _ := utf8.DecodeRuneInString(text[n:]); space(pretoken.ClassOf(r)) {
				break
			}
		}
		if n == 0 {
			return run(text, space)
		}
		return n
	}
	for text != "" {
		n := next(text)
		words = append(words, text[:n])
		text = text[n:]
	}
	return words
}

// naiveDigits puts the Digits pre-tokenizer before next.
func naiveDigits(text string, individual bool, next func(string) []string) (words []string) {
	for text != "" {
		first, n := utf8.DecodeRuneInString(text)
		digit := pretoken.ClassOf(first) & pretoken.Digit
		for n < len(text) && (digit == 0 || !individual) {
			r, width := utf8.DecodeRuneInString(text[n:])
			if pretoken.ClassOf(r)&pretoken.Digit != digit {
				break
			}
			n += width
		}
		words = append(words, next(text[:n])...)
		text = text[n:]
	}
	return words
}

func texts() []string {
	return []string{
		"", " ", "  ", "a", " a", "  a", "a ", "a  ", "\n\na", "\n \ta\n", "it's we'll I'D they've 'tis ''s '", "'", "''re'l'v",
		"x 12 3a４５ ²³ Ⅷ", " !?  ... a.b", "a\u00a0b \u00a0 c", " \u2003x", "日本語 テキスト、です。", "e\u0301 \u0301x", "😀 😀😀a",
		"a1 2 3  4", "1  2", "a  1", "a 1 ", "\r\n\r\n 5\r\n", "\u0085x\u0085", "\U00011de1 \U00011de2a\U00016ff4", "\u1c89\u1c8a",
	}
}

func checkText(tb testing.TB, text string) {
	tb.Helper()
	pattern := gpt2(tb)
	whole := func(s string) []string { return []string{s} }
	for _, c := range []struct {
		name string
		s    pretoken.Splitter
		want []string
	}{
		{"GPT2", pattern, naive(text)},
		{"Digits(true)", pretoken.Digits(true), naiveDigits(text, true, whole)},
		{"Digits(false)", pretoken.Digits(false), naiveDigits(text, false, whole)},
		{"Digits(true), GPT2", pretoken.Sequence(pretoken.Digits(true), pattern), naiveDigits(text, true, naive)},
		{"Digits(false), GPT2", pretoken.Sequence(pretoken.Digits(false), pattern), naiveDigits(text, false, naive)},
		{"three", pretoken.Sequence(pretoken.Digits(false), pretoken.Digits(true), pattern), naiveDigits(text, true, naive)},
	} {
		if got := split(tb, c.s, text); !slices.Equal(got, c.want) {
			tb.Errorf("%s of %q:\ngot  %q\nwant %q", c.name, text, got, c.want)
		}
	}
}

func TestNaiveTwin(t *testing.T) {
	t.Parallel()
	for _, text := range texts() {
		checkText(t, text)
	}
}

// TestRegexp2 has another engine as the judge, on text whose characters were the same in all versions of Unicode.
func TestRegexp2(t *testing.T) {
	t.Parallel()
	re := regexp2.MustCompile(pretoken.GPT2)
	s := gpt2(t)
	for _, text := range append(texts()[:26], strings.Repeat("It's 12 o'clock;  we'll go\n\n\tnow! ", 20)) {
		indexes, err := re.FindAllStringIndex(text, -1)
		if err != nil {
			t.Fatal(err)
		}
		var want []string
		for _, at := range indexes {
			want = append(want, text[at[0]:at[1]])
		}
		if got := split(t, s, text); !slices.Equal(got, want) {
			t.Errorf("%q:\ngot  %q\nwant %q", text, got, want)
		}
	}
}

// TestNoSplitter: a sequence of none leaves the text whole.
func TestNoSplitter(t *testing.T) {
	t.Parallel()
	if got := split(t, pretoken.Sequence(), "a b"); !slices.Equal(got, []string{"a b"}) {
		t.Errorf("no splitter: %q", got)
	}
}

// TestStop: when yield says no, no more words come.
func TestStop(t *testing.T) {
	t.Parallel()
	p := gpt2(t)
	for _, s := range []pretoken.Splitter{
		p, pretoken.Sequence(), pretoken.Digits(true),
		pretoken.Sequence(pretoken.Digits(false), p), pretoken.Sequence(pretoken.Digits(true), p),
	} {
		n := 0
		if s.Split("one 2 three", func(int, string) bool { n++; return false }) || n != 1 {
			t.Errorf("%T: %d words after the first was refused", s, n-1)
		}
	}
}

func FuzzSplit(f *testing.F) {
	for _, text := range texts() {
		f.Add(text)
	}
	f.Add("\xff\xf0\x9f a\xe4")
	f.Fuzz(func(t *testing.T, text string) {
		if !utf8.ValidString(text) {
			for _, s := range []pretoken.Splitter{gpt2(t), pretoken.Digits(true), pretoken.Sequence(pretoken.Digits(true), gpt2(t))} {
				if got := strings.Join(split(t, s, text), ""); got != text {
					t.Errorf("%q became %q", text, got)
				}
			}
			return
		}
		checkText(t, text)
	})
}
