package grammar

import (
	"maps"
	"slices"
)

// maxOneOf bounds the schemas of a oneOf, since each is compared with each.
const maxOneOf = 200

// choices are the schemas of a oneOf, compared with each other.
type choices struct {
	s     *schemas
	views []view
	known []bool // by pair: no value can satisfy both
}

// compare looks at which schemas of a oneOf no value can satisfy together, as far as that is seen.
func (s *schemas) compare(at, group *value) *choices {
	n := len(group.items)
	if n > maxOneOf {
		s.refuse(at, "oneOf", "has more than "+itoa(maxOneOf)+" schemas")
		return nil
	}
	c := &choices{s: s, views: make([]view, n), known: make([]bool, n*n)}
	for i, item := range group.items {
		c.views[i] = s.view([]part{{schema: item}}, 0)
		if s.err != nil {
			return nil
		}
	}
	for i := range c.views {
		for j := range i {
			c.known[i*n+j] = c.views[i].apart(&c.views[j], s, 0)
			c.known[j*n+i] = c.known[i*n+j]
		}
	}
	return c
}

// apart says whether it is known that no value satisfies both of two.
func (c *choices) apart(i, j int) bool { return c.known[i*len(c.views)+j] }

// toldApart is the name of a property that tells two apart where an object has it.
func (c *choices) toldApart(i, j int) (name string, ok bool) {
	v, w := &c.views[i], &c.views[j]
	if v.types != typeObject && (v.types != allTypes || w.types != allTypes) {
		return "", false
	}
	for _, p := range v.set {
		properties := p.schema.get("properties")
		if properties == nil {
			continue
		}
		for _, m := range properties.members {
			c.s.fail(c.s.budget.spend((len(v.set) + len(w.set)) * (1 + len(m.name))))
			if c.s.err != nil {
				return "", false
			}
			a, b := c.s.property(v.set, m.name, 0), c.s.property(w.set, m.name, 0)
			if a.apart(&b, c.s, 1) {
				return m.name, true
			}
		}
	}
	return "", false
}

// view is what is easily known of the values that satisfy a schema: no more than these.
type view struct {
	never    bool
	types    types
	listed   map[string]bool // nil: not listed
	required []string
	set      []part
}

// view looks at schemas through references and allOf, not through choices.
func (s *schemas) view(set []part, depth int) view {
	v := view{types: allTypes}
	if depth > maxNesting {
		return v
	}
	set, v.never = s.spread(set)
	v.set = set
	for _, p := range set {
		v.types &= s.typesOf(p.schema)
		for _, keyword := range []string{"enum", "const"} {
			list := p.schema.get(keyword)
			if list == nil {
				continue
			}
			items := list.items
			if keyword == "const" {
				items = []*value{list}
			}
			held, now := types(0), s.listing(list, items)
			for _, item := range items {
				if v.listed == nil || v.listed[item.canonicalText()] {
					held |= kindTypes(item)
				}
			}
			if v.listed != nil {
				now = maps.Clone(now)
				maps.DeleteFunc(now, func(text string, _ bool) bool { return !v.listed[text] })
				s.fail(s.budget.keep(64 * len(items)))
			}
			v.listed = now
			v.types &= held
			s.fail(s.budget.spend(4 * len(items)))
		}
		if required := p.schema.get("required"); required != nil {
			s.fail(s.budget.keep(32 * len(required.items)))
			for _, r := range required.items {
				v.required = append(v.required, r.text)
			}
		}
		for _, keyword := range []string{"anyOf", "oneOf"} {
			group := p.schema.get(keyword)
			if group == nil {
				continue
			}
			var either types
			for _, item := range group.items {
				either |= s.view([]part{{schema: item}}, depth+1).types
			}
			v.types &= either
		}
	}
	return v
}

// listing is the texts of the values of an enum or a const. It is made once for each.
func (s *schemas) listing(list *value, items []*value) map[string]bool {
	known := s.listings[list]
	if known == nil {
		s.fail(s.budget.keep(64 * (1 + len(items))))
		known = make(map[string]bool, len(items))
		for _, item := range items {
			known[item.canonicalText()] = true
		}
		s.listings[list] = known
	}
	return known
}

// apart says whether it is known that no value satisfies both.
func (v *view) apart(w *view, s *schemas, depth int) bool {
	s.fail(s.budget.spend(1 + len(v.required) + len(w.required)))
	switch {
	case s.err != nil:
		return false
	case v.never || w.never || v.types&w.types == 0:
		return true
	case v.listed != nil && w.listed != nil:
		s.fail(s.budget.spend(len(v.listed)))
		for text := range v.listed {
			if w.listed[text] {
				return false
			}
		}
		return true
	case v.types&w.types == typeString:
		return s.noStrings(append(slices.Clone(v.set), w.set...))
	case v.types&w.types&^(typeNumber|typeInteger) == 0:
		return noNumbers(append(slices.Clone(v.set), w.set...))
	case v.types&w.types != typeObject || depth > 4:
		return false
	}
	for _, name := range append(append([]string(nil), v.required...), w.required...) {
		if s.fail(s.budget.spend((len(v.set) + len(w.set)) * (1 + len(name)))); s.err != nil {
			return false
		}
		a, b := s.property(v.set, name, depth), s.property(w.set, name, depth)
		if a.apart(&b, s, depth+1) {
			return true
		}
	}
	return false
}

// noStrings says whether it is known that no string satisfies the patterns of schemas.
func (s *schemas) noStrings(set []part) bool {
	var all *dfa
	for _, p := range set {
		pattern := p.schema.get("pattern")
		if pattern == nil || pattern.kind != isString {
			continue
		}
		d, err := s.pattern(pattern.text, true)
		if err == nil && all != nil {
			d, err = intersect(s.budget, all, d)
		}
		if err != nil {
			return false
		}
		all = d
	}
	return all != nil && all.empty()
}

// noNumbers says whether it is known that no number is within the bounds of schemas.
func noNumbers(set []part) bool {
	var n numbers
	for _, p := range set {
		for _, k := range numberBounds() {
			if v := p.schema.get(k.keyword); v != nil {
				r := v.rational()
				if r == nil {
					return false
				}
				n.limit(&bound{r, k.open}, k.low)
			}
		}
	}
	if n.low == nil || n.high == nil {
		return false
	}
	c := n.low.value.Cmp(n.high.value)
	return c > 0 || c == 0 && (n.low.open || n.high.open)
}

// property is the view of a property's values.
func (s *schemas) property(set []part, name string, depth int) view {
	patterns, err := s.namePatterns(set)
	if err != nil {
		return view{types: allTypes}
	}
	// What is unevaluated is not known before all choices are made.
	of := s.valuesOf(set, patterns, &name, func(p *namePattern) bool { return p.dfa.accepted(jsonString(name)) }, nil)
	return s.view(of, depth+1)
}
