package grammar

import (
	"encoding/binary"
	"slices"
)

// schemas compiles one JSON Schema. What is compiled is never a schema alone but a conjunction: the set of schemas that a
// value must satisfy together, since allOf, $ref beside other keywords, patternProperties and branches of anyOf add to
// each other. Each conjunction is a rule, so that recursion is a rule that calls itself.
type schemas struct {
	budget  *budget
	root    *value
	json    *jsonRules
	shared  *jsonDFAs
	rules   map[string]*rule
	pending []pendingRule
	merges  int
	// Where the names of schemas lead; see schema_ref.go.
	resources map[string]*resource
	dynamic   map[string]int // how many schemas have a $dynamicAnchor
	// What was made of other schemas; see schema_make.go.
	lastID int
	made   map[madeKey]*value
	scopes map[scopeKey]*scope
	// What was made of the same keywords before.
	patterns map[string]*dfa
	texts    map[string]expr
	listings map[*value]map[string]bool
	err      error
}

type pendingRule struct {
	rule *rule
	set  []part
}

// part is a schema of a conjunction. Choices that were made are not made again.
type part struct {
	schema  *value
	settled settled
	scope   *scope // the schemas that it is part of and that look at what it evaluates; nil: none
}

type settled byte

const (
	anyOfSettled settled = 1 << iota
	oneOfSettled
	listSettled // enum and const
	refSettled  // $ref, allOf and what else adds schemas
)

// compileSchema makes the rule of the JSON texts that conform to a schema.
func compileSchema(limit *budget, text string, v *Vocabulary) (*rule, error) {
	s, err := newSchemas(limit, text, v)
	if err != nil {
		return nil, err
	}
	return s.compile(s.root)
}

// newSchemas reads a schema, of which nothing is compiled yet.
func newSchemas(limit *budget, text string, v *Vocabulary) (*schemas, error) {
	root, err := parseJSON(text)
	if err == nil { // a grammar may have many
		err = limit.keep(4_000)
	}
	if err != nil {
		return nil, err
	}
	s := &schemas{
		budget: limit, root: root, json: newJSONRules(v), shared: v.terminals(), rules: map[string]*rule{},
		resources: map[string]*resource{}, dynamic: map[string]int{}, made: map[madeKey]*value{}, scopes: map[scopeKey]*scope{},
		patterns: map[string]*dfa{}, texts: map[string]expr{}, listings: map[*value]map[string]bool{},
	}
	s.lastID = root.index
	s.findResources(root, nil, false)
	return s, s.err
}

// compile makes the rule of the JSON texts that conform to a part of the schema, which shares what was made for other parts.
func (s *schemas) compile(of *value) (*rule, error) {
	start := s.rule([]part{{schema: of}})
	for len(s.pending) > 0 && s.err == nil {
		p := s.pending[len(s.pending)-1]
		s.pending = s.pending[:len(s.pending)-1]
		p.rule.body = s.conjunction(p.set)
		if len(s.rules) > maxRules {
			s.fail(errorf("the schema needs more than %d rules", maxRules))
		}
	}
	return start, s.err
}

func (s *schemas) fail(err error) {
	if s.err == nil && err != nil {
		s.err = err
	}
}

// refuse notes that a schema asks for something that cannot be enforced.
func (s *schemas) refuse(at *value, keyword, why string) {
	where := at.pointer()
	if keyword != "" {
		where += "/" + escapePointer(keyword)
		why = keyword + ": " + why
	}
	s.fail(&Error{Reason: why, Where: "#" + where})
}

// rule is the rule of a conjunction, which is compiled later.
func (s *schemas) rule(set []part) *rule {
	s.fail(s.budget.spend(1 + len(set)))
	slices.SortFunc(set, func(a, b part) int {
		if a.schema.id != b.schema.id {
			return a.schema.id - b.schema.id
		}
		if a.settled != b.settled {
			return int(a.settled) - int(b.settled)
		}
		return a.scope.number() - b.scope.number()
	})
	set = slices.Compact(set)
	var key []byte
	for _, p := range set {
		key = binary.LittleEndian.AppendUint32(key, uint32(p.schema.id))
		key = append(key, byte(p.settled))
		key = binary.LittleEndian.AppendUint32(key, uint32(p.scope.number()))
	}
	if r := s.rules[string(key)]; r != nil {
		return r
	}
	s.fail(s.budget.keep(300 + len(key) + 24*len(set)))
	r := &rule{name: "schema"}
	s.rules[string(key)] = r
	s.pending = append(s.pending, pendingRule{r, set})
	return r
}

// conjunction is the expression of the values that satisfy all schemas of a set.
func (s *schemas) conjunction(set []part) expr {
	if s.merges++; s.merges > maxMerges+maxRules {
		s.fail(errorf("the schema needs more than %d combinations", maxMerges+maxRules))
	}
	set, never := s.spread(set)
	if s.err != nil || never {
		return nothing{}
	}
	// A schema that does no more than refer to another is that one: however many do, there is one rule.
	if said := keepIf(slices.Clone(set), part.says); len(said) < len(set) && len(said) <= 1 {
		return reference{s.rule(said)}
	}
	if i, flag, group := s.unsettled(set); flag != 0 {
		return s.branches(set, i, flag, group)
	}
	return s.values(set)
}

