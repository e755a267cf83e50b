package grammar

import (
	"maps"
	"math/bits"
)

// maxOneOf bounds the schemas of a oneOf, since each is compared with each.
const maxOneOf = 200

// apart says of the schemas of a oneOf which ones no value can satisfy together, as far as that is seen.
func (s *schemas) apart(at, group *value) func(i, j int) bool {
	n := len(group.items)
	if n > maxOneOf {
		s.refuse(at, "oneOf", "has more than "+itoa(maxOneOf)+" schemas")
		return nil
	}
	views := make([]view, n)
	for i, item := range group.items {
		views[i] = s.view([]part{{schema: item}}, 0)
		if s.err != nil {
			return nil
		}
	}
	known := make([]bool, n*n)
	for i := range views {
		for j := range i {
			known[i*n+j] = views[i].apart(&views[j], s, 0)
			known[j*n+i] = known[i*n+j]
		}
	}
	return func(i, j int) bool { return known[i*n+j] }
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
	case bits.OnesCount8(uint8(v.types&w.types)) != 1 || v.types&w.types != typeObject || depth > 4:
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
