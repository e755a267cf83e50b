package grammar

import (
	"errors"
	"math/rand/v2"
	"testing"
)

func TestGrammars(t *testing.T) {
	t.Parallel()
	v := toyVocabulary()
	for _, c := range []struct {
		name, grammar string
		yes, no       []string
	}{
		{
			"gbnf arithmetic", "root ::= expr # all\nexpr ::= term (\"+\" term)*\nterm ::= [0-9]+ | (\"(\" expr\n  \")\")\n",
			[]string{`1`, `1+2`, `(1+23)+4`},
			[]string{``, `1+`, `(1`, `1)`},
		},
		{
			"gbnf counts", `root ::= [a-c]{2,3} "x"? .{1} "\u00e9" [^a-z\n]{2}`,
			[]string{`abxéé12`, `abc€éAB`},
			[]string{`abxé1`, "abxéé1\n"},
		},
		{
			"gbnf json", "root ::= value\nvalue ::= \"{\" (str \":\" value (\",\" str \":\" value)*)? \"}\" | str | [0-9]+\nstr ::= \"\\\"\" char* \"\\\"\"\nchar ::= [^\"\\\\] | \"\\\\\" [\"\\\\nu]\n", //nolint:dupword // not words
			[]string{`{"a":{"b":12}}`, `"a\"b"`}, []string{`{"a":}`},
		},
		{
			"gbnf left recursion", "root ::= e\ne ::= e \"+\" t | e \"a\" e | t\nt ::= t \"(\" e \")\" | [0-9]", //nolint:dupword // not words
			[]string{`1`, `1+2`, `1a2a3+4`, `1(2+3)(4)`}, []string{`+1`, `1+`, `(1)`},
		},
		{
			"gbnf indirect left recursion", "root ::= a \"|\"\na ::= b \"x\" | \"1\"\nb ::= c \"y\" | \"2\"\nc ::= a \"z\" | b \"w\"",
			[]string{`1|`, `2x|`, `1zyx|`, `2wyx|`, `1zywyx|`, `2xzyx|`},
			[]string{`1zy|`, `x|`, `1x|`},
		},
		{
			"lark with schemas", "start: \"a\" %json {\"type\": \"integer\",\n \"maximum\": 9, \"minimum\": 0} \"b\" | obj \"!\"\nobj: %json {\"const\": {\"x\": \"}\"}}\n",
			[]string{`a5b`, `{"x":"}"}!`},
			[]string{`a10b`, `ab`, `{"x":"}"}`},
		},
		{
			"lark with parts of a schema", "%json s {\"$defs\": {\"n\": {\"type\": \"integer\", \"minimum\": 0}},\n \"a/b\": [{\"$ref\": \"#/$defs/n\"}], \"c%25\": {\"enum\": [null, \"x\"]}}\nstart: \"a\" %json s#\"/a~1b/0\" \"b\" | %json s#\"/c%25\" \"!\" | \"s\" %json s\n",
			[]string{`a5b`, `null!`, `"x"!`, `s[1]`},
			[]string{`a-5b`, `1!`, `s`},
		},
		{
			"lark arithmetic", "start: sum\n?sum: product | sum \"+\" product -> add\nproduct: atom\n  | product \"*\" atom\natom: NUMBER | \"(\" sum \")\"\nNUMBER: /[0-9]+/\n%ignore \" \"\n",
			[]string{`1`, `1 + 2`, `(1+2 )* 3 `, ` 12`},
			[]string{``, `1 2`, `1+`},
		},
		{
			"lark library", "start: (pair (\",\" pair)*)?\npair: CNAME \"=\" value\nvalue: ESCAPED_STRING | SIGNED_NUMBER | \"YES\"i\n%import common.CNAME\n%import common (ESCAPED_STRING, SIGNED_NUMBER)\n%import common.WS\n%ignore WS\n",
			[]string{``, `a=1`, `a = "x", b=-1.5e3`, `a=yEs`},
			[]string{`a=`, `=1`},
		},
		{
			"lark counts", "start: A ~ 2 \"x\"..\"z\" ~ 1..2 [B]\nA: \"a\" | \"b\"\nB.2: A A+ /c?/ // three\n",
			[]string{`abx`, `aayzbb`, `aazaac`},
			[]string{`ax`, `aaxyz`, `aaxa`},
		},
	} {
		g, err := Compile(nil, Constraint{Kind: KindGrammar, Text: c.grammar}, v)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		for _, text := range c.yes {
			if !matches(t, g, text) {
				t.Errorf("%s refuses %q", c.name, text)
			}
		}
		for _, text := range c.no {
			if matches(t, g, text) {
				t.Errorf("%s takes %q", c.name, text)
			}
		}
		random := rand.New(rand.NewPCG(5, 6))
		for range 20 {
			wander(t, g, v, random, 25)
		}
	}
}

func TestGrammarsRefused(t *testing.T) {
	t.Parallel()
	v := toyVocabulary()
	for _, source := range []string{
		"", "root ::= a", "root ::= (", "root ::= [a", "root ::= \"a", "root ::= root \"a\"", "root ::= \"a\" root",
		"root ::= e root \"x\" | \"y\"\ne ::= \"z\"?", "root ::= \"a\"{3,2}", "root ::= \"a\"{1,99999999}", "x ::= \"a\"",
		"root ::= \"a\"\nroot ::= \"b\"", "start: a", "start: \"a\" /(?=a)/", "start: X\nX: \"a\" X | \"b\"", "%declare X\nstart: X",
		"start: a{b}\n", "start: \"a\" ~ 2..1", "start: <|im_end|>",
		"start: %json s", "start: %json s#\"/a\"\n%json s {\"a\": true}", "%json s {\"a\": true}\nstart: %json s#\"/b\"", "%json s {}\n%json s {}\nstart: %json s",
		"%json s {\"a\": true}\nstart: %json s#\"a\"", "%json s {\"a\": true}\nstart: %json s#/a/", "%json 5 {}\nstart: %json 5", "%json s {\nstart: \"a\"",
	} {
		_, err := Compile(nil, Constraint{Kind: KindGrammar, Text: source}, v)
		if _, ok := errors.AsType[*Error](err); !ok {
			t.Errorf("%q: %v", source, err)
		}
	}
}
