package grammar

import (
	"regexp/syntax"
	"strings"
)

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
		if p.take("%json") {
			return p.schema()
		}
		return nil, p.fail("of grammars within a grammar only %%json is supported")
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
	e, err := parseRegexp(fromECMA(source, false))
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
