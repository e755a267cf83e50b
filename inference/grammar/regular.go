package grammar

import (
	"regexp/syntax"
	"unicode"
	"unicode/utf8"
)

// nfa is a nondeterministic automaton over bytes (Thompson's construction).
type nfa struct {
	states []nfaState
	json   bool // characters are written as in a JSON string
	budget *budget
	left   *int // steps that are left to its maker; nil: no such bound
}

// spend counts steps.
func (n *nfa) spend(steps int) error {
	if n.left != nil {
		if *n.left -= steps; *n.left < 0 {
			return errorf("the terminals take more than %d steps to find", maxLift)
		}
		return n.budget.poll(steps) // the bound of its maker is the one that counts
	}
	return n.budget.spend(steps)
}

type nfaState struct {
	ranges []byteRange
	eps    []epsilon
}

type byteRange struct {
	lo, hi byte
	to     int32
}

// epsilon is a step without a byte, which may depend on the place in the text.
type epsilon struct {
	to   int32
	when assertion
}

type assertion byte

const (
	always assertion = iota
	atStart
	atEnd
)

func (n *nfa) state() (int32, error) {
	if len(n.states) >= maxNFA {
		return 0, errorf("an expression needs more than %d places", maxNFA)
	}
	if err := n.spend(1); err != nil {
		return 0, err
	}
	n.states = append(n.states, nfaState{})
	return int32(len(n.states) - 1), nil
}

func (n *nfa) epsilon(from, to int32, when assertion) {
	s := &n.states[from]
	s.eps = append(s.eps, epsilon{to, when})
}

func (n *nfa) byteRange(from, to int32, lo, hi byte) {
	s := &n.states[from]
	s.ranges = append(s.ranges, byteRange{lo, hi, to})
}

// literal appends the bytes of a text as they stand.
func (n *nfa) literal(from int32, text string) (int32, error) {
	for i := range len(text) {
		to, err := n.state()
		if err != nil {
			return 0, err
		}
		n.byteRange(from, to, text[i], text[i])
		from = to
	}
	return from, nil
}

// runes leads from one state to another by any character of the ranges, given as pairs.
func (n *nfa) runes(from, to int32, pairs []rune) error {
	for i := 0; i < len(pairs); i += 2 {
		lo, hi := pairs[i], pairs[i+1] //nolint:gosec // they are pairs
		if n.json {
			for ; lo <= hi && lo <= '\\'; lo++ {
				if err := n.jsonRune(from, to, lo); err != nil {
					return err
				}
			}
		}
		if lo <= hi {
			if err := n.utf8(from, to, lo, hi); err != nil {
				return err
			}
		}
	}
	return nil
}

// jsonRune leads from one state to another by one character as a JSON string has it: escaped only where it must be.
func (n *nfa) jsonRune(from, to int32, r rune) error {
	text := jsonEscape(r)
	if len(text) == 1 {
		n.byteRange(from, to, text[0], text[0])
		return nil
	}
	last, err := n.literal(from, text[:len(text)-1])
	if err != nil {
		return err
	}
	n.byteRange(last, to, text[len(text)-1], text[len(text)-1])
	return nil
}

// utf8 leads from one state to another by the encodings of the characters from lo to hi; surrogates have none.
func (n *nfa) utf8(from, to int32, lo, hi rune) error {
	if lo < 0xE000 && hi > 0xD7FF {
		if lo < 0xD800 {
			if err := n.utf8(from, to, lo, 0xD7FF); err != nil {
				return err
			}
		}
		if hi <= 0xDFFF {
			return nil
		}
		lo = 0xE000
	}
	for _, limit := range []rune{0x7F, 0x7FF, 0xFFFF} {
		if lo <= limit && hi > limit {
			if err := n.utf8(from, to, lo, limit); err != nil {
				return err
			}
			lo = limit + 1
		}
	}
	var a, b [utf8.UTFMax]byte
	size := utf8.EncodeRune(a[:], lo)
	utf8.EncodeRune(b[:], hi)
	return n.sequence(from, to, a[:size], b[:size])
}

// sequence leads from one state to another by the byte sequences from a to b, which have one length.
func (n *nfa) sequence(from, to int32, a, b []byte) error {
	if len(a) == 1 {
		n.byteRange(from, to, a[0], b[0])
		return nil
	}
	lowest, highest := []byte{0x80, 0x80, 0x80}[:len(a)-1], []byte{0xBF, 0xBF, 0xBF}[:len(a)-1]
	part := func(lo, hi byte, rest, until []byte) error {
		next, err := n.state()
		if err != nil {
			return err
		}
		n.byteRange(from, next, lo, hi)
		return n.sequence(next, to, rest, until)
	}
	lo, hi := a[0], b[0]
	if lo == hi {
		return part(lo, lo, a[1:], b[1:])
	}
	if string(a[1:]) != string(lowest) {
		if err := part(lo, lo, a[1:], highest); err != nil {
			return err
		}
		lo++
	}
	if string(b[1:]) != string(highest) {
		if err := part(hi, hi, lowest, b[1:]); err != nil {
			return err
		}
		hi--
	}
	if lo <= hi {
		return part(lo, hi, lowest, highest)
	}
	return nil
}

