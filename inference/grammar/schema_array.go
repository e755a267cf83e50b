package grammar

// array is the expression of the arrays that satisfy schemas.
func (s *schemas) array(set []part) expr {
	if !restrictsType(set, typeArray) {
		return reference{s.json.array}
	}
	least, most := int32(0), int32(-1)
	var heads [][]*value // by part: the schemas of the first items
	var others []*value  // by part: that of the others; nil: any
	length := 0
	for _, p := range set {
		if low := s.count(p.schema, "minItems"); low > least {
			least = low
		}
		if high := s.count(p.schema, "maxItems"); high >= 0 && (most < 0 || high < most) {
			most = high
		}
		var head []*value
		other := p.schema.get("items")
		if other != nil && other.kind == isArray { // of older drafts
			head, other = other.items, p.schema.get("additionalItems")
		} else if prefix := p.schema.get("prefixItems"); prefix != nil {
			head = s.list(p.schema, "prefixItems", prefix)
		}
		heads, others = append(heads, head), append(others, other)
		length = max(length, len(head))
	}
	if s.err != nil {
		return nothing{}
	}
	item := func(i int) expr {
		s.fail(s.budget.spend(len(set)))
		var of []part
		for j := range set {
			switch {
			case i < len(heads[j]):
				of = append(of, part{schema: heads[j][i]})
			case others[j] != nil:
				of = append(of, part{schema: others[j]})
			}
		}
		return reference{s.rule(of)}
	}
	if most >= 0 {
		length = min(length, int(most))
	}
	// From the end: what follows i items.
	space := token{s.json.space}
	end := sequence{space, literal("]")}
	rest := repeated{sequence{literal(","), space, item(length)}, max(0, int(least)-length), -1}
	if most >= 0 {
		rest.max = int(most) - length
	}
	behind := &rule{name: "items", body: sequence{rest, end}}
	for i := length - 1; i >= 1 && s.err == nil; i-- {
		next := choice{sequence{literal(","), space, item(i), reference{behind}}}
		if i >= int(least) {
			next = append(next, end)
		}
		behind = &rule{name: "items", body: next}
	}
	var first choice
	if least == 0 {
		first = append(first, literal("]"))
	}
	switch {
	case most == 0:
	case length > 0:
		first = append(first, sequence{item(0), reference{behind}})
	default:
		rest.min = max(0, int(least)-1)
		if most >= 0 {
			rest.max = int(most) - 1
		}
		first = append(first, sequence{item(0), rest, end})
	}
	return sequence{literal("["), space, first}
}
