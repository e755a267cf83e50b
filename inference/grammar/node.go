package grammar

// node is a place in a rule.
type node struct {
	id    int32
	edges []edge
	eps   []*node
	calls []call
	// loop is set where a rule counts repetitions: the configuration's count is how many there were.
	loop    *loop
	accepts bool // the rule may end here
	final   bool // and does nothing else

	ends  bool    // the rule's end is reached without a byte
	alive bool    // the rule's end can be reached
	first byteSet // bytes of edges

	firsts byteSet // bytes that may come first, whatever is called
}

type edge struct {
	lo, hi byte
	to     *node
}

// call reads a rule or a terminal and returns to a node.
type call struct {
	rule *rule
	term *terminal
	ret  *node
}

// loop repeats a rule min to max times; max -1: without end.
type loop struct {
	body     *rule
	min, max int32
}

// rule is a symbol of the grammar. Its nodes are its own.
type rule struct {
	name  string
	body  expr
	start *node
	nodes []*node
	size  int // of a pass through the nodes; 0: not known yet

	built      bool
	nullable   bool
	productive bool
	follow     byteSet
	first      byteSet
}

// terminal is an automaton as it is used: with bounds of the characters that it counts, if it does.
type terminal struct {
	dfa      *dfa
	id       int32
	counts   bool
	min, max int32 // max -1: without end
}

// expr is the right side of a rule, as the front ends write it.
type expr interface{ isExpr() }

type (
	literal   string // these bytes
	class     []rune // a character of these ranges, given as pairs
	sequence  []expr // one after the other
	choice    []expr // one of them
	reference struct{ *rule }
	token     struct{ *terminal }
	// repeated is of min to max times; max -1: without end.
	repeated struct {
		of       expr
		min, max int
	}
	// counted is the whole body of a rule that repeats another.
	counted struct {
		body     *rule
		min, max int32
	}
	// nothing matches no text.
	nothing struct{}
)

func (literal) isExpr()   {}
func (class) isExpr()     {}
func (sequence) isExpr()  {}
func (choice) isExpr()    {}
func (reference) isExpr() {}
func (token) isExpr()     {}
func (repeated) isExpr()  {}
func (counted) isExpr()   {}
func (nothing) isExpr()   {}

// optional is zero or one.
func optional(e expr) expr { return repeated{e, 0, 1} }
