package grammar

import (
	"regexp/syntax"
	"strings"
	"sync"
	"unicode"
)

// jsonDFAs are the terminals of JSON without further conditions. All grammars of a vocabulary share them, and what is
// known of their masks.
type jsonDFAs struct {
	text, number, integer *dfa
	name                  *dfa // strings with no more escapes than they need
	space                 *dfa // nothing, a blank, or the end of a line and an indent, whose characters it counts

	mu      sync.Mutex
	formats map[string]*dfa // guarded by mu
}

// Patterns of numbers: their digits are bounded, so that every one comes to an end and none is beyond what readers of JSON
// keep exactly, or at all.
const (
	integerPattern = `-?(?:0|[1-9][0-9]{0,18})`
	numberPattern  = integerPattern + `(?:\.[0-9]{1,19})?(?:[eE][+-]?[0-9]{1,2})?`
)

// terminals are the vocabulary's terminals of JSON.
func (v *Vocabulary) terminals() *jsonDFAs {
	v.json.Do(func() {
		share := func(d *dfa, err error) *dfa {
			if err != nil {
				panic("grammar: " + err.Error()) // of a pattern of ours
			}
			return d.share(",:]} \n")
		}
		v.jsonDFAs.space = share(compileRegexp(nil, ` |(?:\n[ \t]*)?`))
		v.jsonDFAs.space.share("\"{[]}-0123456789tfn")
		v.jsonDFAs.space.countFrom(v.jsonDFAs.space.step(0, '\n'))
		v.jsonDFAs.text = share(jsonText())
		v.jsonDFAs.number = share(compileRegexp(nil, numberPattern))
		v.jsonDFAs.integer = share(compileRegexp(nil, integerPattern))
		v.jsonDFAs.name = share(contentDFA(nil, &syntax.Regexp{Op: syntax.OpEmptyMatch}))
		v.jsonDFAs.formats = map[string]*dfa{}
	})
	return &v.jsonDFAs
}

// share makes a terminal one that grammars share, behind which only some bytes are looked at.
func (d *dfa) share(follow string) *dfa {
	d.shared = true
	d.follow = byteSet{}
	for _, b := range []byte(follow) {
		d.follow.add(b)
	}
	return d
}

// jsonText is the automaton of JSON strings in all their spellings. An escaped surrogate comes as a pair.
func jsonText() (*dfa, error) {
	const escape = `\\(?:["\\/bfnrt]|u(?:[0-9a-cefA-CEF][0-9a-fA-F]{3}|[dD][0-7][0-9a-fA-F]{2}|[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}))`
	d, err := compileRegexp(nil, `"(?:[^"\\\x00-\x1F]|`+escape+`)*"`)
	if err != nil {
		return nil, err
	}
	loop := d.step(0, '"')
	d.countFrom(loop)
	d.close = d.step(loop, '"')
	return d, nil
}

// jsonEscape is a character as a JSON string has it.
func jsonEscape(r rune) string {
	switch r {
	case '"':
		return `\"`
	case '\\':
		return `\\`
	case '\b':
		return `\b`
	case '\f':
		return `\f`
	case '\n':
		return `\n`
	case '\r':
		return `\r`
	case '\t':
		return `\t`
	}
	if r < ' ' {
		const digits = "0123456789abcdef"
		return `\u00` + string(digits[r>>4]) + string(digits[r&15])
	}
	return string(r)
}

// jsonString is a text as a JSON string.
func jsonString(text string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range text {
		b.WriteString(jsonEscape(r))
	}
	b.WriteByte('"')
	return b.String()
}

// maxIndent is how much a line of JSON may be indented.
const maxIndent = 32

// jsonRules are the rules of JSON without a schema.
type jsonRules struct {
	value, object, array         *rule
	space, text, number, integer *terminal
}

func newJSONRules(v *Vocabulary) *jsonRules {
	d := v.terminals()
	j := &jsonRules{}
	j.text = &terminal{dfa: d.text, counts: true, max: -1}
	j.number = &terminal{dfa: d.number}
	j.integer = &terminal{dfa: d.integer}
	j.space = &terminal{dfa: d.space, counts: true, max: maxIndent}
	j.value, j.object, j.array = &rule{name: "value"}, &rule{name: "object"}, &rule{name: "array"}
	j.value.body = choice{
		reference{j.object},
		reference{j.array},
		token{j.text},
		token{j.number},
		literal("true"), literal("false"), literal("null"),
	}
	space := token{j.space}
	pair := sequence{token{j.text}, literal(":"), space, reference{j.value}}
	j.object.body = j.list("{", pair, "}")
	j.array.body = j.list("[", reference{j.value}, "]")
	return j
}

// list is any number of items between brackets.
func (j *jsonRules) list(left string, item expr, right string) expr {
	space := token{j.space}
	return sequence{
		literal(left), space,
		choice{
			literal(right),
			sequence{item, repeated{sequence{literal(","), space, item}, 0, -1}, space, literal(right)},
		},
	}
}

// contentDFA makes the automaton of JSON strings in which an expression is found, written with no more escapes than they
// need.
func contentDFA(limit *budget, e *syntax.Regexp) (*dfa, error) {
	n := &nfa{json: true, budget: limit}
	anyRune := &syntax.Regexp{Op: syntax.OpCharClass, Rune: []rune{0, unicode.MaxRune}}
	anything := &syntax.Regexp{Op: syntax.OpStar, Sub: []*syntax.Regexp{anyRune}}
	whole := &syntax.Regexp{Op: syntax.OpConcat, Sub: []*syntax.Regexp{anything, e, anything}}
	from, err := n.state()
	if err != nil {
		return nil, err
	}
	to, err := n.add(from, whole)
	if err != nil {
		return nil, err
	}
	d, err := n.determine(from, to)
	if err != nil {
		return nil, err
	}
	return quoted(limit, d)
}

// quoted is the automaton of what another accepts between quotes, which it accepts at the beginning of a character only.
func quoted(limit *budget, d *dfa) (*dfa, error) {
	if d.empty() {
		return d, nil
	}
	states := len(d.accepts)
	q := &dfa{class: d.class, classes: d.classes + 1, budget: limit}
	q.class['"'] = uint8(d.classes)
	row := func(s int) []int32 { return q.next[s*q.classes : (s+1)*q.classes] }
	q.next = make([]int32, (states+2)*q.classes)
	for i := range q.next {
		q.next[i] = dead
	}
	q.accepts = make([]bool, states+2)
	end := int32(states + 1)
	q.accepts[end] = true
	row(0)[d.classes] = 1
	for s := range states {
		for c := range d.classes {
			if to := d.next[s*d.classes+c]; to != dead {
				row(s + 1)[c] = to + 1
			}
		}
		if to := d.step(int32(s), '"'); to != dead {
			row(s + 1)[d.classes] = to + 1
		} else if d.accepts[s] {
			row(s + 1)[d.classes] = end
		}
	}
	return q.finish()
}
