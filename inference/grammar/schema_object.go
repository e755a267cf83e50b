package grammar

import (
	"math/bits"
	"slices"
)

// objects is the objects that satisfy schemas. Their properties come in the order in which the schemas name them, those
// that are only required behind them, and then those that no schema names.
type objects struct {
	names    []string
	required map[string]bool
	values   map[string]*rule
	others   []others
	least    int
	most     int // -1: no bound

	demands      []demand
	witness      func(name string, which uint8) *rule // the value of a property that meets some demands; nil: it cannot
	otherWitness func(which uint8) *rule              // the pair of a property that no schema names, likewise

	tails  map[tail]*rule
	json   *jsonRules
	budget *budget
}

// others are properties that no schema names, by their names' automaton.
type others struct {
	names *dfa
	value *rule
}

// tail is what may follow in an object: from a property on, behind so many.
type tail struct {
	from, count int
	first       bool  // nothing came before
	met         uint8 // the demands that are met, a bit for each
}

// maxPatterns bounds the patterns of names that are told apart, and maxNames the sets of names that they make, since each may go
// with each.
const (
	maxPatterns = 64
	maxNames    = 64
)

// maxTails bounds the places in objects that count their properties.
const maxTails = 20_000

// object is the expression of the objects that satisfy schemas.
func (s *schemas) object(set []part) expr {
	if !restrictsType(set, typeObject) {
		return reference{s.json.object}
	}
	o := &objects{
		required: map[string]bool{}, values: map[string]*rule{}, most: -1, tails: map[tail]*rule{}, json: s.json, budget: s.budget,
	}
	patterns, err := s.namePatterns(set)
	if err != nil {
		s.fail(err)
		return nothing{}
	}
	if !s.propertiesOf(o, set) {
		return nothing{}
	}
	names, err := s.propertyNames(set)
	if err != nil {
		s.fail(err)
		return nothing{}
	}
	asked := s.named(o, set, patterns, names)
	s.others(o, set, patterns, names)
	s.demand(o, set, patterns, names, asked)
	s.bounds(o, set)
	if s.err != nil {
		return nothing{}
	}
	if len(o.names)*max(1, o.least, o.most) > maxTails {
		s.refuse(set[0].schema, "minProperties", "with so many properties it exceeds the limit of "+itoa(maxTails)+" places")
		return nothing{}
	}
	first := o.tail(tail{first: true})
	s.fail(s.budget.poll(0)) // tail has spent of it
	return sequence{literal("{"), token{s.json.space}, reference{first}}
}

// propertiesOf reads which properties the schemas name, in order, and which of them they require. It reports whether they say so in
// the proper form.
func (s *schemas) propertiesOf(o *objects, set []part) bool {
	known := map[string]bool{}
	name := func(name string) {
		if !known[name] {
			known[name] = true
			o.names = append(o.names, name)
		}
	}
	for _, p := range set {
		properties := p.schema.get("properties")
		if properties == nil {
			continue
		}
		if properties.kind != isObject {
			s.refuse(p.schema, "properties", "must be an object of schemas")
			return false
		}
		for _, m := range properties.members {
			name(m.name)
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
			return false
		}
	}
	return true
}

