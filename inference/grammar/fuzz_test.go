package grammar

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
)

// fuzz compiles what may be a constraint: it must be refused with an *Error, or lead every random walk somewhere.
func fuzz(f *testing.F, kind Kind, check func(t *testing.T, source, text string)) {
	v := toyVocabulary()
	f.Fuzz(func(t *testing.T, source string, seed uint64) {
		if len(source) > 4096 {
			return
		}
		g, err := Compile(nil, Constraint{Kind: kind, Text: source}, v)
		if err != nil {
			if _, ok := errors.AsType[*Error](err); !ok {
				t.Fatalf("%q: %v", source, err)
			}
			return
		}
		random := rand.New(rand.NewPCG(seed, 1))
		m, err := g.NewMatcher()
		if err != nil {
			return // ErrAmbiguous
		}
		mask := make([]uint64, v.words())
		var text []byte
		for range 30 {
			if err := m.Mask(mask); errors.Is(err, ErrAmbiguous) {
				return
			} else if err != nil {
				t.Fatal(err)
			}
			var allowed []uint32
			for id := range v.Size() {
				if mask[id>>6]>>(id&63)&1 != 0 {
					allowed = append(allowed, uint32(id))
				}
			}
			if len(allowed) == 0 {
				t.Fatalf("%q: nothing may follow %q", source, text)
			}
			id := allowed[random.IntN(len(allowed))]
			if v.text[id] == nil {
				check(t, source, string(text))
				return
			}
			if ok, err := m.Accept(id); err == nil && !ok {
				t.Fatalf("%q: %q may follow %q, and is not accepted", source, v.text[id], text)
			} else if err != nil {
				return
			}
			text = append(text, v.text[id]...)
		}
	})
}

func FuzzSchema(f *testing.F) {
	for _, s := range []string{
		`{}`, `{"type":"object","properties":{"a":{"type":"integer","minimum":-5,"multipleOf":3}},"required":["b"],"patternProperties":{"^x":{"const":1}},"additionalProperties":{"$ref":"#"}}`,
		`{"anyOf":[{"type":"string","pattern":"a|b\\S+","maxLength":9},{"type":"array","prefixItems":[true],"items":{"enum":[1,"é",null]},"minItems":1,"maxItems":70}]}`,
		`{"allOf":[{"$ref":"#/$defs/a"}],"oneOf":[{"const":1},{"const":2}],"$defs":{"a":{"type":["number","null"],"exclusiveMaximum":1.5e1}}}`,
		`{"type":"string","format":"date-time","minLength":3}`,
		`{"anyOf":[{"type":"string","format":"email","maxLength":25},{"type":"string","pattern":"^(\\n|xn\\\\|ab\")*$","minLength":2,"maxLength":7}]}`,
		`{"not":{"enum":[1,"a",{"b":[2]}],"type":["integer","string","object"],"pattern":"^\\d","required":["x"]},"if":{"multipleOf":0.5},"then":{"maximum":9},"else":{"oneOf":[{"minLength":2},{"maxLength":5},{"properties":{"y":false},"additionalProperties":false}]}}`,
		`{"type":"array","contains":{"type":"null"},"minContains":2,"maxContains":3,"items":{"enum":[null,1]},"uniqueItems":false,"maxItems":6}`,
		`{"type":"array","items":{"enum":[1,2,3,4,5,6,7,8,9,10]},"uniqueItems":true,"minItems":2}`,
		`{"$id":"http://a/b","unevaluatedProperties":false,"anyOf":[{"properties":{"a":{"$ref":"c#x"}}},{"$ref":"#/$defs/d"}],"dependentRequired":{"a":["e"]},"dependentSchemas":{"e":{"minProperties":2}},"propertyNames":{"not":{"pattern":"z"}},"$defs":{"c":{"$id":"c","$anchor":"x"},"d":{"patternProperties":{"^k":{}}}}}`,
	} {
		f.Add(s, uint64(1))
	}
	fuzz(f, KindJSONSchema, func(t *testing.T, source, text string) {
		if !json.Valid([]byte(text)) {
			t.Fatalf("%q leads to %q, which is not JSON", source, text)
		}
	})
}

func FuzzRegex(f *testing.F) {
	for _, s := range []string{`a+b?|[0-9]{2,5}`, `(ab|a|bc)*c?$`, `^.{3,7}`, `(?i)n\x{e9}\pL[^\S]`, `((a{1,9}){1,9}){1,9}`, ``} {
		f.Add(s, uint64(1))
	}
	fuzz(f, KindRegex, func(*testing.T, string, string) {})
}

func FuzzGrammar(f *testing.F) {
	for _, s := range []string{
		"root ::= expr # all\nexpr ::= term (\"+\" term)*\nterm ::= [0-9]+ | \"(\" expr \")\" | expr \"a\"\n",
		"root ::= [a-c]{2,300} \"x\"? .{1} \"\\u00e9\" [^a-z\\n]{2} root?",
		"start: sum\n?sum: product | sum \"+\" product -> add\nproduct: atom\n  | product \"*\" atom\natom: NUMBER | \"(\" sum \")\"\nNUMBER: /[0-9]+/i\n%ignore \" \"\n",
		"start: (A ~ 2..3 \"x\"..\"z\")* [B]\nA: \"a\" | \"b\"\nB.2: A A+ /c?/ // three\n%import common.WS -> B2\n%ignore B2",
		"root ::= a b\na ::= b? a \"x\" | b\nb ::= a | \"b\" | \"\"", //nolint:dupword // not words
		"%json s {\"a\": [{\"type\": \"null\"}, {\"$ref\": \"#/b~1\"}], \"b/\": {\"const\": 1}}\nstart: %json s#\"/a/1\" %json s#\"/a/0\" | %json s\n",
		"start: \"a\" %json {\"enum\": [1, \"b\"]} x?\nx: \"<\" %json {\"type\": \"array\"}\n%ignore \" \"",
	} {
		f.Add(s, uint64(1))
	}
	fuzz(f, KindGrammar, func(*testing.T, string, string) {})
}

