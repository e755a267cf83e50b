package grammar

import "slices"

// A schema fails for an object where one of its properties does not satisfy what all of some names must: the object has a
// property of such a name with another value. That is a demand.

// demand is that an object has a property of some names whose value satisfies a schema.
type demand struct {
	names  *dfa
	schema *value
}

// maxDemands bounds the demands on one object, since a property may meet several.
const maxDemands = 3

// some is the schema of the objects that have a property whose name satisfies one schema and whose value another.
func (s *schemas) some(of, names, schema *value) *value {
	return s.oneType(of, "object", member{keySome, s.makeObject(of, member{"names", names}, member{"value", schema})})
}

// demand reads what an object must have, and makes the ways in which it may. asked is what the values of its named
// properties must satisfy without that.
func (s *schemas) demand(o *objects, set []part, patterns []namePattern, names *dfa, asked map[string][]part) {
	for _, p := range set {
		some := p.schema.get(keySome)
		if some == nil {
			continue
		}
		if len(o.demands) == maxDemands {
			s.refuse(p.schema, "", "more than "+itoa(maxDemands)+" keywords of properties cannot fail at once")
			return
		}
		d, err := s.strings(some.get("names"), false, 0)
		if err == nil && names != nil {
			d, err = intersect(s.budget, d, names)
		}
		if err != nil {
			s.fail(err)
			return
		}
		o.demands = append(o.demands, demand{d, some.get("value")})
	}
	type way struct {
		name  string
		which uint8
	}
	named := map[way]*rule{}
	o.witness = func(name string, which uint8) *rule {
		r, known := named[way{name, which}]
		if !known {
			r = s.namedWitness(o, slices.Clone(asked[name]), name, which)
			named[way{name, which}] = r
		}
		return r
	}
	var sets []namesOf
	if len(o.demands) > 0 {
		sets = s.otherSets(o, set, patterns, names)
	}
	made := map[uint8]*rule{}
	o.otherWitness = func(which uint8) *rule {
		if _, known := made[which]; !known {
			made[which] = s.otherWitness(o, sets, which, func(n namesOf) []part {
				return s.valuesOf(set, patterns, nil, func(p *namePattern) bool { return n.matched[p] }, s.unevaluated)
			})
		}
		return made[which]
	}
}

// namedWitness is the value of a named property that meets some demands and what else is asked of it; nil: there is none.
func (s *schemas) namedWitness(o *objects, of []part, name string, which uint8) *rule {
	if s.fail(s.budget.spend(len(of) + len(name))); s.err != nil {
		return nil
	}
	for i, d := range o.demands {
		if which>>i&1 == 0 {
			continue
		}
		if !d.names.accepted(jsonString(name)) {
			return nil
		}
		of = append(of, part{schema: d.schema})
	}
	if isNever(of) {
		return nil
	}
	return s.rule(of)
}

// otherWitness is the property that no schema names and that meets some demands; nil: there is none.
func (s *schemas) otherWitness(o *objects, sets []namesOf, which uint8, values func(namesOf) []part) *rule {
	var pairs choice
	for _, n := range sets {
		of, d := values(n), n.names
		for i, x := range o.demands {
			if which>>i&1 == 0 {
				continue
			}
			of = append(of, part{schema: x.schema})
			var err error
			if d, err = intersect(s.budget, d, x.names); err != nil {
				s.fail(err)
				return nil
			}
		}
		if !d.empty() && !isNever(of) {
			pairs = append(pairs, sequence{token{&terminal{dfa: d}}, literal(":"), token{s.json.space}, reference{s.rule(of)}})
		}
	}
	if len(pairs) == 0 {
		return nil
	}
	return &rule{name: "property", body: pairs}
}
