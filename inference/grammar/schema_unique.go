package grammar

import (
	"math/bits"
	"slices"
)

// uniqueItems is enforced where the values that items may have are listed. Of a few the array may have each order: a place is the
// set of those that were there. Of more it has that in which they are listed.
const (
	maxOrders = 8
	maxListed = 500
)

// distinct is the expression of arrays of distinct items.
func (s *schemas) distinct(a *arrays) expr {
	if len(a.contains) > 0 {
		s.refuse(a.set[0].schema, "uniqueItems", "cannot be enforced beside contains")
		return nothing{}
	}
	all := listing{known: map[string]bool{}} // the values of all places
	at := make([]map[string]bool, a.length+1)
	for i := range at {
		texts, finite := s.finite(s.itemOf(a, i), 0)
		switch {
		case s.err != nil:
			return nothing{}
		case !finite:
			s.refuse(a.set[0].schema, "uniqueItems", "can be enforced only where the items are listed by enum or const, or are true, false or null")
			return nothing{}
		case !all.add(texts):
			s.refuse(a.set[0].schema, "uniqueItems", "of more than "+itoa(maxListed)+" values cannot be enforced")
			return nothing{}
		}
		s.fail(s.budget.spend(4 * len(texts)))
		s.fail(s.budget.keep(48 * len(texts)))
		at[i] = make(map[string]bool, len(texts))
		for _, text := range texts {
			at[i][text] = true
		}
	}
	switch {
	case s.err != nil:
		return nothing{}
	case len(all.texts) <= maxOrders:
		return s.anyOrder(a, all.texts, at)
	case a.length > 0:
		s.refuse(a.set[0].schema, "uniqueItems", "of more than "+itoa(maxOrders)+" values cannot be enforced beside prefixItems")
		return nothing{}
	}
	return s.listedOrder(a, all.texts)
}

// listing is distinct texts, in the order in which they came.
type listing struct {
	texts []string
	known map[string]bool
}

// add adds those texts that are not there. It stops, and says false, where there are more than maxListed.
func (l *listing) add(texts []string) bool {
	for _, text := range texts {
		if l.known[text] {
			continue
		}
		if len(l.texts) == maxListed {
			return false
		}
		l.known[text] = true
		l.texts = append(l.texts, text)
	}
	return true
}

// anyOrder is the expression of arrays of distinct values in all their orders.
func (s *schemas) anyOrder(a *arrays, all []string, at []map[string]bool) expr {
	c := &chain[uint]{s: s}
	c.ends = func(used uint) bool { return bits.OnesCount(used) >= a.least }
	c.next = func(used uint) []link[uint] {
		n := bits.OnesCount(used)
		if a.most >= 0 && n >= a.most {
			return nil
		}
		var out []link[uint]
		for i, text := range all {
			if used>>i&1 == 0 && at[min(n, a.length)][text] {
				out = append(out, link[uint]{literal(text), used | 1<<i})
			}
		}
		return out
	}
	return c.array(0)
}

// listedOrder is the expression of arrays of distinct values in the order in which they are listed.
func (s *schemas) listedOrder(a *arrays, all []string) expr {
	far := max(a.least, a.most)
	if len(all)*(far+1) > maxTails {
		s.refuse(a.set[0].schema, "uniqueItems", "it needs more than "+itoa(maxTails)+" places")
		return nothing{}
	}
	space := token{s.json.space}
	// From the end: what may follow from the i-th value on, behind so many.
	behind := make([]*rule, far+1)
	for n := range behind {
		behind[n] = &rule{name: "items", body: nothing{}}
		if n >= a.least {
			behind[n].body = sequence{space, literal("]")}
		}
	}
	first := expr(nothing{})
	if a.least == 0 {
		first = literal("]")
	}
	for _, text := range slices.Backward(all) {
		now := make([]*rule, far+1)
		for n := range now {
			skip := reference{behind[n]}
			now[n] = &rule{name: "items", body: skip}
			if a.most < 0 || n < a.most {
				now[n].body = choice{sequence{literal(","), space, literal(text), reference{behind[min(n+1, far)]}}, skip}
			}
		}
		first = choice{sequence{literal(text), reference{behind[min(1, far)]}}, first}
		behind = now
		s.fail(s.budget.keep(400 * (far + 1)))
		s.fail(s.budget.spend(8 * (far + 1)))
	}
	return sequence{literal("["), space, first}
}

// finite is the values that satisfy schemas, as compact JSON, if they are listed.
func (s *schemas) finite(set []part, depth int) (texts []string, finite bool) {
	set, never := s.spread(set)
	if never || s.err != nil || depth > maxNesting {
		return nil, never
	}
	if i, flag, group := s.unsettled(set); flag != 0 {
		for _, branch := range group.items {
			with := slices.Clone(set)
			with[i].settled |= flag
			more, ok := s.finite(append(with, part{schema: branch, scope: s.within(set[i])}), depth+1)
			if !ok || len(texts) > maxListed {
				return nil, false
			}
			texts = append(texts, more...)
		}
		slices.Sort(texts)
		return slices.Compact(texts), true
	}
	allowed, listed, lists := s.lists(set)
	if !lists {
		if allowed&^(typeNull|typeBoolean) != 0 {
			return nil, false
		}
		for _, word := range []struct {
			of   types
			text string
		}{{typeBoolean, "true"}, {typeBoolean, "false"}, {typeNull, "null"}} {
			if allowed&word.of != 0 && !s.excluded(set)[word.text] {
				texts = append(texts, word.text)
			}
		}
		return texts, true
	}
	texts, compound := s.conforming(set, listed, allowed)
	return texts, len(compound) == 0
}
