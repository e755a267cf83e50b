package grammar

// scope is a schema whose unevaluatedProperties or unevaluatedItems look at what the schemas evaluate that it consists of, and
// the same of those that it is part of itself. Scopes are interned: the same is the same pointer.
type scope struct {
	scopeKey
	id int
}

type scopeKey struct {
	of *value
	up *scope
}

// number orders scopes.
func (c *scope) number() int {
	if c == nil {
		return 0
	}
	return c.id
}

// evaluates says whether a schema looks at what others evaluate.
func (v *value) evaluates() bool {
	return v.get("unevaluatedProperties") != nil || v.get("unevaluatedItems") != nil
}

// within is the scope of the schemas that a schema consists of.
func (s *schemas) within(p part) *scope {
	if !p.schema.evaluates() {
		return p.scope
	}
	for c := p.scope; c != nil; c = c.up {
		if c.of == p.schema {
			return p.scope // it consists of itself, and what it evaluates then need not count twice
		}
	}
	key := scopeKey{p.schema, p.scope}
	if s.scopes[key] == nil {
		s.fail(s.budget.keep(100))
		s.scopes[key] = &scope{key, len(s.scopes) + 1}
	}
	return s.scopes[key]
}

// seenBy says whether what a schema evaluates counts for another: it is that one, or part of it.
func (p part) seenBy(q part) bool {
	if p == q {
		return true
	}
	for c := p.scope; c != nil; c = c.up {
		if c.of == q.schema && c.up == q.scope {
			return true
		}
	}
	return false
}

// unevaluated adds what the schemas of a set say by a keyword of the parts of a value that none of their own schemas
// evaluates.
func (s *schemas) unevaluated(of, set []part, keyword string, evaluates func(p part) bool) []part {
	for _, p := range set {
		rest := p.schema.get(keyword)
		if rest == nil || rest.kind == isBool && rest.truth {
			continue
		}
		s.fail(s.budget.spend(len(set)))
		evaluated := false
		for _, q := range set {
			if q.seenBy(p) && (evaluates(q) || q != p && q.schema.get(keyword) != nil) {
				evaluated = true
				break
			}
		}
		if !evaluated {
			of = append(of, part{schema: rest})
		}
	}
	return of
}
