package grammar

// chain is the rules of arrays whose items depend on those before: one for each place, which is what of those before counts.
type chain[P comparable] struct {
	s     *schemas
	rules map[P]*rule
	queue []P
	// ends says whether the array may end at a place; next is the items that may come there, with the places behind them.
	ends func(at P) bool
	next func(at P) []link[P]
}

type link[P comparable] struct {
	item expr
	to   P
}

// array is the expression of the arrays whose first item is at a place.
func (c *chain[P]) array(start P) expr {
	space := token{c.s.json.space}
	c.rules = map[P]*rule{}
	var first choice
	if c.ends(start) {
		first = append(first, literal("]"))
	}
	for _, l := range c.next(start) {
		first = append(first, sequence{l.item, reference{c.behind(l.to)}})
	}
	for len(c.queue) > 0 && c.s.err == nil {
		at := c.queue[0]
		c.queue = c.queue[1:]
		var body choice
		if c.ends(at) {
			body = append(body, sequence{space, literal("]")})
		}
		for _, l := range c.next(at) {
			body = append(body, sequence{literal(","), space, l.item, reference{c.behind(l.to)}})
		}
		c.rules[at].body = body
	}
	return sequence{literal("["), space, first}
}

// behind is the rule of what follows the items that lead to a place.
func (c *chain[P]) behind(at P) *rule {
	if r := c.rules[at]; r != nil {
		return r
	}
	c.s.fail(c.s.budget.spend(8))
	c.s.fail(c.s.budget.keep(500))
	r := &rule{name: "items", body: nothing{}}
	c.rules[at] = r
	c.queue = append(c.queue, at)
	return r
}
