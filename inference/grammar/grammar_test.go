package grammar

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
)

// toyVocabulary has all bytes, pieces of JSON and of words, and an end token; the last token is special.
func toyVocabulary() *Vocabulary {
	var tokens [][]byte
	for b := range 256 {
		tokens = append(tokens, []byte{byte(b)})
	}
	for s := range strings.SplitSeq(`{"|"}|":|": |", "|","|",|"]|],|[[|{}|[]|}}|},|\"|\\|\n|name|ab|abc|bc|aa|aaa|aaaa|12|123|1.|.5|e+|e1|true|fal|se|null|null,| t| true| "|  |    |`+"\n|\n  |é|éé|\xc3|\xa9a|\xe2\x82|\xac|€|😀|\xf0\x9f|\x98\x80b|a\"|ab\", \"|x\":1|u00|\\u0|\\ud8|3d|\\n|2024|-01|T1|@|.com|(|)|+|a+b|(a|1)", "|") {
		tokens = append(tokens, []byte(s))
	}
	tokens = append(tokens, []byte("ab"), nil, nil) // a twin, the end token, a special one
	return NewVocabulary(tokens, []uint32{uint32(len(tokens) - 2)})
}

func mustCompile(t testing.TB, c Constraint, v *Vocabulary) *Grammar {
	t.Helper()
	g, err := Compile(nil, c, v)
	if err != nil {
		t.Fatalf("Compile(%v): %v", c, err)
	}
	return g
}

func mustMatcher(t testing.TB, g *Grammar) *Matcher {
	t.Helper()
	m, err := g.NewMatcher()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// matches says whether a grammar has a text.
func matches(t testing.TB, g *Grammar, text string) bool {
	t.Helper()
	m := mustMatcher(t, g)
	ok, err := m.AcceptBytes([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return ok && m.MayEnd()
}

// checkMask compares a mask with what accepting each token alone says.
func checkMask(t testing.TB, m *Matcher, v *Vocabulary) []uint32 {
	t.Helper()
	mask := make([]uint64, v.words())
	if err := m.Mask(mask); err != nil {
		t.Fatal(err)
	}
	var allowed []uint32
	for id := range v.Size() {
		want, err := m.Clone().Accept(uint32(id))
		if err != nil {
			t.Fatal(err)
		}
		got := mask[id>>6]>>(id&63)&1 != 0
		if got != want {
			t.Fatalf("token %d %q: mask says %v, accept %v", id, v.text[id], got, want)
		}
		if got {
			allowed = append(allowed, uint32(id))
		}
	}
	if len(allowed) == 0 {
		t.Fatal("nothing is allowed")
	}
	return allowed
}

// wander follows random tokens that the masks allow and checks every mask on the way.
func wander(t testing.TB, g *Grammar, v *Vocabulary, random *rand.Rand, steps int) {
	t.Helper()
	m := mustMatcher(t, g)
	var text []byte
	for range steps {
		allowed := checkMask(t, m, v)
		id := allowed[random.IntN(len(allowed))]
		if v.text[id] == nil {
			break
		}
		ok, err := m.Accept(id)
		if !ok || err != nil {
			t.Fatalf("token %d after %q: %v, %v", id, text, ok, err)
		}
		text = append(text, v.text[id]...)
	}
}

func TestMaskAgreesWithAccept(t *testing.T) {
	t.Parallel()
	v := toyVocabulary()
	for _, c := range []Constraint{
		{Kind: KindRegex, Text: `a+b?|[0-9]{2,5}`},
		{Kind: KindRegex, Text: `(ab|a|bc)*c?`},
		{Kind: KindRegex, Text: `.{3,7}`},
		{Kind: KindRegex, Text: `(?i)name|é{2}|\p{Greek}+`},
		{Kind: KindRegex, Text: `^[^"]*$`},
		{Kind: KindChoice, Choices: []string{"ab", "abc", "a", "é", "€ 5", "name"}},
		{Kind: KindJSONObject},
	} {
		g := mustCompile(t, c, v)
		random := rand.New(rand.NewPCG(1, 2))
		for range 60 {
			wander(t, g, v, random, 40)
		}
	}
}

func TestRegexErrors(t *testing.T) {
	t.Parallel()
	v := toyVocabulary()
	for _, source := range []string{`(`, `a\b`, `(?=a)`, `(?m)^a$`, `a$b`, `[^\x00-\x{10FFFF}]`, `(((a{1,100}){1,100}){1,100})`, `((a|b)*a(a|b){20})`} {
		_, err := Compile(nil, Constraint{Kind: KindRegex, Text: source}, v)
		if _, ok := errors.AsType[*Error](err); !ok {
			t.Errorf("%s: %v", source, err)
		}
	}
}