// TestBounds: what would take too much time or memory is refused, or answered within bounds. The test's own time is its
// assertion: each of these would otherwise not end.
func TestBounds(t *testing.T) {
	t.Parallel()
	v := toyVocabulary()
	nested := strings.Repeat(`{"type":"array","items":`, 150) + `{}` + strings.Repeat(`}`, 150)
	var enum, properties []string
	for i := range 50_000 {
		enum = append(enum, `"v`+itoa(i)+`"`)
	}
	for i := range 2_000 {
		properties = append(properties, `"p`+itoa(i)+`":{"type":"integer"}`)
	}
	for name, c := range map[string]struct {
		constraint Constraint
		compiles   bool
	}{
		"nested arrays":        {Constraint{Kind: KindJSONSchema, Text: nested}, true},
		"nested too deep":      {Constraint{Kind: KindJSONSchema, Text: strings.Repeat(`{"items":`, 5000) + `{}` + strings.Repeat(`}`, 5000)}, false},
		"giant enum":           {Constraint{Kind: KindJSONSchema, Text: `{"enum":[` + strings.Join(enum, ",") + `]}`}, true},
		"enum over the limit":  {Constraint{Kind: KindJSONSchema, Text: `{"enum":[` + strings.Join(enum, ",") + "," + strings.Join(enum, ",") + "," + strings.Join(enum[:5], ",") + `]}`}, false},
		"many properties":      {Constraint{Kind: KindJSONSchema, Text: `{"type":"object","properties":{` + strings.Join(properties, ",") + `}}`}, true},
		"counted properties":   {Constraint{Kind: KindJSONSchema, Text: `{"type":"object","minProperties":1000,"additionalProperties":false,"properties":{` + strings.Join(properties, ",") + `}}`}, false},
		"references in a ring": {Constraint{Kind: KindJSONSchema, Text: `{"$ref":"#/$defs/a","$defs":{"a":{"$ref":"#/$defs/b"},"b":{"$ref":"#/$defs/a"}}}`}, true},
		"required recursion":   {Constraint{Kind: KindJSONSchema, Text: `{"type":"object","properties":{"a":{"$ref":"#"}},"required":["a"]}`}, false},
		"long arrays":          {Constraint{Kind: KindJSONSchema, Text: `{"type":"array","items":{"type":"null"},"minItems":1000000}`}, true},
		"long strings":         {Constraint{Kind: KindJSONSchema, Text: `{"type":"string","minLength":500000,"maxLength":1000000}`}, true},
		"all of any of":        {Constraint{Kind: KindJSONSchema, Text: `{"allOf":[` + strings.Repeat(`{"anyOf":[{"minimum":1},{"minimum":2},{"minimum":3},{"minimum":4}]},`, 12) + `{}]}`}, false},
		"nested quantifiers":   {Constraint{Kind: KindRegex, Text: `((((a{0,30}b?){0,30})c?){0,30}d?){0,30}`}, false},
		"many states":          {Constraint{Kind: KindRegex, Text: `(a|b)*a(a|b){25}`}, false},
		"Unicode classes":      {Constraint{Kind: KindRegex, Text: `(\pL\pN?\pS*){1,20}`}, true},
		"long":                 {Constraint{Kind: KindRegex, Text: strings.Repeat("a", MaxSource+1)}, false},
		"deep parentheses":     {Constraint{Kind: KindGrammar, Text: "root ::= " + strings.Repeat("(", 5000) + `"a"` + strings.Repeat(")", 5000)}, false},
		"counts of counts":     {Constraint{Kind: KindGrammar, Text: `root ::= ((("a" b){1,1000000}){1,1000000}){1,1000000}` + "\nb ::= \"b\" | \"(\" b \")\""}, true},
		"empty repetitions":    {Constraint{Kind: KindGrammar, Text: `root ::= (("a"? b){1,5000}){1,5000} "c"` + "\nb ::= \"(\" b \")\" | \"\""}, false}, //nolint:dupword // not words
	} {
		g, err := Compile(nil, c.constraint, v)
		if (err == nil) != c.compiles {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil {
			if _, ok := errors.AsType[*Error](err); !ok {
				t.Errorf("%s: %v is no *Error", name, err)
			}
			continue
		}
		m, err := g.NewMatcher()
		if err == nil {
			err = m.Mask(make([]uint64, v.words()))
		}
		if err != nil && !errors.Is(err, ErrAmbiguous) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestAmbiguous: a grammar that reads a text in ever more ways ends with ErrAmbiguous, not in memory.
func TestAmbiguous(t *testing.T) {
	t.Parallel()
	v := toyVocabulary()
	g := mustCompile(t, Constraint{Kind: KindGrammar, Text: "root ::= s\ns ::= \"a\" s \"b\" | \"a\" s \"c\" | \"a\" s s | \"a\"\n"}, v) //nolint:dupword // not words
	m := mustMatcher(t, g)
	for range 10_000 {
		ok, err := m.AcceptBytes([]byte("a"))
		if errors.Is(err, ErrAmbiguous) {
			return
		}
		if !ok || err != nil {
			t.Fatal(ok, err)
		}
	}
}
