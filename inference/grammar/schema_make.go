package grammar

// Much of JSON Schema says the same as other schemas of simpler keywords do. Those are made here, as values like the parsed
// ones, once for each that they are made of, so that what refers to itself comes back to the same rule.

// Keywords of our own, which no text can spell: they are not UTF-8.
const (
	keyExcept      = "\xffexcept"      // an array of scalar values that are excluded
	keyNotPattern  = "\xffnotPattern"  // an expression that is found nowhere in a string
	keyNotMultiple = "\xffnotMultiple" // what a number is no multiple of
	keySome        = "\xffsome"        // an object has a property: the schemas of its name ("names") and of its value ("value")
	typeFraction   = "\xfffraction"    // the type of the numbers that are no integers
)

// madeKey is what a schema was made of, and how.
type madeKey struct {
	of  *value
	how string
}

// makeOnce makes the schema that is made of another in some way, the first time that it is asked for.
func (s *schemas) makeOnce(of *value, how string, build func() *value) *value {
	key := madeKey{of, how}
	if v := s.made[key]; v != nil {
		return v
	}
	s.fail(s.budget.keep(400))
	v := build()
	if v.origin == nil && s.isMade(v) { // what was parsed has a place of its own
		v.origin = of
	}
	s.made[key] = v
	return v
}

// newValue is a value that no text has.
func (s *schemas) newValue(kind valueKind) *value {
	s.lastID++
	s.fail(s.budget.spend(1))
	s.fail(s.budget.keep(250))
	return &value{kind: kind, id: s.lastID}
}

// isMade says whether newValue made a value: those that were parsed have the numbers before.
func (s *schemas) isMade(v *value) bool { return v.id > s.root.index }

// makeObject makes an object of names and values in turn.
func (s *schemas) makeObject(of *value, members ...member) *value {
	v := s.newValue(isObject)
	v.origin, v.resource = of, of.resource
	v.members = members
	v.byName = make(map[string]*value, len(members))
	for _, m := range members {
		v.byName[m.name] = m.value
	}
	return v
}

func (s *schemas) makeArray(of *value, items ...*value) *value {
	v := s.newValue(isArray)
	v.origin, v.resource, v.items = of, of.resource, items
	return v
}

func (s *schemas) makeString(text string) *value {
	v := s.newValue(isString)
	v.text = text
	return v
}

func (s *schemas) makeCount(n int32) *value {
	v := s.newValue(isNumber)
	v.text = itoa(int(n))
	return v
}

// always and never are the schemas of any value and of none.
func (s *schemas) always() *value {
	return s.makeOnce(s.root, "always", func() *value { v := s.newValue(isBool); v.truth = true; return v })
}

func (s *schemas) never() *value {
	return s.makeOnce(s.root, "never", func() *value { return s.newValue(isBool) })
}

// oneType is a schema of values of a type with some keywords.
func (s *schemas) oneType(of *value, name string, members ...member) *value {
	return s.makeObject(of, append([]member{{"type", s.makeString(name)}}, members...)...)
}

// property1 is the value of the keyword with one property.
func (s *schemas) property1(of *value, name string, schema *value) member {
	return member{"properties", s.makeObject(of, member{name, schema})}
}

// required1 is the keyword required of one name.
func (s *schemas) required1(of *value, name string) member {
	return member{"required", s.makeArray(of, s.makeString(name))}
}

// without is the objects that have no property of a name, and with those that have it and satisfy a schema.
func (s *schemas) without(of *value, name string) *value {
	return s.oneType(of, "object", s.property1(of, name, s.never()))
}

func (s *schemas) with(of *value, name string, schema *value) *value {
	return s.oneType(of, "object", s.required1(of, name), s.property1(of, name, schema))
}

// not is the schema of the values that do not satisfy another.
func (s *schemas) not(v *value) *value {
	return s.makeOnce(v, "not", func() *value { return s.makeObject(v, member{"not", v}) })
}

// both is the schema of the values that satisfy several.
func (s *schemas) both(of *value, all ...*value) *value {
	return s.makeObject(of, member{"allOf", s.makeArray(of, all...)})
}

// either is the schema of the values that satisfy one of several.
func (s *schemas) either(of *value, alternatives ...*value) *value {
	switch len(alternatives) {
	case 0:
		return s.never()
	case 1:
		return alternatives[0]
	}
	return s.makeObject(of, member{"anyOf", s.makeArray(of, alternatives...)})
}

