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
	budget  *budget
	left    int // steps of maxLift
	regular map[*rule]regularity
	lists   map[listKey]listFacts
}

// listKey is the identity of a sequence or a choice.
type listKey struct {
	first *expr
	size  int
}

// listFacts is what is known of a list: it is asked again for everything that the list is in.
type listFacts struct {
	isKnown, is           bool
	repeatsKnown, repeats bool
}

func newRegulariser(limit *budget) *regulariser {
	return &regulariser{budget: limit, left: maxLift, regular: map[*rule]regularity{}, lists: map[listKey]listFacts{}}
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
	if len(list) == 0 {
		return true
	}
	key := listKey{&list[0], len(list)}
	if known := z.lists[key]; known.isKnown {
		return known.is
	}
	all := !slices.ContainsFunc(list, func(e expr) bool { return !z.is(e) })
	known := z.lists[key]
	known.isKnown, known.is = true, all
	z.lists[key] = known
	return all
}

// repeats says whether an expression has a repetition in it, rules that it calls not looked into.
func (z *regulariser) repeats(e expr) bool {
	var list []expr
	switch e := e.(type) {
	case repeated, pattern:
		return true
	case sequence:
		list = e
	case choice:
		list = e
	}
	if len(list) == 0 {
		return false
	}
	key := listKey{&list[0], len(list)}
	known := z.lists[key]
	if !known.repeatsKnown {
		some := slices.ContainsFunc(list, z.repeats)
		known = z.lists[key]
		known.repeatsKnown, known.repeats = true, some
		z.lists[key] = known
	}
	return known.repeats
}

// lift replaces what is regular in an expression, and in the rules that it calls.
func (z *regulariser) lift(e expr) expr {
	if z.left > 0 && z.is(e) && z.repeats(e) {
		if d, err := regularDFA(z.budget, &z.left, e); err == nil {
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

// regularDFA makes the automaton of a regular expression of rules. left, if it is not nil, bounds the steps instead of the
// budget.
func regularDFA(limit *budget, left *int, e expr) (*dfa, error) {
	n := &nfa{budget: limit, left: left}
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
	err := n.spend(1) // a rule of nothing but rules makes no state, and may be called any number of times
	if err != nil {
		return 0, err
	}
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