// named makes the rules of the values of the named properties. What it returns is what these must satisfy, if there are demands.
func (s *schemas) named(o *objects, set []part, patterns []namePattern, names *dfa) (asked map[string][]part) {
	if slices.ContainsFunc(set, func(p part) bool { return p.schema.get(keySome) != nil }) {
		asked = make(map[string][]part, len(o.names))
	}
	for _, n := range o.names {
		if s.fail(s.budget.spend(len(set) + len(patterns)*len(n))); s.err != nil {
			return nil
		}
		of := []part{{schema: s.never()}}
		if names == nil || names.accepted(jsonString(n)) {
			of = s.propertyOf(set, patterns, n)
		}
		if asked != nil {
			s.fail(s.budget.keep(100 + 32*len(of)))
			asked[n] = slices.Clone(of) // rule orders it
		}
		o.values[n] = s.rule(of)
	}
	return asked
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
	if len(o.demands) > 0 && len(o.others) > 0 && (o.least > 1 || o.most >= 0) {
		s.refuse(set[0].schema, "maxProperties", "it cannot be enforced beside additionalProperties within not, or in a oneOf or if that needs its opposite")
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
	r := &rule{name: "properties", body: nothing{}}
	// A property that is not there, and one that meets each set of the demands that are left: of each alternative some
	// bytes stay.
	if n := 1 + 1<<bits.OnesCount8(o.allMet()&^t.met); o.budget.spend(4*n) != nil || o.budget.keep(200*n) != nil {
		return r
	}
	o.tails[t] = r
	if t.from < len(o.names) {
		r.body = o.nextProperty(t)
	} else if ends := o.ends(t); len(ends) > 0 {
		r.body = ends
	}
	return r
}

// full says whether no more properties may come.
func (o *objects) full(t tail) bool { return o.most >= 0 && t.count >= o.most }

// nextProperty is the choice between the next named property, for each set of demands that it may meet, and none.
func (o *objects) nextProperty(t tail) choice {
	space := token{o.json.space}
	var body choice
	name := o.names[t.from]
	with := func(value *rule, met uint8) {
		body = append(body, sequence{
			separator(t.first, space),
			literal(jsonString(name) + ":"), space,
			reference{value},
			reference{o.tail(tail{t.from + 1, t.count + 1, false, met})},
		})
	}
	if !o.full(t) {
		with(o.values[name], t.met)
		for which := uint8(1); which <= o.allMet(); which++ {
			if which&t.met != 0 {
				continue
			}
			if value := o.witness(name, which); value != nil {
				with(value, t.met|which)
			}
		}
	}
	if !o.required[name] {
		body = append(body, reference{o.tail(tail{t.from + 1, t.count, t.first, t.met})})
	}
	return body
}

// ends is the choice between the object's end, where it may come, and properties that no schema names before it. It is empty if
// neither may come.
func (o *objects) ends(t tail) choice {
	space := token{o.json.space}
	var body choice
	end := sequence{space, literal("}")}
	if t.first {
		end = sequence{literal("}")}
	}
	lacks := o.allMet() &^ t.met
	if t.count >= o.least && lacks == 0 {
		body = append(body, end)
	}
	if len(o.others) > 0 && !o.full(t) {
		var pairs choice
		for _, x := range o.others {
			pairs = append(pairs, sequence{token{&terminal{dfa: x.names}}, literal(":"), space, reference{x.value}})
		}
		pair := &rule{name: "property", body: pairs}
		more := repeated{sequence{literal(","), space, reference{pair}}, max(0, o.least-t.count-1), -1}
		if o.most >= 0 {
			more.max = o.most - t.count - 1
		}
		if lacks != 0 {
			body = append(body, o.lacking(t, pair, lacks))
		} else {
			body = append(body, sequence{separator(t.first, space), reference{pair}, more, space, literal("}")})
		}
	}
	return body
}

// allMet has a bit for each demand.
func (o *objects) allMet() uint8 { return 1<<len(o.demands) - 1 }

// lacking is the expression of the properties that no schema names, to the object's end, where demands are not met. The last one
// meets them: of another, a property of the same name behind it might take the place.
func (o *objects) lacking(t tail, pair *rule, lacks uint8) expr {
	last := o.otherWitness(lacks)
	if last == nil {
		return nothing{}
	}
	space := token{o.json.space}
	before := repeated{sequence{reference{pair}, literal(","), space}, 0, -1}
	return sequence{separator(t.first, space), before, reference{last}, space, literal("}")}
}

// separator stands before a property.
func separator(first bool, space expr) expr {
	if first {
		return sequence{}
	}
	return sequence{literal(","), space}
}
