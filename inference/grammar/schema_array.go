package grammar

// arrays is the arrays that satisfy schemas.
type arrays struct {
	set         []part
	least, most int        // items; most -1: no bound
	heads       [][]*value // by part: the schemas of the first items
	rests       []*value   // by part: that of the others; nil: any
	length      int        // of the longest of heads
	contains    []contains
	unique      bool
}

// array is the expression of the arrays that satisfy schemas.
func (s *schemas) array(set []part) expr {
	if !restrictsType(set, typeArray) {
		return reference{s.json.array}
	}
	a := &arrays{set: set, most: -1}
	for _, p := range set {
		if low := s.count(p.schema, "minItems"); int(low) > a.least {
			a.least = int(low)
		}
		if high := s.count(p.schema, "maxItems"); high >= 0 && (a.most < 0 || int(high) < a.most) {
			a.most = int(high)
		}
		var head []*value
		other := p.schema.get("items")
		if other != nil && other.kind == isArray { // of older drafts
			head, other = other.items, p.schema.get("additionalItems")
		} else if prefix := p.schema.get("prefixItems"); prefix != nil {
			head = s.list(p.schema, "prefixItems", prefix)
		}
		a.heads, a.rests = append(a.heads, head), append(a.rests, other)
		a.length = max(a.length, len(head))
		if u := p.schema.get("uniqueItems"); u != nil && u.kind == isBool && u.truth {
			a.unique = true
		}
	}
	if a.most >= 0 {
		a.length = min(a.length, a.most)
	}
	s.contained(a)
	switch {
	case s.err != nil || a.most >= 0 && a.most < a.least:
		return nothing{}
	case a.unique && a.most != 0 && a.most != 1:
		return s.distinct(a)
	case len(a.contains) > 0:
		return s.containing(a)
	}
	return s.plain(a)
}

// itemOf is the schemas that an item must satisfy.
func (s *schemas) itemOf(a *arrays, i int) []part {
	s.fail(s.budget.spend(len(a.set)))
	var of []part
	found := map[*value]bool{}
	for j, p := range a.set {
		switch {
		case i < len(a.heads[j]):
			of = append(of, part{schema: a.heads[j][i]})
			found[p.schema] = true
		case a.rests[j] != nil:
			of = append(of, part{schema: a.rests[j]})
			found[p.schema] = true
		}
	}
	return s.unevaluated(of, a.set, "unevaluatedItems", func(p part) bool { return found[p.schema] })
}

// plain is the expression of arrays whose items do not depend on each other.
func (s *schemas) plain(a *arrays) expr {
	item := func(i int) expr { return reference{s.rule(s.itemOf(a, i))} }
	// From the end: what follows i items.
	space := token{s.json.space}
	end := sequence{space, literal("]")}
	rest := repeated{sequence{literal(","), space, item(a.length)}, max(0, a.least-a.length), -1}
	if a.most >= 0 {
		rest.max = a.most - a.length
	}
	behind := &rule{name: "items", body: sequence{rest, end}}
	for i := a.length - 1; i >= 1 && s.err == nil; i-- {
		next := choice{sequence{literal(","), space, item(i), reference{behind}}}
		if i >= a.least {
			next = append(next, end)
		}
		behind = &rule{name: "items", body: next}
	}
	var first choice
	if a.least == 0 {
		first = append(first, literal("]"))
	}
	switch {
	case a.most == 0:
	case a.length > 0:
		first = append(first, sequence{item(0), reference{behind}})
	default:
		rest.min = max(0, a.least-1)
		if a.most >= 0 {
			rest.max = a.most - 1
		}
		first = append(first, sequence{item(0), rest, end})
	}
	return sequence{literal("["), space, first}
}
