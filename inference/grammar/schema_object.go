package grammar

// objects is the objects that satisfy schemas. Their properties come in the order in which the schemas name them, those
// that are only required behind them, and then those that no schema names.
type objects struct {
	names    []string
	required map[string]bool
	values   map[string]*rule
	others   []others
	least    int
	most     int // -1: no bound

	tails map[tail]*rule
	json  *jsonRules
}

// others are properties that no schema names, by their names' automaton.
type others struct {
	names *dfa
	value *rule
}

// tail is what may follow in an object: from a property on, behind so many.
type tail struct {
	from, count int
	first       bool // nothing came before
}

// maxPatterns bounds the patterns of names that are told apart, since each may go with each.
const maxPatterns = 4

// maxTails bounds the places in objects that count their properties.
const maxTails = 20_000

// object is the expression of the objects that satisfy schemas.
func (s *schemas) object(set []part) expr {
	if !restrictsType(set, typeObject) {
		return reference{s.json.object}
	}
	o := &objects{required: map[string]bool{}, values: map[string]*rule{}, most: -1, tails: map[tail]*rule{}, json: s.json}
	patterns, err := s.namePatterns(set)
	if err != nil {
		s.fail(err)
		return nothing{}
	}
	known := map[string]bool{}
	name := func(name string) {
		if !known[name] {
			known[name] = true
			o.names = append(o.names, name)
		}
	}
	for _, p := range set {
		if properties := p.schema.get("properties"); properties != nil {
			if properties.kind != isObject {
				s.refuse(p.schema, "properties", "must be an object of schemas")
				return nothing{}
			}
			for _, m := range properties.members {
				name(m.name)
			}
		}
	}
	for _, p := range set {
		required := p.schema.get("required")
		if required == nil {
			continue
		}
		for _, r := range required.items {
			if r.kind == isString {
				o.required[r.text] = true
				name(r.text)
			}
		}
		if required.kind != isArray || len(required.items) > 0 && required.items[0].kind != isString {
			s.refuse(p.schema, "required", "must be an array of names")
			return nothing{}
		}
	}
	for _, n := range o.names {
		if s.fail(s.budget.spend(len(set) + len(patterns)*len(n))); s.err != nil {
			return nothing{}
		}
		o.values[n] = s.rule(s.valuesOf(set, patterns, n, func(p *namePattern) bool { return p.dfa.accepted(jsonString(n)) }, true))
	}
	s.others(o, set, patterns)
	s.bounds(o, set)
	if s.err != nil {
		return nothing{}
	}
	if len(o.names)*max(1, o.least, o.most) > maxTails {
		s.refuse(set[0].schema, "minProperties", "with so many properties it exceeds the limit of "+itoa(maxTails)+" places")
		return nothing{}
	}
	return sequence{literal("{"), token{s.json.space}, reference{o.tail(tail{first: true})}}
}

// namePattern is a pattern of patternProperties.
type namePattern struct {
	of     *value // the schema that has it
	dfa    *dfa
	schema *value
}

// namePatterns is the patterns of all schemas' patternProperties.
func (s *schemas) namePatterns(set []part) ([]namePattern, error) {
	var list []namePattern
	for _, p := range set {
		patterns := p.schema.get("patternProperties")
		if patterns == nil {
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
			d, err := s.pattern(m.name)
			if err != nil {
				return nil, &Error{Reason: "patternProperties: a pattern is not supported, or exceeds the limits", Where: where}
			}
			list = append(list, namePattern{p.schema, d, m.value})
		}
	}
	return list, nil
}

// valuesOf is the schemas that the value of a property must satisfy, whose name matches some patterns.
func (s *schemas) valuesOf(set []part, patterns []namePattern, name string, matches func(*namePattern) bool, named bool) []part {
	var of []part
	for _, p := range set {
		found := false
		if named {
			if properties := p.schema.get("properties"); properties != nil && properties.get(name) != nil {
				of = append(of, part{schema: properties.get(name)})
				found = true
			}
		}
		for i := range patterns {
			if patterns[i].of == p.schema && matches(&patterns[i]) {
				of = append(of, part{schema: patterns[i].schema})
				found = true
			}
		}
		if additional := p.schema.get("additionalProperties"); additional != nil && !found {
			of = append(of, part{schema: additional})
		}
	}
	return of
}

