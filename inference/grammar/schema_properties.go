package grammar

import (
	"maps"
	"slices"
)

// namePattern is a pattern of patternProperties.
type namePattern struct {
	of     *value // the schema that has it
	dfa    *dfa   // of the names that match it in all dialects
	wide   *dfa   // of those that match it in any
	schema *value
}

// namePatterns is the patterns of all schemas' patternProperties.
func (s *schemas) namePatterns(set []part) ([]namePattern, error) {
	var list []namePattern
	for i, p := range set {
		patterns := p.schema.get("patternProperties")
		if patterns == nil || slices.ContainsFunc(set[:i], func(q part) bool { return q.schema == p.schema }) {
			continue
		}
		where := "#" + p.schema.pointer() + "/patternProperties"
		if patterns.kind != isObject {
			return nil, &Error{Reason: "patternProperties: must be an object of schemas", Where: where}
		}
		for _, m := range patterns.members {
			if len(list) == maxPatterns {
				return nil, &Error{
					Reason: "patternProperties: more than " + itoa(maxPatterns) + " patterns cannot be enforced",
					Where:  "#" + set[0].schema.pointer(),
				}
			}
			d, err := s.pattern(m.name, false)
			wide := d
			if err == nil {
				wide, err = s.pattern(m.name, true)
			}
			if err != nil {
				return nil, &Error{Reason: "patternProperties: a pattern is not supported, or exceeds the limits", Where: where}
			}
			list = append(list, namePattern{p.schema, d, wide, m.value})
		}
	}
	return list, nil
}

// propertyOf is the schemas that the value of a named property must satisfy.
func (s *schemas) propertyOf(set []part, patterns []namePattern, name string) []part {
	matches := func(p *namePattern) bool { return p.dfa.accepted(jsonString(name)) }
	return s.valuesOf(set, patterns, &name, matches, s.unevaluated)
}

// valuesOf is the schemas that the value of a property must satisfy, whose name matches some patterns; name nil: of a property
// that no schema names. unevaluated adds those for properties that are not evaluated; nil: none.
func (s *schemas) valuesOf(set []part, patterns []namePattern, name *string, matches func(*namePattern) bool,
	unevaluated func(of, set []part, keyword string, evaluates func(part) bool) []part,
) []part {
	var of []part
	found := map[*value]bool{}
	for _, p := range set {
		if properties := p.schema.get("properties"); name != nil && properties != nil && properties.get(*name) != nil {
			of = append(of, part{schema: properties.get(*name)})
			found[p.schema] = true
		}
		for i := range patterns {
			if patterns[i].of == p.schema && matches(&patterns[i]) {
				of = append(of, part{schema: patterns[i].schema})
				found[p.schema] = true
			}
		}
		if additional := p.schema.get("additionalProperties"); additional != nil && !found[p.schema] {
			of = append(of, part{schema: additional})
			found[p.schema] = true
		}
	}
	if unevaluated != nil {
		of = unevaluated(of, set, "unevaluatedProperties", func(p part) bool { return found[p.schema] })
	}
	return of
}

// namesOf are properties that no schema names, by which patterns they match.
type namesOf struct {
	names   *dfa
	matched map[*namePattern]bool
}

// others finds the properties that no schema names: for each set of patterns the names that match these and no others.
func (s *schemas) others(o *objects, set []part, patterns []namePattern, names *dfa) {
	for _, n := range s.otherSets(o, set, patterns, names) {
		of := s.valuesOf(set, patterns, nil, func(p *namePattern) bool { return n.matched[p] }, s.unevaluated)
		if !isNever(of) {
			o.others = append(o.others, others{n.names, s.rule(of)})
		}
	}
}

// otherSets takes the names that no schema names apart by the patterns that they match. Of an object that may have none, it
// makes none.
func (s *schemas) otherSets(o *objects, set []part, patterns []namePattern, names *dfa) []namesOf {
	if len(patterns) == 0 && isNever(s.valuesOf(set, nil, nil, nil, s.unevaluated)) {
		return nil
	}
	free, err := s.otherNames(o.names)
	if err == nil && names != nil {
		free, err = intersect(s.budget, free, names)
	}
	if err != nil {
		s.refuseError(set[0].schema, "additionalProperties", err)
		return nil
	}
	sets := []namesOf{{free, map[*namePattern]bool{}}}
	for i := range patterns {
		p := &patterns[i]
		var split []namesOf
		for _, n := range sets {
			with, err := intersect(s.budget, n.names, p.dfa)
			var without *dfa
			if err == nil {
				without, err = subtract(s.budget, n.names, p.wide)
			}
			if err != nil {
				s.refuseError(set[0].schema, "patternProperties", err)
				return nil
			}
			if !without.empty() {
				split = append(split, namesOf{without, n.matched})
			}
			if !with.empty() {
				matched := maps.Clone(n.matched)
				matched[p] = true
				split = append(split, namesOf{with, matched})
			}
		}
		if sets = split; len(sets) > maxNames {
			s.refuse(set[0].schema, "patternProperties", "its patterns make more than "+itoa(maxNames)+" sets of names")
			return nil
		}
	}
	return sets
}

// isNever says whether false is among schemas.
func isNever(set []part) bool {
	for _, p := range set {
		if p.schema.kind == isBool && !p.schema.truth {
			return true
		}
	}
	return false
}

// otherNames is the automaton of the names but for some.
func (s *schemas) otherNames(names []string) (*dfa, error) {
	texts := make([]string, len(names))
	for i, name := range names {
		texts[i] = jsonString(name)
	}
	return s.withoutTexts(texts)
}

// withoutTexts is the automaton of the JSON strings with no more escapes than they need, but for some, given as JSON.
func (s *schemas) withoutTexts(texts []string) (*dfa, error) {
	all := s.shared.name
	if len(texts) == 0 {
		return all, nil
	}
	return without(s.budget, all, texts)
}

// textsDFA is the automaton of some texts.
func textsDFA(limit *budget, texts []string) (*dfa, error) {
	if err := limit.keep(64 * len(texts)); err != nil {
		return nil, err
	}
	n := &nfa{budget: limit}
	from, err := n.state()
	if err != nil {
		return nil, err
	}
	to, err := n.state()
	if err != nil {
		return nil, err
	}
	for _, text := range texts {
		end, err := n.literal(from, text)
		if err != nil {
			return nil, err
		}
		n.epsilon(end, to, always)
	}
	return n.determine(from, to)
}
