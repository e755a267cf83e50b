package grammar

import "slices"

// contains is how many items of an array must satisfy a schema.
type contains struct {
	schema      *value
	least, most int // most -1: no bound
}

// maxContains bounds the schemas of contains that count the items of one array, and maxPlaces the places that they make.
const (
	maxContains = 3
	maxPlaces   = 5_000
)

// containsBounds is minContains, which is 1 if it is not set, and maxContains, -1 if it is not set.
func (s *schemas) containsBounds(at *value) (least, most int32) {
	if least = s.count(at, "minContains"); least < 0 {
		least = 1
	}
	return least, s.count(at, "maxContains")
}

// contained finds what the items of arrays are counted for.
func (s *schemas) contained(a *arrays) {
	for _, p := range a.set {
		schema := p.schema.get("contains")
		if schema == nil {
			continue
		}
		least, most := s.containsBounds(p.schema)
		if least == 0 && most < 0 {
			continue
		}
		a.contains = append(a.contains, contains{schema, int(least), int(most)})
		for _, q := range a.set {
			if rest := q.schema.get("unevaluatedItems"); rest != nil && (rest.kind != isBool || !rest.truth) {
				s.refuse(q.schema, "unevaluatedItems", "cannot be enforced beside contains")
				return
			}
		}
		if len(a.contains) > maxContains {
			s.refuse(p.schema, "contains", "of more than "+itoa(maxContains)+" schemas cannot be enforced at once")
			return
		}
	}
}

// counted is a place in an array: how many items came before, up to where that does not count any more, and how many
// satisfied each of the schemas.
type counts struct {
	items int
	of    [maxContains]int
}

// containing is the expression of arrays some of whose items must satisfy schemas.
func (s *schemas) containing(a *arrays) expr {
	far := max(a.length, a.least, a.most) // from where on the number of items does not count
	places := far + 1
	for _, c := range a.contains {
		if c.most >= 0 && c.most < c.least {
			return nothing{}
		}
		if places *= max(c.least, c.most) + 1; places > maxPlaces {
			s.refuse(a.set[0].schema, "contains", "it needs more than "+itoa(maxPlaces)+" places")
			return nothing{}
		}
	}
	c := &chain[counts]{s: s}
	c.ends = func(at counts) bool {
		for i, x := range a.contains {
			if at.of[i] < x.least {
				return false
			}
		}
		return at.items >= a.least
	}
	c.next = func(at counts) []link[counts] {
		if a.most >= 0 && at.items >= a.most {
			return nil
		}
		of := s.itemOf(a, at.items)
		at.items = min(at.items+1, far)
		return s.counting(a, 0, of, at)
	}
	return c.array(counts{})
}

// counting is the items that satisfy the schemas from the i-th on, or not, and where they lead.
func (s *schemas) counting(a *arrays, i int, of []part, at counts) []link[counts] {
	if i == len(a.contains) {
		if isNever(of) {
			return nil
		}
		return []link[counts]{{reference{s.rule(of)}, at}}
	}
	x := a.contains[i]
	var out []link[counts]
	// Where no more are needed and any number may come, it does not matter; where some are needed and any number may come,
	// one that does not count may satisfy the schema too.
	open := x.most < 0
	if !open || at.of[i] < x.least {
		if open || at.of[i] < x.most {
			with := at
			with.of[i]++
			out = s.counting(a, i+1, append(slices.Clip(of), part{schema: x.schema}), with)
		}
		if !open {
			of = append(slices.Clip(of), part{schema: s.not(x.schema)})
		}
	}
	return append(out, s.counting(a, i+1, of, at)...)
}
