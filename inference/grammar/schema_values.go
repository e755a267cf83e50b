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
	{typeFraction, typeNumber},
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
	allowed, listed, lists := s.lists(set)
	switch {
	case s.err != nil:
		return nothing{}
	case lists:
		return s.listed(set, listed, allowed)
	}
	return s.typed(set, allowed)
}

// lists is the types that schemas allow, and the values that they list, if they do.
func (s *schemas) lists(set []part) (allowed types, listed []*value, lists bool) {
	allowed = allTypes
	for _, p := range set {
		allowed &= s.typesOf(p.schema)
		for _, keyword := range []string{"enum", "const"} {
			list := p.schema.get(keyword)
			if list == nil || p.settled&listSettled != 0 {
				continue
			}
			items := list.items
			if keyword == "const" {
				items = []*value{list}
			} else if list.kind != isArray || len(items) > maxChoices {
				s.refuse(p.schema, keyword, "must be an array of at most "+strconv.Itoa(maxChoices)+" values")
				return 0, nil, false
			}
			if !lists {
				listed, lists = items, true
			} else {
				s.fail(s.budget.spend(4 * (len(listed) + len(items))))
				listed = s.common(listed, list, items)
			}
		}
	}
	return allowed, listed, lists
}

// common is the values of a that are in a list.
func (s *schemas) common(a []*value, list *value, items []*value) []*value {
	in := s.listing(list, items)
	return keepIf(slices.Clone(a), func(v *value) bool { return in[v.canonicalText()] })
}

// excluded is the texts of the scalar values that schemas exclude one by one.
func (s *schemas) excluded(set []part) map[string]bool {
	var out map[string]bool
	for _, p := range set {
		if list := p.schema.get(keyExcept); list != nil {
			if out == nil {
				out = map[string]bool{}
			}
			s.fail(s.budget.spend(4 * len(list.items)))
			s.fail(s.budget.keep(64 * len(list.items)))
			for _, item := range list.items {
				out[item.canonicalText()] = true
			}
		}
	}
	return out
}

// typed is the expression of the values of some types.
func (s *schemas) typed(set []part, allowed types) expr {
	if len(set) == 0 && allowed == allTypes {
		return reference{s.json.value}
	}
	excluded := s.excluded(set)
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
	if allowed&(typeInteger|typeNumber) != 0 {
		out = append(out, s.number(set, allowed&(typeInteger|typeNumber)))
	}
	for _, word := range []struct {
		of   types
		text string
	}{{typeBoolean, "true"}, {typeBoolean, "false"}, {typeNull, "null"}} {
		if allowed&word.of != 0 && !excluded[word.text] {
			out = append(out, literal(word.text))
		}
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
	texts, compound := s.conforming(set, values, allowed)
	switch {
	case s.err != nil:
		return nothing{}
	case len(compound) > 0:
		return s.compound(set, texts, compound)
	case len(texts) == 0:
		return nothing{}
	}
	return oneOfTexts(texts)
}

// conforming is the texts of those of the listed values that satisfy the other keywords, and the arrays and objects that other
// keywords restrict, of which that is not known.
func (s *schemas) conforming(set []part, values []*value, allowed types) (texts []string, compound []*value) {
	s.fail(s.budget.spend(16 * len(values)))
	s.fail(s.budget.keep(96 * len(values)))
	excluded := s.excluded(set)
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
		if s.err != nil || given[text] || excluded[text] {
			continue
		}
		given[text] = true
		if restricted && t&(typeArray|typeObject) != 0 {
			compound = append(compound, v)
			continue
		}
		if restricted {
			if terminals[t] == nil && t&(typeString|typeNumber|typeInteger) != 0 {
				if t == typeString {
					terminals[t] = s.text(set)
				} else {
					terminals[t] = s.number(set, typeInteger|typeNumber)
				}
			}
			fits, err := s.fits(terminals[t], v, t, text)
			s.fail(err)
			if !fits {
				continue
			}
		}
		texts = append(texts, text)
	}
	return texts, compound
}

// maxCompound bounds the arrays and objects of an enum that other keywords restrict: each becomes a schema.
const maxCompound = 200

// compound is the expression of texts, and of arrays and objects as far as they satisfy the other keywords of schemas.
func (s *schemas) compound(set []part, texts []string, values []*value) expr {
	if len(values) > maxCompound {
		s.refuse(set[0].schema, "enum", "more than "+itoa(maxCompound)+" arrays and objects beside keywords that restrict them cannot be enforced")
		return nothing{}
	}
	var out choice
	if len(texts) > 0 {
		out = append(out, oneOfTexts(texts))
	}
	others := slices.Clone(set)
	for i := range others {
		others[i].settled |= listSettled
	}
	for _, v := range values {
		out = append(out, reference{s.rule(append(slices.Clone(others), part{schema: s.structure(v)}))})
	}
	return out
}

// keywordsOf are the keywords that restrict the values of a type.
func keywordsOf(t types) []string {
	switch t {
	case typeString:
		return []string{"minLength", "maxLength", "pattern", "format", keyNotPattern, keyExcept}
	case typeNumber, typeInteger:
		return []string{"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", keyNotMultiple, keyExcept}
	case typeArray:
		return []string{
			"items", "prefixItems", "minItems", "maxItems", "additionalItems", "contains", "minContains", "maxContains", "uniqueItems",
			"unevaluatedItems",
		}
	case typeObject:
		return []string{
			"properties", "required", "additionalProperties", "patternProperties", "minProperties", "maxProperties", "propertyNames",
			"unevaluatedProperties", keySome,
		}
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
		if t.counts && t.dfa.counted(c.state, to) {
			c.count++
		}
		c.state = to
	}
	return t.dfa.accepts[c.state]
}
