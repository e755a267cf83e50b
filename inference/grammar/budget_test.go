package grammar

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// doubling is rules of nothing but rules, that call 2^n times an empty one.
func doubling(n int, name, is, empty string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "%s%d%s %s%d %s%d\n", name, i, is, name, i+1, name, i+1)
	}
	return b.String() + fmt.Sprintf("%s%d%s %s\n", name, n, is, empty)
}

// heavy is an expression whose automaton has 2^n states.
func heavy(n int) string { return fmt.Sprintf(`(a|b)*a(a|b){%d}`, n) }

// allocated is how many bytes compiling a constraint takes from the heap, all together.
func allocated(t *testing.T, c Constraint, v *Vocabulary) (g *Grammar, bytes uint64, err error) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	g, err = Compile(nil, c, v)
	runtime.ReadMemStats(&after)
	return g, after.TotalAlloc - before.TotalAlloc, err
}

// TestCompileIsBounded: no part of these exceeds a limit of its own. Each would take hours or more memory than there is
// without a bound of all parts; what they take from the heap is the assertion.
func TestCompileIsBounded(t *testing.T) {
	v := toyVocabulary()
	references := func(n int, schema string) string {
		var properties []string
		for i := range n {
			properties = append(properties, fmt.Sprintf(`"p%d":{"$ref":"#/$defs/p"}`, i))
		}
		return `{"$defs":{"p":` + schema + `},"type":"object","properties":{` + strings.Join(properties, ",") + `}}`
	}
	var distinct, listed, names []string
	for i := range 200 {
		distinct = append(distinct, fmt.Sprintf(`"p%d":{"type":"string","pattern":"^%s%d$"}`, i, heavy(11), i))
	}
	for i := range 5_000 {
		listed = append(listed, fmt.Sprintf(`"value %d"`, i))
	}
	for i := range 300 {
		names = append(names, fmt.Sprintf(`"n%d"`, i))
	}
	tagged := func(k int) string {
		return fmt.Sprintf(`{"type":"object","required":[%s,"k"],"patternProperties":{"^%s$":true},"properties":{"k":{"const":%d}}}`, strings.Join(names, ","), heavy(8), k)
	}
	var typed []string
	for i := range 1_000 {
		typed = append(typed, fmt.Sprintf(`"p%d":{"$ref":"#/$defs/p","type":"string","maxLength":%d}`, i, 100+i))
	}
	var counted []string
	for i := range 141 {
		counted = append(counted, fmt.Sprintf(`"a%d":{}`, i))
	}
	const demand = `{"not":{"propertyNames":{"pattern":"^a%d"}}},`
	demands := fmt.Sprintf(demand, 1) + fmt.Sprintf(demand, 2) + fmt.Sprintf(demand, 3)
	for name, c := range map[string]struct {
		constraint Constraint
		compiles   bool
		megabytes  uint64
	}{
		"empty rules of GBNF":         {Constraint{Kind: KindGrammar, Text: "root ::= a0+ \"x\"\n" + doubling(40, "a", " ::=", `""`)}, false, 50},
		"empty terminals of Lark":     {Constraint{Kind: KindGrammar, Text: "start: A0 \"x\"\n" + doubling(40, "A", ":", `""`)}, false, 50},
		"empty repetitions":           {Constraint{Kind: KindGrammar, Text: "root ::= (r \"\")" + strings.Repeat("{4}", 150) + "\nr ::= \"(\" r \")\" | \"\"\n"}, false, 400},
		"many signs of repetition":    {Constraint{Kind: KindGrammar, Text: `root ::= "a"` + strings.Repeat("+", 1<<20-100) + "\n"}, false, 50},
		"signs of repetition":         {Constraint{Kind: KindGrammar, Text: `root ::= "a"` + strings.Repeat("+*?", 60) + "\n"}, true, 50},
		"signs of repetition of Lark": {Constraint{Kind: KindGrammar, Text: `start: "a"` + strings.Repeat("+", 100_000) + "\n"}, false, 50},
		"a long row of choices":       {Constraint{Kind: KindGrammar, Text: "root ::= r " + strings.Repeat(`("a"|"b"|r) `, 8_000) + "\nr ::= \"(\" r \")\" | \"c\"\n"}, true, 400},
		"a long name over many":       {Constraint{Kind: KindJSONSchema, Text: `{"` + strings.Repeat("k", 100_000) + `":[0` + strings.Repeat(",0", 100_000) + `]}`}, true, 200},
		"an enum beside a pattern":    {Constraint{Kind: KindJSONSchema, Text: `{"type":"string","pattern":"` + heavy(9) + `","enum":["a"` + strings.Repeat(`,"a"`, 20_000) + `,"` + strings.Repeat("a", 11) + `"]}`}, true, 200},
		"references to a pattern":     {Constraint{Kind: KindJSONSchema, Text: references(5_000, `{"type":"string","pattern":"^`+heavy(10)+`$"}`)}, true, 400},
		"references to a list":        {Constraint{Kind: KindJSONSchema, Text: references(5_000, `{"enum":[`+strings.Join(listed, ",")+`]}`)}, true, 400},
		"many patterns":               {Constraint{Kind: KindJSONSchema, Text: `{"type":"object","properties":{` + strings.Join(distinct, ",") + `}}`}, false, 1000},
		"many combined lists":         {Constraint{Kind: KindJSONSchema, Text: `{"$defs":{"p":{"enum":[` + strings.Join(listed, ",") + `]}},"type":"object","properties":{` + strings.Join(typed, ",") + `}}`}, false, 1000},
		"counted properties that must fail": {Constraint{Kind: KindJSONSchema, Text: `{"type":"object","additionalProperties":false,"properties":{` + strings.Join(counted, ",") +
			`},"maxProperties":141,"allOf":[` + demands + strings.Repeat(`{"minProperties":0},`, 15_000) + `{}]}`}, false, 400},
		"first items that must fail": {Constraint{Kind: KindJSONSchema, Text: `{"type":"array","not":{"prefixItems":[{"const":1}` + strings.Repeat(`,{"const":1}`, 15_000) + `]}}`}, false, 300},
		"many schemas in a grammar":  {Constraint{Kind: KindGrammar, Text: "start: " + strings.Repeat("%json {} ", 100_000)}, false, 400},
		"names in oneOf":             {Constraint{Kind: KindJSONSchema, Text: `{"oneOf":[` + tagged(1) + "," + tagged(2) + `]}`}, true, 400},
	} {
		_, bytes, err := allocated(t, c.constraint, v)
		if (err == nil) != c.compiles {
			t.Errorf("%s: %v", name, err)
		}
		if _, ok := errors.AsType[*Error](err); err != nil && !ok {
			t.Errorf("%s: %v is no *Error", name, err)
		}
		t.Logf("%s: %d MB", name, bytes>>20)
		if bytes>>20 > c.megabytes {
			t.Errorf("%s takes %d MB, more than %d", name, bytes>>20, c.megabytes)
		}
	}
}