// unsettled is the first anyOf or oneOf of schemas that is still to be chosen from: whose it is, which of the two, and its
// schemas, of a oneOf so that they exclude each other. Without one the flag is 0.
func (s *schemas) unsettled(set []part) (of int, flag settled, group *value) {
	for i, p := range set {
		if group := p.schema.get("anyOf"); group != nil && p.settled&anyOfSettled == 0 {
			return i, anyOfSettled, group
		}
		if group := p.schema.get("oneOf"); group != nil && p.settled&oneOfSettled == 0 {
			return i, oneOfSettled, s.exclusive(p.schema, group)
		}
	}
	return 0, 0, nil
}

// says whether a schema restricts its values, choices that were made not counted.
func (p part) says() bool {
	for _, m := range p.schema.members {
		switch m.name {
		case "anyOf":
			if p.settled&anyOfSettled == 0 {
				return true
			}
		case "oneOf":
			if p.settled&oneOfSettled == 0 {
				return true
			}
		case "$ref", "$dynamicRef", "allOf", "not", "if", "dependentSchemas", "dependentRequired", "dependencies":
			if p.settled&refSettled == 0 {
				return true
			}
		case "enum", "const":
			if p.settled&listSettled == 0 {
				return true
			}
		case "type", keyExcept:
			return true
		default:
			for t := types(1); t != 0 && t&allTypes != 0; t <<= 1 {
				if slices.Contains(keywordsOf(t), m.name) {
					return true
				}
			}
		}
	}
	return false
}

// branches is the choice among the schemas of anyOf or oneOf.
func (s *schemas) branches(set []part, at int, flag settled, group *value) expr {
	var out choice
	inside := s.within(set[at])
	for _, branch := range group.items {
		if s.err != nil {
			break
		}
		with := slices.Clone(set)
		with[at].settled |= flag
		out = append(out, reference{s.rule(append(with, part{schema: branch, scope: inside}))})
	}
	return out
}

// spread adds to a set the schemas that its schemas refer to, and says whether no value satisfies it.
func (s *schemas) spread(set []part) (out []part, never bool) {
	seen := map[part]bool{}
	queue := slices.Clone(set)
	for len(queue) > 0 && s.err == nil {
		p := queue[0]
		queue = queue[1:]
		if seen[p] {
			continue
		}
		seen[p] = true
		if s.merges++; s.merges > maxMerges+maxRules {
			s.fail(errorf("the schema needs more than %d combinations", maxMerges+maxRules))
		}
		switch p.schema.kind {
		case isBool:
			if !p.schema.truth {
				return nil, true
			}
			continue
		case isObject:
		default:
			s.refuse(p.schema, "", "a schema must be an object, true or false")
			return nil, true
		}
		s.fail(s.budget.spend(8 + len(p.schema.members)))
		s.check(p.schema)
		spread := p
		spread.settled |= refSettled
		out = append(out, spread)
		if p.settled&refSettled != 0 {
			continue
		}
		queue = append(queue, s.adds(p)...)
		for _, keyword := range []string{"anyOf", "oneOf"} {
			if group := p.schema.get(keyword); group != nil {
				s.list(p.schema, keyword, group)
			}
		}
	}
	return out, false
}

// adds is the schemas that a schema holds its values to besides its own keywords, without a choice.
func (s *schemas) adds(p part) []part {
	var out []part
	inside := s.within(p)
	add := func(schema *value, in *scope) {
		if schema != nil {
			out = append(out, part{schema: schema, scope: in})
		}
	}
	for _, m := range p.schema.members {
		switch m.name {
		case "$ref", "$dynamicRef":
			s.fail(s.budget.spend(len(m.value.text)))
			add(s.resolve(p.schema, m.name, m.value), inside)
		case "allOf":
			for _, sub := range s.list(p.schema, m.name, m.value) {
				add(sub, inside)
			}
		case "not":
			add(s.negation(m.value), nil) // which evaluates nothing
		case "if":
			add(s.conditional(p.schema), inside)
		case "dependentSchemas", "dependentRequired", "dependencies":
			for _, sub := range s.dependent(p.schema, m) {
				add(sub, inside)
			}
		}
	}
	return out
}

// list is the schemas of a keyword that takes several.
func (s *schemas) list(at *value, keyword string, group *value) []*value {
	if group.kind != isArray || len(group.items) == 0 {
		s.refuse(at, keyword, "must be an array of schemas")
		return nil
	}
	return group.items
}

// refusedKeyword says of keywords why they are refused.
func refusedKeyword(name string) string {
	switch name {
	case "$recursiveRef", "extends", "disallow", "divisibleBy":
		return "cannot be enforced"
	}
	return ""
}

// check refuses the keywords of a schema that are not enforced.
func (s *schemas) check(at *value) {
	for _, m := range at.members {
		if why := refusedKeyword(m.name); why != "" {
			s.refuse(at, m.name, why)
			return
		}
	}
}
