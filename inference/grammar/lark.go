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
	symbols *symbols
	ignored []string
	budget  *budget
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
func parseLark(limit *budget, text string) (*rule, error) {
	p := &lark{symbols: newSymbols(), budget: limit}
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
	}
	return p.fail("this directive is not supported: only %%ignore and %%import common are")
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

// alternatives reads up to the end of a statement, or of a pair of brackets.
func (p *lark) alternatives() (expr, error) {
	if p.deep++; p.deep > maxNesting {
		return nil, p.fail("parentheses are nested more than %d deep", maxNesting)
	}
	defer func() { p.deep-- }()
	var out choice
	for {
		e, err := p.sequence()
		if err != nil {
			return nil, err
		}
		out = append(out, e)
		if p.bar() {
			continue
		}
		if len(out) == 1 {
			return out[0], nil
		}
		return out, nil
	}
}

// bar reads a bar, which may stand on the next line.
func (p *lark) bar() bool {
	from := p.at
	p.lines()
	if p.take("|") {
		return true
	}
	if p.deep == 1 { // the end of the line ends the statement
		p.at = from
	}
	return false
}

func (p *lark) sequence() (expr, error) {
	var out sequence
	for {
		p.blanks()
		if p.deep > 1 {
			p.lines()
		}
		if p.take("->") { // an alias
			p.blanks()
			if p.name() == "" {
				return nil, p.fail("a name must follow ->")
			}
			return out, nil
		}
		e, err := p.atom()
		if err != nil {
			return nil, err
		}
		if e == nil {
			return out, p.end()
		}
		if e, err = p.postfix(e); err != nil {
			return nil, err
		}
		out = append(out, e)
	}
}

// end checks what ends a sequence.
func (p *lark) end() error {
	c := p.peek()
	if p.at == len(p.text) || c == '|' || c == '\n' || p.deep > 1 && (c == ')' || c == ']') {
		return nil
	}
	return p.fail("a sign is not expected here")
}

// atom reads one item; nil if there is none.
func (p *lark) atom() (expr, error) {
	switch c := p.peek(); c {
	case '"':
		p.at++
		return p.text1()
	case '/':
		p.at++
		return p.regexp()
	case '(', '[':
		p.at++
		e, err := p.alternatives()
		if err != nil {
			return nil, err
		}
		p.lines()
		if c == '[' {
			if !p.take("]") {
				return nil, p.fail("a bracket is not closed")
			}
			return optional(e), nil
		}
		if !p.take(")") {
			return nil, p.fail("a parenthesis is not closed")
		}
		return e, nil
	case '<':
		return nil, p.fail("tokens in a grammar are not supported")
	case '%':
		return nil, p.fail("a grammar within a grammar is not supported")
	}
	name := p.name()
	if name == "" {
		return nil, nil //nolint:nilnil // no item is no fault
	}
	if p.peek() == '{' {
		return nil, p.fail("templates are not supported")
	}
	return reference{p.symbols.rule(name)}, nil
}

// text1 reads a text, or a range of characters.
func (p *lark) text1() (expr, error) {
	text, err := p.quoted()
	if err != nil {
		return nil, err
	}
	if p.take("i") {
		e := &syntax.Regexp{Op: syntax.OpLiteral, Rune: []rune(text), Flags: syntax.FoldCase}
		return pattern{e}, nil
	}
	from := p.at
	p.blanks()
	if !p.take("..") {
		p.at = from
		return literal(text), nil
	}
	p.blanks()
	if !p.take(`"`) {
		return nil, p.fail("a range must end with a text of one character")
	}
	to, err := p.quoted()
	if err != nil {
		return nil, err
	}
	lo, hi := []rune(text), []rune(to)
	if len(lo) != 1 || len(hi) != 1 || hi[0] < lo[0] {
		return nil, p.fail("a range must be of two characters in their order")
	}
	return class{lo[0], hi[0]}, nil
}

// regexp reads an expression between slashes, and its flags.
func (p *lark) regexp() (expr, error) {
	from := p.at
	for p.at < len(p.text) && p.peek() != '/' && p.peek() != '\n' {
		if p.peek() == '\\' {
			p.at++
		}
		p.at++
	}
	if p.at >= len(p.text) || p.peek() != '/' {
		return nil, p.fail("an expression is not closed")
	}
	source := p.text[from:p.at]
	p.at++
	var flags []byte
	for strings.ContainsRune("imslux", rune(p.peek())) && p.at < len(p.text) {
		switch c := p.peek(); c {
		case 'i', 's':
			flags = append(flags, c)
		case 'u':
		default:
			return nil, p.fail("of the flags of an expression only i, s and u are supported")
		}
		p.at++
	}
	if len(flags) > 0 {
		source = "(?" + string(flags) + ":" + source + ")"
	}
	e, err := parseRegexp(fromECMA(source))
	if err != nil {
		where := p.fail("%s", "an expression is not one of RE2's syntax")
		if e, ok := err.(*Error); ok { //nolint:errorlint // ours, never wrapped
			where = p.fail("%s", e.Reason)
		}
		return nil, where
	}
	return pattern{e}, nil
}

func (p *lark) postfix(e expr) (expr, error) {
	for signs := 0; ; signs++ {
		if p.deep+signs > maxNesting {
			return nil, p.fail("repetitions are nested more than %d deep", maxNesting)
		}
		p.blanks()
		switch {
		case p.take("*"):
			e = again(e, 0, -1)
		case p.take("+"):
			e = again(e, 1, -1)
		case p.take("?"):
			e = again(e, 0, 1)
		case p.take("~"):
			p.blanks()
			low, ok := p.number()
			high := low
			p.blanks()
			if p.take("..") {
				p.blanks()
				var more bool
				high, more = p.number()
				ok = ok && more && high >= low
			}
			if !ok {
				return nil, p.fail("a repetition must be ~ n or ~ n..m of at most %d", maxRepeat)
			}
			e = again(e, low, high)
		default:
			return e, nil
		}
	}
}
