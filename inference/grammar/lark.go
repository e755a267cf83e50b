package grammar

import (
	"regexp/syntax"
	"strings"
	"unicode"
)

// lark reads the notation of the parser library Lark, as far as it describes a language: what it says of trees (aliases,
// priorities, the signs ? and ! before names) changes nothing here.
type lark struct {
	scanner
	symbols    *symbols
	ignored    []string
	budget     *budget
	vocabulary *Vocabulary // of the schemas behind %json
	schemas    map[string]*schemas
}

// larkCommon are the terminals of Lark's own library, common.lark.
var larkCommon = map[string]string{ //nolint:gochecknoglobals // a constant in all but Go's grammar
	"DIGIT": `[0-9]`, "HEXDIGIT": `[a-fA-F0-9]`, "INT": `[0-9]+`, "SIGNED_INT": `[+-]?[0-9]+`,
	"DECIMAL": `[0-9]+\.[0-9]*|\.[0-9]+`, "FLOAT": `[0-9]+[eE][+-]?[0-9]+|(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?`,
	"SIGNED_FLOAT":   `[+-]?(?:[0-9]+[eE][+-]?[0-9]+|(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)`,
	"NUMBER":         `[0-9]+[eE][+-]?[0-9]+|(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[0-9]+`,
	"SIGNED_NUMBER":  `[+-]?(?:[0-9]+[eE][+-]?[0-9]+|(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[0-9]+)`,
	"ESCAPED_STRING": `"(?:[^"\\\n]|\\.)*"`, "LCASE_LETTER": `[a-z]`, "UCASE_LETTER": `[A-Z]`, "LETTER": `[a-zA-Z]`,
	"WORD": `[a-zA-Z]+`, "CNAME": `[_a-zA-Z][_a-zA-Z0-9]*`, "WS_INLINE": `[ \t]+`, "WS": `[ \t\f\r\n]+`, "CR": `\r`,
	"LF": `\n`, "NEWLINE": `(?:\r?\n)+`, "SH_COMMENT": `#[^\n]*`, "CPP_COMMENT": `//[^\n]*`, "SQL_COMMENT": `--[^\n]*`,
}

// parseLark makes the rule "start" of a grammar in Lark's notation.
func parseLark(limit *budget, text string, v *Vocabulary) (*rule, error) {
	p := &lark{symbols: newSymbols(), budget: limit, vocabulary: v, schemas: map[string]*schemas{}}
	p.text = text
	p.lines()
	for p.at < len(p.text) {
		if err := p.statement(); err != nil {
			return nil, err
		}
		p.lines()
	}
	start := p.symbols.byName["start"]
	if start == nil {
		return nil, errorf("there is neither a rule named start (Lark) nor ::= behind a name (GBNF)")
	}
	if err := p.symbols.complete(); err != nil {
		return nil, err
	}
	return p.finish(start)
}

// isTerminal says whether a name is that of a terminal.
func isTerminal(name string) bool {
	name = strings.TrimLeft(name, "_")
	return name != "" && unicode.IsUpper(rune(name[0]))
}

// finish makes terminals of what is regular and puts what is ignored before each.
func (p *lark) finish(start *rule) (*rule, error) {
	z := newRegulariser(p.budget)
	automata := map[*rule]*terminal{}
	for _, r := range p.symbols.order {
		if !isTerminal(r.name) {
			continue
		}
		if !z.is(reference{r}) {
			return nil, &Error{Reason: "a terminal calls itself or a rule", Where: r.name}
		}
		d, err := regularDFA(p.budget, nil, r.body)
		if err != nil {
			reason := "a terminal is not regular"
			if e, ok := err.(*Error); ok { //nolint:errorlint // ours, never wrapped
				reason = e.Reason
			}
			return nil, &Error{Reason: reason, Where: r.name}
		}
		automata[r] = &terminal{dfa: d}
	}
	var skip expr
	if len(p.ignored) > 0 {
		var kinds choice
		for _, name := range p.ignored {
			t := automata[p.symbols.rule(name)]
			if t == nil {
				return nil, &Error{Reason: "what %ignore names is not a terminal", Where: name}
			}
			kinds = append(kinds, token{t})
		}
		skip = reference{&rule{name: "ignored", body: repeated{kinds, 0, -1}}}
	}
	l := &larkLinker{budget: p.budget, automata: automata, skip: skip}
	for _, r := range p.symbols.order {
		if !isTerminal(r.name) {
			r.body = l.link(r.body)
		}
	}
	if l.err != nil {
		return nil, l.err
	}
	if skip == nil {
		return start, nil
	}
	return &rule{name: "text", body: sequence{reference{start}, skip}}, nil
}

