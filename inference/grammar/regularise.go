package grammar

import (
	"regexp/syntax"
	"slices"
)

// pattern is a regular expression within a grammar.
type pattern struct{ *syntax.Regexp }

func (pattern) isExpr() {}

// regulariser finds what is regular in the rules of a grammar and makes terminals of it: the masks of terminals are found
// once, those of rules for each stack.
type regulariser struct {
	regular map[*rule]regularity
}

type regularity byte

const (
	unknown regularity = iota
	visiting
	isRegular
	notRegular
)

// is says whether an expression calls no rule that calls itself.
func (z *regulariser) is(e expr) bool {
	switch e := e.(type) {
	case literal, class, pattern:
		return true
	case sequence:
		return z.all(e)
	case choice:
		return z.all(e)
	case repeated:
		return z.is(e.of)
	case reference:
		switch z.regular[e.rule] {
		case isRegular:
			return true
		case visiting, notRegular:
			z.regular[e.rule] = notRegular
			return false
		case unknown:
		}
		z.regular[e.rule] = visiting
		ok := z.is(e.body)
		if z.regular[e.rule] == notRegular { // it called itself
			ok = false
		}
		z.regular[e.rule] = notRegular
		if ok {
			z.regular[e.rule] = isRegular
		}
		return ok
	}
	return false
}

func (z *regulariser) all(list []expr) bool {
	for _, e := range list {
		if !z.is(e) {
			return false
		}
	}
	return true
}

// repeats says whether an expression has a repetition in it, rules that it calls not looked into.
func repeats(e expr) bool {
	var list []expr
	switch e := e.(type) {
	case repeated, pattern:
		return true
	case sequence:
		list = e
	case choice:
		list = e
	}
	return slices.ContainsFunc(list, repeats)
}

// lift replaces what is regular in an expression, and in the rules that it calls.
func (z *regulariser) lift(e expr) expr {
	if z.is(e) && repeats(e) {
		if d, err := regularDFA(e); err == nil {
			return token{&terminal{dfa: d}}
		}
	}
	switch e := e.(type) {
	case sequence:
		out := make(sequence, len(e))
		for i, sub := range e {
			out[i] = z.lift(sub)
		}
		return out
	case choice:
		out := make(choice, len(e))
		for i, sub := range e {
			out[i] = z.lift(sub)
		}
		return out
	case repeated:
		return repeated{z.lift(e.of), e.min, e.max}
	}
	return e
}

// rules lifts rules.
func (z *regulariser) rules(list []*rule) {
	for _, r := range list {
		z.is(reference{r})
	}
	bodies := make([]expr, len(list))
	for i, r := range list {
		bodies[i] = z.lift(r.body)
	}
	for i, r := range list {
		r.body = bodies[i]
	}
}

// regularDFA makes the automaton of a regular expression of rules.
func regularDFA(e expr) (*dfa, error) {
	n := &nfa{}
	from, err := n.state()
	if err != nil {
		return nil, err
	}
	to, err := n.expr(from, e)
	if err != nil {
		return nil, err
	}
	return n.determine(from, to)
}

// expr appends a regular expression of rules behind a state and returns the state behind it.
func (n *nfa) expr(from int32, e expr) (int32, error) {
	var err error
	switch e := e.(type) {
	case literal:
		return n.literal(from, string(e))
	case pattern:
		return n.add(from, e.Regexp)
	case reference:
		return n.expr(from, e.body)
	case sequence:
		for _, sub := range e {
			if from, err = n.expr(from, sub); err != nil {
				return 0, err
			}
		}
		return from, nil
	}
	to, err := n.state()
	if err != nil {
		return 0, err
	}
	switch e := e.(type) {
	case class:
		return to, n.runes(from, to, e)
	case choice:
		for _, sub := range e {
			end, err := n.expr(from, sub)
			if err != nil {
				return 0, err
			}
			n.epsilon(end, to, always)
		}
		return to, nil
	case repeated:
		return n.repeated(from, e)
	}
	return 0, errorf("a part of a terminal is not regular")
}

func (n *nfa) repeated(from int32, e repeated) (int32, error) {
	fresh := func(from int32) (int32, error) { // so that a loop below does not reach into what stands before
		to, err := n.state()
		if err == nil {
			n.epsilon(from, to, always)
		}
		return to, err
	}
	from, err := fresh(from)
	if err != nil {
		return 0, err
	}
	for range e.min {
		if from, err = n.expr(from, e.of); err != nil {
			return 0, err
		}
		if from, err = fresh(from); err != nil {
			return 0, err
		}
	}
	to, err := n.state()
	if err != nil {
		return 0, err
	}
	if e.max < 0 {
		end, err := n.expr(from, e.of)
		if err != nil {
			return 0, err
		}
		n.epsilon(end, from, always)
		n.epsilon(from, to, always)
		return to, nil
	}
	for range e.max - e.min {
		n.epsilon(from, to, always)
		if from, err = n.expr(from, e.of); err != nil {
			return 0, err
		}
		if from, err = fresh(from); err != nil {
			return 0, err
		}
	}
	n.epsilon(from, to, always)
	return to, nil
}