// conditional is if, then and else as a choice: the values that satisfy the first two, and those that satisfy not the first but
// the last.
func (s *schemas) conditional(at *value) *value {
	condition, then, otherwise := at.get("if"), at.get("then"), at.get("else")
	if then == nil && otherwise == nil && !at.evaluates() {
		return nil
	}
	return s.makeOnce(at, "if", func() *value {
		holds, fails := []*value{condition}, []*value{s.not(condition)}
		if then != nil {
			holds = append(holds, then)
		}
		if otherwise != nil {
			fails = append(fails, otherwise)
		}
		return s.either(at, s.both(at, holds...), s.both(at, fails...))
	})
}

// dependent is what dependentSchemas, dependentRequired or dependencies ask: for each name that an object does not have it, or
// that it satisfies a schema.
func (s *schemas) dependent(at *value, m member) []*value {
	if m.value.kind != isObject {
		s.refuse(at, m.name, "must be an object")
		return nil
	}
	var out []*value
	for _, d := range m.value.members {
		names := d.value.kind == isArray
		if names && m.name == "dependentSchemas" || !names && m.name == "dependentRequired" {
			s.refuse(at, m.name, "must be an object of schemas, or of arrays of names")
			return nil
		}
		if names && len(d.value.items) == 0 || d.value.kind == isBool && d.value.truth {
			continue
		}
		out = append(out, s.makeOnce(d.value, m.name, func() *value {
			of := at
			has := s.oneType(of, "object", s.required1(of, d.name))
			if names {
				has = s.oneType(of, "object", member{"required", s.makeArray(d.value, append([]*value{s.makeString(d.name)}, d.value.items...)...)})
			} else {
				has = s.both(of, has, d.value)
			}
			others := s.makeArray(of)
			for _, t := range typeNames {
				if t.name != "object" && t.name != "integer" && t.name != typeFraction {
					others.items = append(others.items, s.makeString(t.name))
				}
			}
			return s.either(of, s.makeObject(of, member{"type", others}), s.without(of, d.name), has)
		}))
	}
	return out
}

// maxExact is of up to how many schemas of a oneOf each excludes the others as such. Of more, it has a property that tells it
// from another, where there is one: their negations would be too many together.
const maxExact = 2

// has is the schema of the objects that have a property.
func (s *schemas) has(of *value, name string) *value {
	return s.makeOnce(of, "has "+name, func() *value { return s.oneType(of, "object", s.required1(of, name)) })
}

// exclusive is the choices of a oneOf: its schemas, where no two hold for one value, else each without those that might hold too.
func (s *schemas) exclusive(at, group *value) *value {
	return s.makeOnce(group, "oneOf", func() *value {
		out := s.makeArray(group)
		compared := s.compare(at, group)
		if s.err != nil {
			return out
		}
		for i, item := range group.items {
			all := []*value{item}
			for j, other := range group.items {
				if i == j || compared.apart(i, j) {
					continue
				}
				if len(group.items) > maxExact {
					if name, ok := compared.toldApart(i, j); ok {
						all = append(all, s.has(group, name))
						continue
					}
				}
				all = append(all, s.not(other))
			}
			if len(all) > 1 {
				item = s.both(group, all...)
			}
			out.items = append(out.items, item)
		}
		return out
	})
}

// structure is the schema of the arrays or objects that are equal to a value.
func (s *schemas) structure(v *value) *value {
	return s.makeOnce(v, "structure", func() *value {
		constant := func(v *value) *value { return s.makeObject(v, member{"const", v}) }
		if v.kind == isArray {
			n := s.makeCount(int32(len(v.items)))
			prefix := s.makeArray(v)
			for _, item := range v.items {
				prefix.items = append(prefix.items, constant(item))
			}
			members := []member{{"minItems", n}, {"maxItems", n}}
			if len(v.items) > 0 {
				members = append(members, member{"prefixItems", prefix})
			}
			return s.oneType(v, "array", members...)
		}
		properties, required := s.makeObject(v), s.makeArray(v)
		for _, m := range v.members {
			c := constant(m.value)
			properties.members = append(properties.members, member{m.name, c})
			properties.byName[m.name] = c
			required.items = append(required.items, s.makeString(m.name))
		}
		return s.oneType(v, "object", member{"properties", properties}, member{"required", required}, member{"additionalProperties", s.never()})
	})
}