// larkLinker replaces the terminals in rules by their automata.
type larkLinker struct {
	budget   *budget
	automata map[*rule]*terminal
	skip     expr // what is ignored; nil: nothing
	err      error
}

// behind puts what is ignored before a terminal.
func (l *larkLinker) behind(e expr) expr {
	if l.skip == nil {
		return e
	}
	return sequence{l.skip, e}
}

func (l *larkLinker) link(e expr) expr {
	switch e := e.(type) {
	case literal, class:
		return l.behind(e)
	case pattern:
		d, err := regularDFA(l.budget, nil, e)
		if err != nil {
			if l.err == nil {
				l.err = err
			}
			return nothing{}
		}
		return l.behind(token{&terminal{dfa: d}})
	case reference:
		if t := l.automata[e.rule]; t != nil {
			return l.behind(token{t})
		}
	case sequence:
		for i, sub := range e {
			e[i] = l.link(sub)
		}
	case choice:
		for i, sub := range e {
			e[i] = l.link(sub)
		}
	case repeated:
		return repeated{l.link(e.of), e.min, e.max}
	}
	return e
}

// blanks skips blanks and comments within a line.
func (p *lark) blanks() {
	for p.at < len(p.text) {
		switch c := p.peek(); {
		case c == ' ' || c == '\t' || c == '\r':
			p.at++
		case c == '#' || p.has("//"):
			for p.at < len(p.text) && p.peek() != '\n' {
				p.at++
			}
		default:
			return
		}
	}
}

// lines skips ends of lines too.
func (p *lark) lines() {
	for p.blanks(); p.peek() == '\n'; p.blanks() {
		p.at++
	}
}

func (p *lark) statement() error {
	if p.take("%") {
		return p.directive(p.name())
	}
	for p.peek() == '?' || p.peek() == '!' {
		p.at++
	}
	name := p.name()
	if name == "" {
		return p.fail("a statement must begin with the name of a rule or a terminal")
	}
	if p.take(".") { // a priority
		p.take("-")
		if _, ok := p.number(); !ok {
			return p.fail("a priority must be a number")
		}
	}
	if p.peek() == '{' {
		return p.fail("templates are not supported")
	}
	p.blanks()
	if !p.take(":") {
		return p.fail("the name of a rule or a terminal must be followed by a colon")
	}
	r := p.symbols.rule(name)
	if p.symbols.defined[r] {
		return p.fail("a rule is defined twice")
	}
	p.symbols.defined[r] = true
	body, err := p.alternatives()
	r.body = body
	return err
}

func (p *lark) directive(name string) error {
	p.blanks()
	switch name {
	case "ignore":
		return p.ignore()
	case "import":
		return p.imports()
	case "json":
		return p.named()
	}
	return p.fail("this directive is not supported: only %%ignore, %%import common and %%json are")
}

// ignore reads what may stand between any two terminals.
func (p *lark) ignore() error {
	e, err := p.alternatives()
	if err != nil {
		return err
	}
	name := "IGNORED " + itoa(len(p.ignored))
	r := p.symbols.rule(name)
	r.body = e
	p.symbols.defined[r] = true
	p.ignored = append(p.ignored, name)
	return nil
}

// imports reads names of Lark's own library.
func (p *lark) imports() error {
	if !p.take("common") {
		return p.fail("only %%import common.NAME is supported")
	}
	p.blanks()
	names := []string{}
	list := p.take("(")
	if !list && !p.take(".") {
		return p.fail("only %%import common.NAME is supported")
	}
	for {
		p.blanks()
		name := p.name()
		if larkCommon[name] == "" {
			return p.fail("common has no terminal of this name, or it is not supported")
		}
		names = append(names, name)
		p.blanks()
		if !list || !p.take(",") {
			break
		}
	}
	if list && !p.take(")") {
		return p.fail("a parenthesis is not closed")
	}
	as := ""
	if p.take("->") {
		p.blanks()
		if as = p.name(); as == "" || len(names) != 1 {
			return p.fail("a name must follow ->")
		}
	}
	for _, name := range names {
		e, err := syntax.Parse(larkCommon[name], syntax.Perl)
		if err != nil {
			return p.fail("common has no terminal of this name")
		}
		if as != "" {
			name = as
		}
		r := p.symbols.rule(name)
		if p.symbols.defined[r] {
			return p.fail("a rule is defined twice")
		}
		r.body = pattern{e}
		p.symbols.defined[r] = true
	}
	return nil
}