// add appends an expression behind a state and returns the state behind it.
func (n *nfa) add(from int32, e *syntax.Regexp) (int32, error) {
	to, err := n.state()
	if err != nil {
		return 0, err
	}
	switch e.Op {
	case syntax.OpNoMatch:
	case syntax.OpEmptyMatch:
		n.epsilon(from, to, always)
	case syntax.OpLiteral:
		for _, r := range e.Rune {
			next, err := n.state()
			if err != nil {
				return 0, err
			}
			if err := n.runes(from, next, folded(r, e.Flags)); err != nil {
				return 0, err
			}
			from = next
		}
		n.epsilon(from, to, always)
	case syntax.OpCharClass:
		err = n.runes(from, to, e.Rune)
	case syntax.OpAnyChar:
		err = n.runes(from, to, []rune{0, unicode.MaxRune})
	case syntax.OpAnyCharNotNL:
		pairs := []rune{0, '\n' - 1, '\n' + 1, unicode.MaxRune}
		if n.json { // dialects differ: what all of them take
			pairs = []rune{0, '\n' - 1, '\n' + 1, '\r' - 1, '\r' + 1, 0x2027, 0x202A, unicode.MaxRune}
		}
		err = n.runes(from, to, pairs)
	case syntax.OpBeginText:
		n.epsilon(from, to, atStart)
	case syntax.OpEndText:
		n.epsilon(from, to, atEnd)
	case syntax.OpBeginLine, syntax.OpEndLine:
		err = errorf("line anchors ((?m)) are not supported")
	case syntax.OpWordBoundary, syntax.OpNoWordBoundary:
		err = errorf(`word boundaries (\b, \B) are not supported`)
	case syntax.OpCapture:
		return n.add(from, e.Sub[0])
	case syntax.OpStar, syntax.OpPlus, syntax.OpQuest:
		err = n.repeat(from, to, e.Sub[0], e.Op)
	case syntax.OpRepeat:
		return n.count(from, e)
	case syntax.OpConcat:
		for _, sub := range e.Sub {
			if from, err = n.add(from, sub); err != nil {
				return 0, err
			}
		}
		n.epsilon(from, to, always)
	case syntax.OpAlternate:
		for _, sub := range e.Sub {
			end, err := n.add(from, sub)
			if err != nil {
				return 0, err
			}
			n.epsilon(end, to, always)
		}
	default:
		err = errorf("an operator of the expression is not supported")
	}
	return to, err
}

// repeat adds sub any number of times (OpStar), at least once (OpPlus) or at most once (OpQuest).
func (n *nfa) repeat(from, to int32, sub *syntax.Regexp, op syntax.Op) error {
	in, err := n.state()
	if err != nil {
		return err
	}
	n.epsilon(from, in, always)
	out, err := n.add(in, sub)
	if err != nil {
		return err
	}
	n.epsilon(out, to, always)
	if op != syntax.OpPlus {
		n.epsilon(from, to, always)
	}
	if op != syntax.OpQuest {
		n.epsilon(out, in, always)
	}
	return nil
}

// count adds an expression x{min,max}.
func (n *nfa) count(from int32, e *syntax.Regexp) (int32, error) {
	var err error
	for range e.Min {
		if from, err = n.add(from, e.Sub[0]); err != nil {
			return 0, err
		}
	}
	to, err := n.state()
	if err != nil {
		return 0, err
	}
	if e.Max < 0 {
		return to, n.repeat(from, to, e.Sub[0], syntax.OpStar)
	}
	for range e.Max - e.Min {
		n.epsilon(from, to, always)
		if from, err = n.add(from, e.Sub[0]); err != nil {
			return 0, err
		}
	}
	n.epsilon(from, to, always)
	return to, nil
}

// folded is the ranges of a literal's character: itself, and its other cases if they are meant.
func folded(r rune, flags syntax.Flags) []rune {
	pairs := []rune{r, r}
	if flags&syntax.FoldCase != 0 {
		for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
			pairs = append(pairs, f, f)
		}
	}
	return pairs
}

// parseRegexp parses RE2's syntax.
func parseRegexp(source string) (*syntax.Regexp, error) {
	if len(source) > MaxSource {
		return nil, errorf("the expression has more than %d bytes", MaxSource)
	}
	e, err := syntax.Parse(source, syntax.Perl)
	if err != nil {
		reason := "the expression is not one of RE2's syntax"
		if e, ok := err.(*syntax.Error); ok { //nolint:errorlint // Parse returns it bare
			reason += ": " + string(e.Code)
			if e.Code == syntax.ErrMissingRepeatArgument || e.Code == syntax.ErrInvalidPerlOp {
				reason += " (lookaround and possessive repetition are not supported)"
			}
			return nil, &Error{Reason: reason, Where: e.Expr}
		}
		return nil, &Error{Reason: reason}
	}
	return e, nil
}

// compileRegexp makes the automaton of the texts that an expression matches as a whole.
func compileRegexp(limit *budget, source string) (*dfa, error) {
	e, err := parseRegexp(source)
	if err != nil {
		return nil, err
	}
	n := &nfa{budget: limit}
	from, err := n.state()
	if err != nil {
		return nil, err
	}
	to, err := n.add(from, e)
	if err != nil {
		return nil, err
	}
	return n.determine(from, to)
}
