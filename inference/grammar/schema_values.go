package grammar

import (
	"slices"
	"strconv"
)

// types is a set of the types of JSON Schema.
type types byte

const (
	typeNull types = 1 << iota
	typeBoolean
	typeObject
	typeArray
	typeNumber // with a fraction, or without
	typeInteger
	typeString
	allTypes = 1<<iota - 1
)

var typeNames = []struct { //nolint:gochecknoglobals // a constant in all but Go's grammar
	name string
	set  types
}{
	{"null", typeNull},
	{"boolean", typeBoolean},
	{"object", typeObject},
	{"array", typeArray},
	{"number", typeNumber | typeInteger},
	{"integer", typeInteger},
	{"string", typeString},
}

// typesOf is the types that a schema allows.
func (s *schemas) typesOf(at *value) types {
	t := at.get("type")
	if t == nil {
		return allTypes
	}
	names := t.items
	if t.kind == isString {
		names = []*value{t}
	}
	s.fail(s.budget.spend(len(names)))
	var set types
	for _, name := range names {
		known := false
		for _, x := range typeNames {
			if name.kind == isString && name.text == x.name {
				set |= x.set
				known = true
			}
		}
		if !known {
			s.refuse(at, "type", "must be the name of a type, or several")
			return 0
		}
	}
	if len(names) == 0 {
		s.refuse(at, "type", "must be the name of a type, or several")
	}
	return set
}

// values is the expression of the values that satisfy schemas in which no choice is left to make.
func (s *schemas) values(set []part) expr {
	allowed := types(allTypes)
	var listed []*value // of enum and const
	lists := 0
	for _, p := range set {
		allowed &= s.typesOf(p.schema)
		for _, keyword := range []string{"enum", "const"} {
			list := p.schema.get(keyword)
			if list == nil {
				continue
			}
			items := list.items
			if keyword == "const" {
				items = []*value{list}
			} else if list.kind != isArray || len(items) > maxChoices {
				s.refuse(p.schema, keyword, "must be an array of at most "+strconv.Itoa(maxChoices)+" values")
				return nothing{}
			}
			if lists++; lists == 1 {
				listed = items
			} else {
				s.fail(s.budget.spend(4 * (len(listed) + len(items))))
				listed = s.common(listed, list, items)
			}
		}
	}
	if s.err != nil {
		return nothing{}
	}
	if lists > 0 {
		return s.listed(set, listed, allowed)
	}
	return s.typed(set, allowed)
}

// common is the values of a that are in a list.
func (s *schemas) common(a []*value, list *value, items []*value) []*value {
	in := s.listing(list, items)
	return keepIf(slices.Clone(a), func(v *value) bool { return in[v.canonicalText()] })
}

// typed is the expression of the values of some types.
func (s *schemas) typed(set []part, allowed types) expr {
	if len(set) == 0 && allowed == allTypes {
		return reference{s.json.value}
	}
	var out choice
	if allowed&typeObject != 0 {
		out = append(out, s.object(set))
	}
	if allowed&typeArray != 0 {
		out = append(out, s.array(set))
	}
	if allowed&typeString != 0 {
		out = append(out, s.text(set))
	}
	if allowed&typeInteger != 0 { // which typeNumber includes
		out = append(out, s.number(set, allowed&typeNumber == 0))
	}
	if allowed&typeBoolean != 0 {
		out = append(out, literal("true"), literal("false"))
	}
	if allowed&typeNull != 0 {
		out = append(out, literal("null"))
	}
	if len(out) == 1 {
		return out[0]
	}
	return out
}

// kindTypes is the type of a listed value.
func kindTypes(v *value) types {
	switch v.kind {
	case isNull:
		return typeNull
	case isBool:
		return typeBoolean
	case isString:
		return typeString
	case isArray:
		return typeArray
	case isObject:
		return typeObject
	case isNumber:
		if r := v.rational(); r != nil && r.IsInt() {
			return typeInteger
		}
	}
	return typeNumber
}

// listed is the expression of values that are listed, as far as they satisfy the other keywords.
func (s *schemas) listed(set []part, values []*value, allowed types) expr {
	s.fail(s.budget.spend(16 * len(values)))
	s.fail(s.budget.keep(96 * len(values)))
	var texts []string
	restricts := map[types]bool{}
	terminals := map[types]expr{} // of what the keywords of a type say
	given := make(map[string]bool, len(values))
	for _, v := range values {
		t := kindTypes(v)
		if t&allowed == 0 {
			continue
		}
		restricted, known := restricts[t]
		if !known {
			restricted = restrictsType(set, t)
			restricts[t] = restricted
		}
		text := v.canonicalText()
		if s.err != nil || given[text] {
			continue
		}
		given[text] = true
		if restricted {
			if terminals[t] == nil && t&(typeString|typeNumber|typeInteger) != 0 {
				if t == typeString {
					terminals[t] = s.text(set)
				} else {
					terminals[t] = s.number(set, false)
				}
			}
			fits, err := s.fits(terminals[t], v, t, text)
			if err != nil {
				s.fail(err)
				return nothing{}
			}
			if !fits {
				continue
			}
		}
		texts = append(texts, text)
	}
	if len(texts) == 0 {
		return nothing{}
	}
	return oneOfTexts(texts)
}

// keywordsOf are the keywords that restrict the values of a type.
func keywordsOf(t types) []string {
	switch t {
	case typeString:
		return []string{"minLength", "maxLength", "pattern", "format"}
	case typeNumber, typeInteger:
		return []string{"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"}
	case typeArray:
		return []string{"items", "prefixItems", "minItems", "maxItems", "additionalItems"}
	case typeObject:
		return []string{"properties", "required", "additionalProperties", "patternProperties", "minProperties", "maxProperties"}
	default:
		return nil
	}
}

// restrictsType says whether a schema of a set has keywords for a type.
func restrictsType(set []part, t types) bool {
	for _, p := range set {
		for _, keyword := range keywordsOf(t) {
			if p.schema.get(keyword) != nil {
				return true
			}
		}
	}
	return false
}

// fits says whether a listed value satisfies the keywords for its type, of which e is the expression.
func (s *schemas) fits(e expr, v *value, t types, text string) (bool, error) {
	if v.kind == isArray || v.kind == isObject {
		return false, &Error{Reason: "enum and const of arrays and objects cannot be combined with keywords that restrict them", Where: "#" + v.pointer()}
	}
	if s.err != nil {
		return false, s.err
	}
	terminal, ok := e.(token)
	if !ok {
		return false, nil
	}
	if t == typeNumber && !terminal.dfa.accepted(text) {
		return false, &Error{Reason: "a number of enum or const cannot be compared with the bounds beside it", Where: "#" + v.pointer()}
	}
	s.fail(s.budget.spend(len(text)))
	return terminal.accepts(text), nil
}

// accepts says whether a terminal accepts a text, its bounds included.
func (t *terminal) accepts(text string) bool {
	c := config{term: t}
	if t.dfa.empty() {
		return false
	}
	for i := range len(text) {
		to := t.dfa.step(c.state, text[i])
		if to == dead || !c.takes(to) {
			return false
		}
		if t.counts && c.state == t.dfa.loop && to != t.dfa.close {
			c.count++
		}
		c.state = to
	}
	return t.dfa.accepts[c.state]
}
