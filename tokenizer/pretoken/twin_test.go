package pretoken_test

import (
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/dlclark/regexp2/v2"

	"github.com/sluiceml/sluice/tokenizer/pretoken"
)

// twin is the slow twin of a scanner: a backtracking regex engine with the judge's classes spelled out.
type twin struct {
	pattern string
	re      *regexp2.Regexp
	s       pretoken.Splitter
}

// split returns the matches, and what lies between.
func (w twin) split(tb testing.TB, text string) (words []string) {
	tb.Helper()
	done := 0
	m, err := w.re.FindStringMatch(text)
	for m != nil && err == nil {
		start, n := m.ByteRange()
		if done < start {
			words = append(words, text[done:start])
		}
		if n > 0 {
			words = append(words, text[start:start+n])
		}
		done = start + n
		m, err = w.re.FindNextMatch(m)
	}
	if err != nil {
		tb.Fatal(err)
	}
	if done < len(text) {
		words = append(words, text[done:])
	}
	return words
}

// ranges writes the code points of a class as the inside of a class of a regex.
func ranges(class pretoken.Class) string {
	var b strings.Builder
	write := func(r rune) {
		if r < utf8.RuneSelf {
			b.WriteString(`\x` + string("01234567"[r>>4]) + string("0123456789abcdef"[r&15]))
			return
		}
		b.WriteRune(r)
	}
	for r := rune(0); r <= utf8.MaxRune; r++ {
		if pretoken.ClassOf(r)&class == 0 {
			continue
		}
		write(r)
		first := r
		for r < utf8.MaxRune && pretoken.ClassOf(r+1)&class != 0 {
			r++
		}
		if r > first {
			b.WriteByte('-')
			write(r)
		}
	}
	return b.String()
}

// explicit translates a pattern. Possessive quantifiers become greedy ones, which is to change nothing.
func explicit(pattern string) string {
	classes := map[string]pretoken.Class{
		`\p{L}`: pretoken.Letter, `\p{Lu}`: pretoken.Upper, `\p{Lt}`: 0, `\p{Ll}`: pretoken.Lower, `\p{Lm}`: pretoken.Caseless, `\p{Lo}`: 0,
		`\p{M}`: pretoken.Mark, `\p{N}`: pretoken.Number, `\p{P}`: pretoken.Punct, `\p{S}`: pretoken.Symbol, `\p{Han}`: pretoken.Han,
		`\s`: pretoken.Space, `\S`: pretoken.Space, `\d`: pretoken.Decimal,
	}
	pattern = strings.NewReplacer(
		`(?i:'s|'t|'re|'ve|'m|'ll|'d)`, `(?:'[sSſ]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])`,
		`(?i:[sdmt]|ll|ve|re)`, `(?:[sSſdDmMtT]|[lL][lL]|[vV][eE]|[rR][eE])`,
		`\s++$`, `\s+\z`, `\s+$`, `\s+(?=\n|\z)`, `++`, `+`, `?+`, `?`, `]*+`, `]*`, `{1,3}+`, `{1,3}`, `&&[^\p{Han}]`, `-[\p{Han}]`,
	).Replace(pattern)
	var b strings.Builder
	depth := 0
	for i := 0; i < len(pattern); i++ {
		switch pattern[i] {
		case '[':
			depth++
		case ']':
			depth--
		case '\\':
			name := pattern[i : i+2]
			if name == `\p` {
				name = pattern[i : i+strings.IndexByte(pattern[i:], '}')+1]
			}
			class, ok := classes[name]
			switch inside := ranges(class); {
			case !ok:
				b.WriteString(name)
			case depth > 0:
				b.WriteString(inside)
			case name == `\S`:
				b.WriteString("[^" + inside + "]")
			default:
				b.WriteString("[" + inside + "]")
			}
			i += len(name) - 1
			continue
		}
		b.WriteByte(pattern[i])
	}
	return b.String()
}

// twins are made once: some hold a class of a hundred thousand code points.
var twins = sync.OnceValue(func() []twin {
	var list []twin
	for _, p := range pretoken.Patterns() {
		s, _ := pretoken.Lookup(p)
		list = append(list, twin{p, regexp2.MustCompile(explicit(p)), s})
	}
	for _, p := range pretoken.TiktokenPatterns() {
		s, _ := pretoken.LookupTiktoken(p)
		list = append(list, twin{p, regexp2.MustCompile(explicit(p)), s})
	}
	return list
})

func checkTwins(tb testing.TB, text string) {
	tb.Helper()
	for _, w := range twins() {
		if got, want := split(tb, w.s, text), w.split(tb, text); !slices.Equal(got, want) {
			tb.Errorf("%q of %q:\ngot  %q\nwant %q", w.pattern, text, got, want)
		}
	}
}

// pool are characters at which the alternatives of the patterns meet.
const pool = " \n\r\t\u00a0\u3000'sSrReEvlLmdDſaAzÉßǅʰª中の゛가\u0301\u09031²〇!/.$—、\u200b\x00😀⺀々|("

func TestTwins(t *testing.T) {
	t.Parallel()
	for _, text := range texts() {
		checkTwins(t, text)
	}
	rng := rand.New(rand.NewPCG(7, 8))
	all := []rune(pool)
	for range 2000 {
		some := make([]rune, 2+rng.IntN(8))
		for i := range some {
			some[i] = all[rng.IntN(len(all))]
		}
		text := make([]rune, rng.IntN(30))
		for i := range text {
			text[i] = some[rng.IntN(len(some))]
		}
		checkTwins(t, string(text))
	}
}

// TestLinear: adversarial texts of a megabyte end; a quadratic scanner would not within the test's time.
func TestLinear(t *testing.T) {
	t.Parallel()
	for _, unit := range []string{" ", "\n", " \n", "\n ", "A", "aA", "中A", "\u0301A", "\u0301", "/\n", "!", "'s", "1", "中1", "\u200b", "\u200b ", "\t", " \t"} {
		text := strings.Repeat(unit, (1<<19)/len(unit))
		for _, w := range twins() {
			n := 0
			w.s.Split(text, func(_ int, word string) bool {
				n += len(word)
				return true
			})
			if n != len(text) {
				t.Errorf("%q of many %q: %d bytes of %d", w.pattern, unit, n, len(text))
			}
		}
	}
}

func FuzzPatterns(f *testing.F) {
	for _, text := range texts() {
		f.Add(text)
	}
	f.Add("\xff\xf0\x9f a\xe4")
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 200 {
			return
		}
		if utf8.ValidString(text) {
			checkTwins(t, text)
			return
		}
		for _, w := range twins() {
			if got := strings.Join(split(t, w.s, text), ""); got != text {
				t.Errorf("%q became %q", text, got)
			}
		}
	})
}