// TestCompileStops: compiling ends with its context, whatever it is at.
func TestCompileStops(t *testing.T) {
	t.Parallel()
	v := toyVocabulary()
	cause := errors.New("gone")
	for name, c := range map[string]Constraint{
		"expression": {Kind: KindRegex, Text: heavy(11)},
		"grammar":    {Kind: KindGrammar, Text: "root ::= (\"a\" root)* | [^\\n]{1,40} \"b\"\n"},
		"Lark":       {Kind: KindGrammar, Text: "start: A+\nA: /" + heavy(9) + "/\n"},
		"schema":     {Kind: KindJSONSchema, Text: `{"type":"string","pattern":"` + heavy(9) + `"}`},
		"choice":     {Kind: KindChoice, Choices: []string{"a", "b"}},
	} {
		if _, err := Compile(func() error { return cause }, c, v); !errors.Is(err, cause) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestStopIsAskedAgain: not only at the beginning.
func TestStopIsAskedAgain(t *testing.T) {
	t.Parallel()
	asked := 0
	b := &budget{stop: func() error { asked++; return nil }}
	if _, err := compileRegexp(b, heavy(12)); err != nil || asked == 0 {
		t.Errorf("asked %d times; %v", asked, err)
	}
}

// TestAnalysisIsBounded: each pass through a rule's places counts. Here each finds out about one place.
func TestAnalysisIsBounded(t *testing.T) {
	t.Parallel()
	const places = 12_000
	r := &rule{nodes: make([]*node, places)}
	for i := range r.nodes {
		r.nodes[i] = &node{}
		if i > 0 { // the analysis goes backwards, away from the end
			r.nodes[i].eps = []*node{r.nodes[i-1]}
		}
	}
	r.nodes[0].accepts, r.start = true, r.nodes[places-1]
	b := &builder{rules: []*rule{r}}
	b.nullables()
	if _, ok := errors.AsType[*Error](b.err); !ok || b.work > maxAnalysis+2*places {
		t.Errorf("%d steps; %v", b.work, b.err)
	}
}
