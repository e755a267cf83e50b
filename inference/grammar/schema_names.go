package grammar

import "strings"

// propertyNames is the automaton of the names that schemas allow, as JSON strings with no more escapes than they need; nil: all.
func (s *schemas) propertyNames(set []part) (*dfa, error) {
	var all *dfa
	for _, p := range set {
		names := p.schema.get("propertyNames")
		if names == nil {
			continue
		}
		d, err := s.strings(names, false, 0)
		if err == nil && all != nil {
			d, err = intersect(s.budget, all, d)
		}
		if err != nil {
			return nil, err
		}
		all = d
	}
	return all, s.err
}

// maxNameDepth bounds how deep the schemas of names refer to others.
const maxNameDepth = 32

// strings is the automaton of the strings that satisfy a schema, as far as it is one of strings: what it says of strings can be
// combined as sets can. Within a negation, negated, it holds at least these; elsewhere at most.
func (s *schemas) strings(of *value, negated bool, depth int) (*dfa, error) {
	d, none := s.shared.name, &dfa{close: -1}
	if s.err != nil {
		return nil, s.err
	}
	if err := s.budget.spend(16); err != nil {
		return nil, err
	}
	switch {
	case depth > maxNameDepth:
		return nil, &Error{Reason: "the schema of names refers to others more than the limit", Where: "#" + of.pointer()}
	case of.kind == isBool && !of.truth:
		return none, nil
	case of.kind == isBool:
		return d, nil
	case of.kind != isObject:
		return nil, &Error{Reason: "a schema must be an object, true or false", Where: "#" + of.pointer()}
	}
	if s.typesOf(of)&typeString == 0 {
		return none, s.err
	}
	s.check(of)
	for _, m := range of.members {
		with, err := s.stringsOf(of, m, negated, depth+1)
		if err == nil && with != nil {
			d, err = intersect(s.budget, d, with)
		}
		if err != nil {
			if e, ok := err.(*Error); ok && !strings.HasPrefix(e.Where, "#") { //nolint:errorlint // ours, never wrapped
				err = &Error{Reason: m.name + ": " + e.Reason, Where: "#" + of.pointer() + "/" + escapePointer(m.name)}
			}
			return nil, err
		}
	}
	least, most := s.count(of, "minLength"), s.count(of, "maxLength")
	if least > 0 || most >= 0 {
		return ofLength(s.budget, d, s.json.text.dfa, max(0, least), most)
	}
	return d, s.err
}

// stringsOf is strings for one keyword; nil: it says nothing of strings.
//
//nolint:gocognit // a case for each keyword
func (s *schemas) stringsOf(of *value, m member, negated bool, depth int) (*dfa, error) {
	switch m.name {
	case "enum", "const":
		items := m.value.items
		if m.name == "const" {
			items = []*value{m.value}
		}
		var texts []string
		for _, item := range items {
			if item.kind == isString {
				texts = append(texts, item.canonicalText())
			}
		}
		return textsDFA(s.budget, texts)
	case "pattern":
		if m.value.kind != isString {
			return nil, errorf("must be a string")
		}
		return s.pattern(m.value.text, negated)
	case "format":
		if negated && !asksNothing(m) {
			return nil, errorf("cannot be enforced within not, or in a oneOf or if that needs its opposite")
		}
		return s.shared.format(m.value)
	case "$ref", "$dynamicRef":
		to := s.resolve(of, m.name, m.value)
		if to == nil {
			return nil, s.err
		}
		return s.strings(to, negated, depth)
	case "allOf", "anyOf", "oneOf":
		return s.stringsOfSeveral(of, m, negated, depth)
	case "not":
		return s.without1(s.shared.name, m.value, !negated, depth)
	case "if":
		either := s.conditional(of)
		if either == nil {
			return nil, nil //nolint:nilnil // it says nothing
		}
		return s.strings(either, negated, depth)
	case keyExcept:
		texts := map[string]bool{}
		for _, item := range m.value.items {
			texts[item.canonicalText()] = true
		}
		return s.withoutStrings(texts)
	case keyNotPattern:
		d, err := s.pattern(m.value.text, !negated)
		if err != nil {
			return nil, err
		}
		return subtract(s.budget, s.shared.name, d)
	}
	return nil, nil //nolint:nilnil // it says nothing
}

// without1 is the strings of an automaton that do not satisfy a schema.
func (s *schemas) without1(d *dfa, of *value, negated bool, depth int) (*dfa, error) {
	sub, err := s.strings(of, negated, depth)
	if err != nil {
		return nil, err
	}
	return subtract(s.budget, d, sub)
}

// stringsOfSeveral is stringsOf for allOf, anyOf and oneOf.
func (s *schemas) stringsOfSeveral(of *value, m member, negated bool, depth int) (*dfa, error) {
	group := s.list(of, m.name, m.value)
	var all *dfa
	for i, sub := range group {
		d, err := s.strings(sub, negated, depth)
		if err == nil && m.name == "oneOf" {
			for j, other := range group {
				if i != j && err == nil {
					d, err = s.without1(d, other, !negated, depth)
				}
			}
		}
		switch {
		case err != nil:
		case all == nil:
			all = d
		case m.name == "allOf":
			all, err = intersect(s.budget, all, d)
		default:
			all, err = combine(s.budget, all, d, func(a, b bool) bool { return a || b })
		}
		if err != nil {
			return nil, err
		}
	}
	return all, s.err
}
