package grammar

// The negation of a schema is a choice: what a keyword of it says does not hold, for one of them. Each alternative is a schema of
// positive keywords or of keywords of our own, in which further negations stand as not, so that it is found step by step and a
// schema that refers to itself needs no special care.

// negation is the schema of the values that do not satisfy another. It refuses those of which that cannot be said.
func (s *schemas) negation(of *value) *value {
	switch of.kind {
	case isBool:
		if of.truth {
			return s.never()
		}
		return s.always()
	case isObject:
	default:
		s.refuse(of, "", "a schema must be an object, true or false")
		return s.never()
	}
	return s.makeOnce(of, "negation", func() *value {
		var alternatives []*value
		for _, m := range of.members {
			alternatives = append(alternatives, s.fails(of, m)...)
		}
		return s.either(of, alternatives...)
	})
}

// fails is the schemas of the values for which a keyword does not hold.
func (s *schemas) fails(of *value, m member) []*value {
	if o, ok := oppositeOf(m.name); ok {
		return s.failsBound(of, m, o)
	}
	switch m.name {
	case "type":
		return s.failsType(of)
	case "enum", "const":
		return s.failsList(of, m)
	case "items", "additionalItems":
		return s.failsItems(of, m)
	case "prefixItems":
		return s.failsPrefix(of, s.list(of, m.name, m.value))
	case "required":
		return each(m.value.items, func(name *value) *value { return s.without(of, name.text) })
	case "properties":
		return each(m.value.members, func(p member) *value { return s.with(of, p.name, s.not(p.value)) })
	case "additionalProperties":
		return s.failsAdditional(of, m)
	case "patternProperties":
		return s.failsPatterns(of, m.value)
	case "propertyNames":
		if asksNothing(m) {
			return nil
		}
		return []*value{s.some(of, s.not(m.value), s.always())}
	case "contains":
		return s.failsContains(of)
	case "minContains", "maxContains", "then", "else":
		return nil // with contains and if
	case "not":
		return []*value{m.value}
	case "allOf":
		return each(s.list(of, m.name, m.value), s.not)
	case "anyOf", "oneOf":
		return s.failsChoice(of, m)
	case "$ref", "$dynamicRef":
		if to := s.resolve(of, m.name, m.value); to != nil {
			return []*value{s.not(to)}
		}
		return nil
	case "if":
		return s.failsIf(of, m.value)
	case "dependentSchemas", "dependentRequired", "dependencies":
		return each(s.dependent(of, m), s.not)
	}
	s.refuseNegation(of, m)
	return nil
}

// opposite is what holds for the values of one type for which a keyword does not hold: another keyword.
type opposite struct {
	typeName string
	keyword  string
	counts   bool  // the keyword's value is a count, else the other has the same value
	by       int32 // what the other count is more
}

// oppositeOf returns the opposite of a keyword that bounds values of one type.
func oppositeOf(keyword string) (o opposite, ok bool) {
	switch keyword {
	case "minimum":
		return opposite{typeName: "number", keyword: "exclusiveMaximum"}, true
	case "exclusiveMinimum":
		return opposite{typeName: "number", keyword: "maximum"}, true
	case "maximum":
		return opposite{typeName: "number", keyword: "exclusiveMinimum"}, true
	case "exclusiveMaximum":
		return opposite{typeName: "number", keyword: "minimum"}, true
	case "multipleOf":
		return opposite{typeName: "number", keyword: keyNotMultiple}, true
	case "pattern":
		return opposite{typeName: "string", keyword: keyNotPattern}, true
	case "minLength":
		return opposite{"string", "maxLength", true, -1}, true
	case "maxLength":
		return opposite{"string", "minLength", true, 1}, true
	case "minItems":
		return opposite{"array", "maxItems", true, -1}, true
	case "maxItems":
		return opposite{"array", "minItems", true, 1}, true
	case "minProperties":
		return opposite{"object", "maxProperties", true, -1}, true
	case "maxProperties":
		return opposite{"object", "minProperties", true, 1}, true
	}
	return o, false
}

