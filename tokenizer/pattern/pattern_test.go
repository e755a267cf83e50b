package pattern_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluiceml/sluice/tokenizer/pattern"
)

// TestMatch: what Oniguruma finds, asked of Hugging Face tokenizers' Split.
func TestMatch(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pattern, text string
		want          []string
	}{
		{`$`, "a\nb\n", []string{"", "", ""}},
		{`^.`, "a\nb\nc", []string{"a", "b", "c"}},
		{`^`, "a\n", []string{""}}, // not behind a line end that ends the text
		{`(?m)a.b`, "a\nb", []string{"a\nb"}},
		{`a.b`, "a\nb axb", []string{"axb"}},
		{`(?i:'s)`, "'\u017f 'S", []string{"'\u017f", "'S"}},
		{`a(?i)b|c`, "aC AB ab", []string{"aC", "ab"}}, // an option holds over all that comes in the group
		{`(?:(?i)a)a`, "Aa AA", []string{"Aa"}},
		{`(?i:a(?-i)b|c)d`, "Acd AbD aCd", []string{"Acd"}},
		{`'(?i:[sdmt]|ll|ve|re)`, "'S'\u017f'Ll", []string{"'S", "'\u017f", "'Ll"}},
		{`(?i)k`, "K \u212a k", []string{"K", "\u212a", "k"}},
		{`\h+`, "af09xyz", []string{"af09"}},
		{`\p{^L}+`, "ab12", []string{"12"}},
		{`\pL+`, "ab1\u00e9", []string{"ab", "\u00e9"}},
		{`a++b`, "aab", []string{"aab"}},
		{`(?>a+)b`, "aab", []string{"aab"}},
		{`\R`, "a\r\nb", []string{"\r\n"}},
		{`a{,3}`, "aaaa", []string{"aaa", "a"}},
		{`[[a-c]d]+`, "abcde", []string{"abcd"}},
		{`\bfoo\b`, "foo \u00e9foo foo1 foo", []string{"foo", "foo"}},
		{`x*`, "axb", []string{"", "x", ""}},
		{`[^\s\p{L}]`, "a 1!\u4e2d", []string{"1", "!"}},
		{`\p{Han}+`, "a\u4e2d\u6587\u3042", []string{"\u4e2d\u6587"}},
		{`[\x41-\u0043\x{44}]+`, "ABCDE", []string{"ABCD"}},
		{`[a\-z]+`, "a-zb", []string{"a-z"}},
		{`\s+(?!\S)`, "a  b ", []string{" ", " "}},
		{`\w+`, "a\u00b2 \u00bd\u2460", []string{"a\u00b2", "\u00bd"}},
		{`[\w]+|[^\w\s]`, "a\u00b2 \u00bd", []string{"a", "\u00b2", "\u00bd"}}, // not the same characters in a class
		{`[\W]`, "a\u00b2", []string{"\u00b2"}},
		{`[^a]`, "a\U0001f600", []string{"\U0001f600"}},
	} {
		re, err := pattern.Compile(c.pattern)
		if err != nil {
			t.Errorf("%s: %v", c.pattern, err)
			continue
		}
		var got []string
		err = re.Match(c.text, func(start, end int) bool {
			got = append(got, c.text[start:end])
			return true
		})
		if !slices.Equal(got, c.want) || err != nil {
			t.Errorf("%s in %q: %q, %v, want %q", c.pattern, c.text, got, err, c.want)
		}
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	for _, p := range []string{
		`(?x) a`, `(?<name>a)`, `(a)\1`, `\G`, `\K`, `\X`, `[[:alpha:]]`, `[a&&b]`, `[]`, `[`, `[z-a]`, `a{2}+`, `{`, `\p{Foo}`, `\p{`,
		`\x{110000}`, `\xff`, `(?#c)`, `\`, "\xff", `[\`, strings.Repeat("[", 20), `(`, `)`, `*`,
		`(?i)\p{L}`, `(?i:[^a])`, `(?i:ss)`, `(?i)s(?:t)`, `(?i:\u00e9)`, "(?i)\u00df", `(?<!\R)`, strings.Repeat("(", 500) + strings.Repeat(")", 500), strings.Repeat(`\b`, 200),
		strings.Repeat("a", 10000),
	} {
		if _, err := pattern.Compile(p); err == nil {
			t.Errorf("%q is accepted", p)
		}
	}
	var syntax *pattern.SyntaxError
	if _, err := pattern.Compile(`ab\G`); !errors.As(err, &syntax) || syntax.Offset != 2 {
		t.Errorf("%v", err)
	}
}

// TestLong: no limit of the engine makes a match end early.
func TestLong(t *testing.T) {
	t.Parallel()
	re, err := pattern.Compile(`(?:a|b)+|\s+`)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Repeat("ab", 1<<19)
	err = re.Match(text, func(start, end int) bool {
		if start != 0 || end != len(text) {
			t.Errorf("[%d, %d) of %d", start, end, len(text))
		}
		return true
	})
	if err != nil {
		t.Error(err)
	}
}

// TestLimits: a search that backtracks without end, or with every turn remembered, is an error and no match.
func TestLimits(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ pattern, text string }{
		"memory":       {`(?:(?:(?:|a){1000}){1000}){1000}`, "b"},
		"time":         {`(?:(?=a)a|aa?)+(?!a|x)c`, strings.Repeat("a", 5000) + "x"},
		"many matches": {`a`, strings.Repeat("a", 1<<22)},
	} {
		re, err := pattern.Compile(c.pattern)
		if err != nil {
			t.Fatal(err)
		}
		if name != "memory" {
			re.SetTime(10 * time.Millisecond)
		}
		err = re.Match(c.text, func(int, int) bool { return true })
		var limit *pattern.LimitError
		if !errors.As(err, &limit) || limit.Pattern != c.pattern {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzCompile: no pattern panics, and matches are in order and on characters.
func FuzzCompile(f *testing.F) {
	f.Add(`[^\r\n\p{L}]?\p{L}+|\p{N}{1,3}|\s+(?!\S)`, "a 12\n")
	f.Add(`(?i:'s|[a-c[d]])\b^$`, "d's")
	f.Fuzz(func(t *testing.T, p, text string) {
		if len(p) > 40 || len(text) > 40 { // it backtracks
			return
		}
		re, err := pattern.Compile(p)
		if err != nil {
			return
		}
		if text = strings.ToValidUTF8(text, "?"); strings.Count(p, "*")+strings.Count(p, "+")+strings.Count(p, "{")+strings.Count(p, "?") > 3 {
			return
		}
		last := 0
		err = re.Match(text, func(start, end int) bool {
			if start < last || end < start || end > len(text) {
				t.Fatalf("%q in %q: [%d, %d) after %d", p, text, start, end, last)
			}
			last = end
			return true
		})
		var limit *pattern.LimitError
		if err != nil && !errors.As(err, &limit) {
			t.Fatal(err)
		}
	})
}
