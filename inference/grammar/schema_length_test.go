package grammar

import (
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

// TestLengths: bounds of length beside a format or a pattern leave out no string that they allow, and let none come that
// they do not.
func TestLengths(t *testing.T) {
	t.Parallel()
	v := toyVocabulary()
	address := func(n int) string { // of n characters, up to 255
		host := strings.Repeat("h", 62) + "." + strings.Repeat("o", 63) + "." + strings.Repeat("s", 63)
		local := strings.Repeat("l", 32) + "." + strings.Repeat("m", 15) + "." + strings.Repeat("n", 15)
		return `"` + local + "@" + host[255-n:] + `"`
	}
	place := func(n int) string {
		const head = "https://example.com/"
		return `"` + head + strings.Repeat("p", n-len(head)) + `"`
	}
	for _, c := range []struct {
		schema  string
		yes, no []string
	}{
		{`{"type":"string","format":"email","maxLength":254}`, []string{`"firstname.lastname@department.example.com"`, address(254)}, []string{address(255), `"a"`}},
		{`{"type":"string","format":"email","maxLength":254,"minLength":20}`, []string{`"firstname.lastname@department.example.com"`, address(254)}, []string{address(255), `"a@b.de"`}},
		{`{"type":"string","format":"uri","maxLength":2048}`, []string{place(120), place(2048)}, []string{place(2049)}},
		{`{"type":"string","format":"uuid","maxLength":36}`, []string{`"01234567-89ab-cdef-0123-456789abcdef"`}, nil},
		{`{"type":["string","null"],"format":"uuid","maxLength":35}`, []string{`null`}, []string{`"01234567-89ab-cdef-0123-456789abcdef"`}},
		{`{"type":"string","pattern":"^[a-z]+(-[a-z]+)*$","maxLength":5000}`, []string{`"a-b"`, `"` + strings.Repeat("a", 5000) + `"`}, []string{`"` + strings.Repeat("a", 5001) + `"`, `"a-"`}},
		{`{"type":"string","pattern":"^(\\n|xn)$","maxLength":1}`, []string{`"\n"`}, []string{`"xn"`}},
		{`{"enum":["ab","abcd","x"],"pattern":"^a","maxLength":3}`, []string{`"ab"`}, []string{`"abcd"`, `"x"`}},
		{`{"type":"object","additionalProperties":{"type":"null"},"propertyNames":{"pattern":"^a","maxLength":3}}`, []string{`{"abc":null}`}, []string{`{"abcd":null}`}},
	} {
		checkSchema(t, v, c.schema, c.yes, c.no)
	}
}

// TestLengthsBySize: all short strings of an alphabet against RE2 and their number of characters, and the masks on the way:
// none leads to where the rest does not fit in any more.
func TestLengthsBySize(t *testing.T) {
	t.Parallel()
	v := toyVocabulary()
	alphabet := []string{"a", "n", "é", "\n", `\`}
	var texts []string
	for level, from := 0, []string{""}; level <= 5; level++ {
		texts = append(texts, from...)
		var next []string
		for _, text := range from {
			for _, c := range alphabet {
				next = append(next, text+c)
			}
		}
		from = next
	}
	for _, pattern := range []string{`^(ana|é\n)+$`, `^(\n|an)*$`, `^(\\|éa)+n?$`, `nn`, `^a{2,4}$`} {
		matcher := regexp.MustCompile(pattern)
		for _, c := range []struct{ least, most int }{{0, 3}, {2, 4}, {4, 5}, {3, 3}, {0, 1000}} {
			schema := `{"anyOf":[{"const":null},{"type":"string","pattern":` + jsonString(pattern) + `,"minLength":` + itoa(c.least) + `,"maxLength":` + itoa(c.most) + `}]}`
			g := mustCompile(t, Constraint{Kind: KindJSONSchema, Text: schema}, v)
			for _, text := range texts {
				n := utf8.RuneCountInString(text)
				if got, want := matches(t, g, jsonString(text)), matcher.MatchString(text) && n >= c.least && n <= c.most; got != want {
					t.Errorf("%s: %q: %t", schema, text, got)
				}
			}
			random := rand.New(rand.NewPCG(7, 8))
			for range 20 {
				wander(t, g, v, random, 40)
			}
		}
	}
}

// TestLengthsOfFormatsAreCounted: not by states of an automaton, of which there would be states × length.
func TestLengthsOfFormatsAreCounted(t *testing.T) {
	t.Parallel()
	v := toyVocabulary()
	for _, name := range []string{"email", "uri"} {
		d, err := v.terminals().format(&value{kind: isString, text: name})
		if err != nil {
			t.Fatal(err)
		}
		m, err := measured(nil, d, v.terminals().text, 0)
		if err != nil || len(m.accepts) > 2*len(d.accepts) {
			t.Errorf("%s has %d states, counting %d: %v", name, len(d.accepts), len(m.accepts), err)
		}
	}
}
