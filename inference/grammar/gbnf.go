package grammar

import "unicode"

// gbnf reads GBNF, the notation of llama.cpp.
type gbnf struct {
	scanner
	symbols *symbols
}

// parseGBNF makes the rule "root" of a grammar in GBNF.
func parseGBNF(limit *budget, text string) (*rule, error) {
	p := &gbnf{symbols: newSymbols()}
	p.text = text
	p.space(true)
	for p.at < len(p.text) {
		if err := p.rule(); err != nil {
			return nil, err
		}
		p.space(true)
	}
	root := p.symbols.rule("root")
	if err := p.symbols.complete(); err != nil {
		return nil, err
	}
	z := newRegulariser(limit)
	z.rules(p.symbols.order)
	return root, nil
}

// space skips blanks and comments, and ends of lines too if they may come.
func (p *gbnf) space(lines bool) {
	for p.at < len(p.text) {
		switch c := p.peek(); {
		case c == ' ' || c == '\t' || lines && (c == '\n' || c == '\r'):
			p.at++
		case c == '#':
			for p.at < len(p.text) && p.peek() != '\n' {
				p.at++
			}
		default:
			return
		}
	}
}

func (p *gbnf) rule() error {
	name := p.name()
	if name == "" {
		return p.fail("a rule must begin with its name")
	}
	p.space(false)
	if !p.take("::=") {
		return p.fail("the name of a rule must be followed by ::=")
	}
	r := p.symbols.rule(name)
	if p.symbols.defined[r] {
		return p.fail("a rule is defined twice")
	}
	p.symbols.defined[r] = true
	p.space(true)
	body, err := p.alternatives(false)
	r.body = body
	return err
}

func (p *gbnf) alternatives(nested bool) (expr, error) {
	if p.deep++; p.deep > maxNesting {
		return nil, p.fail("parentheses are nested more than %d deep", maxNesting)
	}
	defer func() { p.deep-- }()
	var out choice
	for {
		e, err := p.sequence(nested)
		if err != nil {
			return nil, err
		}
		out = append(out, e)
		p.space(nested)
		if !p.take("|") {
			break
		}
		p.space(true)
	}
	if len(out) == 1 {
		return out[0], nil
	}
	return out, nil
}

func (p *gbnf) sequence(nested bool) (expr, error) {
	var out sequence
	for {
		p.space(nested)
		var e expr
		switch p.peek() {
		case '"':
			p.at++
			text, err := p.quoted()
			if err != nil {
				return nil, err
			}
			e = literal(text)
		case '[':
			p.at++
			set, err := p.class()
			if err != nil {
				return nil, err
			}
			e = set
		case '.':
			p.at++
			e = class{0, unicode.MaxRune}
		case '(':
			p.at++
			p.space(true)
			inner, err := p.alternatives(true)
			if err != nil {
				return nil, err
			}
			p.space(true)
			if !p.take(")") {
				return nil, p.fail("a parenthesis is not closed")
			}
			e = inner
		case '<':
			return nil, p.fail("tokens in a grammar are not supported")
		default:
			from := p.at
			name := p.name()
			if name == "" {
				return out, p.end(nested)
			}
			if after := p.at; !nested { // the name may begin the next rule
				p.space(false)
				if p.has("::=") {
					p.at = from
					return out, nil
				}
				p.at = after
			}
			e = reference{p.symbols.rule(name)}
		}
		e, err := p.postfix(e)
		if err != nil {
			return nil, err
		}
		out = append(out, e)
	}
}

// end checks what ends a sequence.
func (p *gbnf) end(nested bool) error {
	if c := p.peek(); p.at == len(p.text) || c == '|' || c == '\n' || c == '\r' || c == ')' && nested {
		return nil
	}
	return p.fail("a sign is not expected here")
}

func (p *gbnf) postfix(e expr) (expr, error) {
	for signs := 0; ; signs++ {
		if p.deep+signs > maxNesting {
			return nil, p.fail("repetitions are nested more than %d deep", maxNesting)
		}
		low, high := 0, -1
		switch {
		case p.take("*"):
		case p.take("+"):
			low = 1
		case p.take("?"):
			high = 1
		case p.take("{"):
			var ok bool
			if low, high, ok = p.counts(); !ok {
				return nil, p.fail("a repetition must be {n}, {n,} or {n,m} of at most %d", maxRepeat)
			}
		default:
			return e, nil
		}
		e = again(e, low, high)
	}
}

// counts reads the rest of {n}, {n,}, {,m} and {n,m}.
func (p *gbnf) counts() (low, high int, ok bool) {
	p.space(false)
	low, given := p.number()
	p.space(false)
	if p.take("}") {
		return low, low, given
	}
	if !p.take(",") {
		return 0, 0, false
	}
	if !given {
		low = 0
	}
	p.space(false)
	high = -1
	if p.peek() != '}' {
		if high, ok = p.number(); !ok {
			return 0, 0, false
		}
	}
	p.space(false)
	return low, high, p.take("}") && (high < 0 || high >= low)
}

// class reads a set of characters, of which the bracket has been read.
func (p *gbnf) class() (expr, error) {
	not := p.take("^")
	var set class
	for !p.take("]") {
		lo, err := p.member()
		if err != nil {
			return nil, err
		}
		hi := lo
		if p.peek() == '-' && p.at+1 < len(p.text) && p.text[p.at+1] != ']' {
			p.at++
			if hi, err = p.member(); err != nil {
				return nil, err
			}
		}
		if hi < lo {
			return nil, p.fail("a range of characters is empty")
		}
		set = append(set, lo, hi)
	}
	set = normal(set)
	if not {
		set = complement(set)
	}
	if len(set) == 0 {
		return nothing{}, nil
	}
	return set, nil
}

func (p *gbnf) member() (rune, error) {
	if p.at >= len(p.text) || p.peek() == '\n' {
		return 0, p.fail("a set of characters is not closed")
	}
	if r := p.rune(); r != '\\' {
		return r, nil
	}
	return p.escaped()
}