// others finds the properties that no schema names: for each set of patterns the names that match these and no others.
func (s *schemas) others(o *objects, set []part, patterns []namePattern) {
	free, err := s.otherNames(o.names)
	if err != nil {
		s.refuseError(set[0].schema, "additionalProperties", err)
		return
	}
	for matched := range 1 << len(patterns) {
		of := s.valuesOf(set, patterns, "", func(p *namePattern) bool {
			for i := range patterns {
				if p == &patterns[i] {
					return matched>>i&1 != 0
				}
			}
			return false
		}, false)
		if isNever(of) {
			continue
		}
		names := free
		for i := range patterns {
			operation := subtract
			if matched>>i&1 != 0 {
				operation = intersect
			}
			if names, err = operation(s.budget, names, patterns[i].dfa); err != nil {
				s.refuseError(set[0].schema, "patternProperties", err)
				return
			}
		}
		if !names.empty() {
			o.others = append(o.others, others{names, s.rule(of)})
		}
	}
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

// otherNames is the automaton of the names, as JSON strings with no more escapes than they need, but for some.
func (s *schemas) otherNames(names []string) (*dfa, error) {
	all := s.shared.name
	if len(names) == 0 {
		return all, nil
	}
	if err := s.budget.keep(64 * len(names)); err != nil {
		return nil, err
	}
	n := &nfa{budget: s.budget}
	from, err := n.state()
	if err != nil {
		return nil, err
	}
	to, err := n.state()
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		end, err := n.literal(from, jsonString(name))
		if err != nil {
			return nil, err
		}
		n.epsilon(end, to, always)
	}
	d, err := n.determine(from, to)
	if err != nil {
		return nil, err
	}
	return subtract(s.budget, all, d)
}

// bounds reads minProperties and maxProperties.
func (s *schemas) bounds(o *objects, set []part) {
	for _, p := range set {
		low, high := s.count(p.schema, "minProperties"), s.count(p.schema, "maxProperties")
		if high >= 0 && (o.most < 0 || int(high) < o.most) {
			o.most = int(high)
		}
		if int(low) <= o.least {
			continue
		}
		o.least = int(low)
		// A name that no schema names may come twice, and is one property then.
		if len(o.others) > 0 && o.least > 1 && o.least > len(o.required) {
			s.refuse(p.schema, "minProperties", "above 1 it can be enforced only where the schema names all properties")
		}
	}
	if o.least <= len(o.required) {
		o.least = 0
	}
	if o.most > len(o.names) && len(o.others) == 0 {
		o.most = -1
	}
}

// tail is the rule of what may follow.
func (o *objects) tail(t tail) *rule {
	if o.most < 0 {
		t.count = min(t.count, o.least)
	}
	if r := o.tails[t]; r != nil {
		return r
	}
	r := &rule{name: "properties"}
	o.tails[t] = r
	space := token{o.json.space}
	var body choice
	full := o.most >= 0 && t.count >= o.most
	if t.from < len(o.names) {
		name := o.names[t.from]
		if !full {
			body = append(body, sequence{
				separator(t.first, space),
				literal(jsonString(name) + ":"), space,
				reference{o.values[name]},
				reference{o.tail(tail{t.from + 1, t.count + 1, false})},
			})
		}
		if !o.required[name] {
			body = append(body, reference{o.tail(tail{t.from + 1, t.count, t.first})})
		}
		r.body = body
		return r
	}
	end := sequence{space, literal("}")}
	if t.first {
		end = sequence{literal("}")}
	}
	if t.count >= o.least {
		body = append(body, end)
	}
	if len(o.others) > 0 && !full {
		var pairs choice
		for _, x := range o.others {
			pairs = append(pairs, sequence{token{&terminal{dfa: x.names}}, literal(":"), space, reference{x.value}})
		}
		pair := &rule{name: "property", body: pairs}
		more := repeated{sequence{literal(","), space, reference{pair}}, max(0, o.least-t.count-1), -1}
		if o.most >= 0 {
			more.max = o.most - t.count - 1
		}
		body = append(body, sequence{separator(t.first, space), reference{pair}, more, space, literal("}")})
	}
	if len(body) == 0 {
		r.body = nothing{}
		return r
	}
	r.body = body
	return r
}

// separator stands before a property.
func separator(first bool, space expr) expr {
	if first {
		return sequence{}
	}
	return sequence{literal(","), space}
}