// failsBound is the schema of the opposite, or none if no value has it.
func (s *schemas) failsBound(of *value, m member, o opposite) []*value {
	if !o.counts {
		return []*value{s.oneType(of, o.typeName, member{o.keyword, m.value})}
	}
	n := s.count(of, m.name)
	if n+o.by < 0 || n < 0 || n >= maxRepeat {
		return nil
	}
	return []*value{s.oneType(of, o.typeName, member{o.keyword, s.makeCount(n + o.by)})}
}

// failsIf is the schemas of the values for which if, then and else do not hold together.
func (s *schemas) failsIf(of, condition *value) (out []*value) {
	if then := of.get("then"); then != nil {
		out = append(out, s.both(of, condition, s.not(then)))
	}
	if otherwise := of.get("else"); otherwise != nil {
		out = append(out, s.both(of, s.not(condition), s.not(otherwise)))
	}
	return out
}

// refuseNegation refuses a keyword whose negation cannot be enforced. One that holds for every value has none, and annotations
// are no keywords of that kind.
func (s *schemas) refuseNegation(of *value, m member) {
	switch m.name {
	case "format", "uniqueItems", "unevaluatedItems", "unevaluatedProperties":
		if !asksNothing(m) {
			s.refuse(of, m.name, "cannot be enforced within not, or in a oneOf or if that needs its opposite")
		}
	case keyExcept, keyNotPattern, keyNotMultiple, keySome:
		s.refuse(of, "", "a negation of this negation cannot be enforced")
	default:
		if why := refusedKeyword(m.name); why != "" {
			s.refuse(of, m.name, why)
		}
	}
}

// each returns what f makes of each element.
func each[T any](of []T, f func(T) *value) []*value {
	var out []*value
	for _, v := range of {
		out = append(out, f(v))
	}
	return out
}

// asksNothing says whether the value of a keyword lets every value be.
func asksNothing(m member) bool {
	switch m.value.kind {
	case isBool:
		return m.value.truth != (m.name == "uniqueItems")
	case isObject:
		return len(m.value.members) == 0
	case isString:
		return isNumberFormat(m.value.text)
	case isNull, isNumber, isArray:
	}
	return false
}

// failsType is the schema of the values of all other types.
func (s *schemas) failsType(of *value) []*value {
	others := allTypes &^ s.typesOf(of)
	if others == 0 {
		return nil
	}
	names := s.makeArray(of)
	for _, t := range typeNames {
		if others&t.set == t.set && (t.name != "integer" || others&typeNumber == 0) && (t.name != typeFraction || others&typeInteger == 0) {
			names.items = append(names.items, s.makeString(t.name))
		}
	}
	return []*value{s.makeObject(of, member{"type", names})}
}

// failsList is the schema of the values that an enum or a const does not list.
func (s *schemas) failsList(of *value, m member) []*value {
	items := m.value.items
	if m.name == "const" {
		items = []*value{m.value}
	}
	scalars := s.makeArray(m.value)
	all := []*value{s.makeObject(of, member{keyExcept, scalars})}
	for _, item := range items {
		if item.kind == isArray || item.kind == isObject {
			all = append(all, s.not(s.structure(item)))
		} else {
			scalars.items = append(scalars.items, item)
		}
	}
	return []*value{s.both(of, all...)}
}

// failsItems is the schemas of the arrays in which an item behind the first ones does not satisfy items.
func (s *schemas) failsItems(of *value, m member) []*value {
	prefix := of.get("prefixItems")
	if items := of.get("items"); items != nil && items.kind == isArray { // of older drafts
		if m.name == "items" {
			return s.failsPrefix(of, items.items)
		}
		prefix = items
	} else if m.name == "additionalItems" {
		return nil
	}
	length := 0
	if prefix != nil {
		length = len(prefix.items)
	}
	switch {
	case m.value.kind == isBool && m.value.truth:
		return nil
	case m.value.kind == isBool:
		return []*value{s.oneType(of, "array", member{"minItems", s.makeCount(int32(length + 1))})}
	case length == 0:
		return []*value{s.oneType(of, "array", member{"contains", s.not(m.value)})}
	}
	s.refuse(of, m.name, "behind other items it cannot be enforced within not, or in a oneOf or if that needs its opposite")
	return nil
}

