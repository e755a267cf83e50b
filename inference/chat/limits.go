package chat

import (
	"fmt"

	"github.com/ardanlabs/jinja"
)

// Limits bound a render. Work is counted in units of roughly a nanosecond: an evaluation costs a few dozen, a byte
// that is read or written costs one.
type Limits struct {
	Work      int // units of work, before the input's share
	WorkPer   int // further units for each byte of input
	Value     int // bytes of any one value, before twice the input
	Items     int // items of any one list, or turns of one loop
	Recursion int // calls inside calls: macros, callers, recursive loops
	Input     int // bytes of the caller's texts
}

// DefaultLimits lets every published template through with a wide margin and ends a hostile one within about a second.
func DefaultLimits() Limits {
	return Limits{Work: 1 << 28, WorkPer: 1 << 10, Value: 1 << 20, Items: 1 << 17, Recursion: 64, Input: 16 << 20}
}

// LimitError says that a template, or what it was given, went over a limit.
type LimitError struct {
	What  string // what is limited
	Limit int    // the limit, in What's unit
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("chat template: the limit on %s (%d) is exceeded", e.What, e.Limit)
}

const (
	evaluationCost = 48 // of one evaluated expression: a call, its arguments, the result
	callCost       = 512
	itemCost       = 16 // of one list item or dict entry that is visited or copied
	turnCost       = 256
	maxDepth       = 64 // of values inside values
)

// meter is the budget of one render. It is not safe for concurrent use; one render is one goroutine.
type meter struct {
	limits Limits
	left   int // units of work
	work   int // what left began with
	value  int // bytes of one value
	depth  int // calls now open
}

func newMeter(limits Limits, inputSize int) *meter {
	work := limits.Work + inputSize*limits.WorkPer
	return &meter{limits: limits, left: work, work: work, value: limits.Value + 2*inputSize}
}

// spend takes units off the budget.
func (m *meter) spend(units int) error {
	m.left -= units
	if m.left < 0 {
		return &LimitError{What: "work", Limit: m.work}
	}
	return nil
}

// size refuses a value of more than the allowed bytes before it is made.
func (m *meter) size(bytes int) error {
	if bytes > m.value {
		return &LimitError{What: "the size of a value", Limit: m.value}
	}
	return m.spend(bytes)
}

// shallow charges for a value's own extent: the bytes of a string, the entries of a list or dict.
func (m *meter) shallow(v jinja.Value) error {
	if err := m.spend(evaluationCost); err != nil {
		return err
	}
	switch {
	case v.IsString():
		return m.size(len(v.AsString()))
	case v.IsList():
		return m.items(v.AsList().Len())
	case v.IsDict():
		return m.items(v.AsDict().Len())
	}
	return nil
}

func (m *meter) items(n int) error {
	if n > m.limits.Items {
		return &LimitError{What: "the items of a list", Limit: m.limits.Items}
	}
	return m.spend(n * itemCost)
}

// deep charges for a value as if written out, every time that a shared part appears: what printing or comparing it
// costs. Cycles and nesting beyond maxDepth are refused, since the library compares values recursively.
func (m *meter) deep(v jinja.Value) error {
	left := m.value
	before := left
	if err := weigh(v, &left, 0); err != nil {
		return err
	}
	return m.spend(evaluationCost + before - left)
}

// weigh takes a value's written size off left.
func weigh(v jinja.Value, left *int, depth int) error {
	if depth > maxDepth {
		return &LimitError{What: "the nesting of values", Limit: maxDepth}
	}
	*left -= itemCost
	if v.IsString() {
		*left -= len(v.AsString())
	}
	if *left < 0 {
		return &LimitError{What: "the size of a value", Limit: 0}
	}
	switch {
	case v.IsList():
		for _, item := range v.AsList().Items {
			if err := weigh(item, left, depth+1); err != nil {
				return err
			}
		}
	case v.IsDict():
		dict := v.AsDict()
		for _, key := range dict.Keys {
			*left -= len(key)
			if err := weigh(dict.Data[key], left, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

// weighAll is the size of the caller's variables, refused above limit.
func weighAll(vars map[string]jinja.Value, limit int) (int, error) {
	left := limit
	for _, v := range vars {
		if err := weigh(v, &left, 0); err != nil {
			return 0, &LimitError{What: "the size or nesting of the conversation", Limit: limit}
		}
	}
	return limit - left, nil
}

// enter opens a call and leave closes it: macros can call themselves.
func (m *meter) enter() error {
	if m.depth >= m.limits.Recursion {
		return &LimitError{What: "calls inside calls", Limit: m.limits.Recursion}
	}
	m.depth++
	return m.spend(callCost)
}

func (m *meter) leave() { m.depth-- }

// maxTree bounds the nesting of expressions and blocks, and with it the evaluator's recursion. The library's parser
// recurses too, but MaxSource bounds it: the deepest source of that length takes 128 MiB of stack.
const maxTree = 400