// failsPrefix is the schemas of the arrays of which one of the first items does not satisfy its schema.
func (s *schemas) failsPrefix(of *value, prefix []*value) []*value {
	var out []*value
	for i, item := range prefix {
		s.fail(s.budget.spend(i))
		if s.fail(s.budget.keep(8 * (i + 1))); s.err != nil { // which is the square of their number together
			return nil
		}
		first := s.makeArray(of)
		first.items = make([]*value, i+1)
		for j := range i {
			first.items[j] = s.always()
		}
		first.items[i] = s.not(item)
		out = append(out, s.oneType(of, "array", member{"minItems", s.makeCount(int32(i + 1))}, member{"prefixItems", first}))
	}
	return out
}

// failsAdditional is the schema of the objects that have a property that the schema does not name and that does not satisfy
// additionalProperties.
func (s *schemas) failsAdditional(of *value, m member) []*value {
	if asksNothing(m) {
		return nil
	}
	var named []*value
	if properties := of.get("properties"); properties != nil && len(properties.members) > 0 {
		list := s.makeArray(of)
		for _, p := range properties.members {
			list.items = append(list.items, s.makeString(p.name))
		}
		named = append(named, s.makeObject(of, member{"enum", list}))
	}
	if patterns := of.get("patternProperties"); patterns != nil {
		for _, p := range patterns.members {
			named = append(named, s.makeObject(of, member{"pattern", s.makeString(p.name)}))
		}
	}
	return []*value{s.some(of, s.not(s.either(of, named...)), s.not(m.value))}
}

// failsPatterns is the schemas of the objects that have a property whose name matches a pattern and that does not satisfy its
// schema.
func (s *schemas) failsPatterns(of, patterns *value) []*value {
	var out []*value
	for _, p := range patterns.members {
		if p.value.kind != isBool || !p.value.truth {
			out = append(out, s.some(of, s.makeObject(of, member{"pattern", s.makeString(p.name)}), s.not(p.value)))
		}
	}
	return out
}

// failsContains is the schemas of the arrays with too few or too many items that satisfy contains.
func (s *schemas) failsContains(of *value) []*value {
	least, most := s.containsBounds(of)
	contains := member{"contains", of.get("contains")}
	var out []*value
	if least > 0 {
		out = append(out, s.oneType(of, "array", contains, member{"minContains", s.makeCount(0)}, member{"maxContains", s.makeCount(least - 1)}))
	}
	if most >= 0 {
		out = append(out, s.oneType(of, "array", contains, member{"minContains", s.makeCount(most + 1)}))
	}
	return out
}

// maxNegatedOneOf bounds the schemas of a oneOf that is negated, since each pair of them may hold.
const maxNegatedOneOf = 8

// failsChoice is the schemas of the values for which none of several schemas holds, or, of oneOf, more than one.
func (s *schemas) failsChoice(of *value, m member) []*value {
	group := s.list(of, m.name, m.value)
	none := make([]*value, 0, len(group))
	for _, sub := range group {
		none = append(none, s.not(sub))
	}
	out := []*value{s.both(of, none...)}
	if m.name == "anyOf" {
		return out
	}
	if len(group) > maxNegatedOneOf {
		s.refuse(of, m.name, "of more than "+itoa(maxNegatedOneOf)+" schemas cannot be enforced within not")
		return nil
	}
	for i, a := range group {
		for _, b := range group[:i] {
			out = append(out, s.both(of, a, b))
		}
	}
	return out
}
