package grammar

import (
	"encoding/binary"
	"slices"
	"sync"
	"sync/atomic"
)

// dfa is a deterministic automaton over bytes, without states from which nothing is accepted. State 0 is its start.
type dfa struct {
	class   [256]uint8
	classes int
	next    []int32 // state × class; -1: none
	accepts []bool

	// Of an automaton that counts characters: the states where one begins, and the state behind the closing quote. What leaves
	// one of begins, but for the closing quote, is one character more. nil and -1 of others.
	begins []bool
	close  int32
	// How many characters more are needed at least from each state until a text is accepted; nil: none.
	needs []int32

	shared      bool         // among the grammars of a vocabulary
	restriction *restriction // nil: of no other
	firsts      []byteSet    // by state: the bytes that lead on
	follow      byteSet      // bytes that may come behind; others are not looked at

	budget *budget // while it is made

	mu      sync.Mutex
	locals  []atomic.Pointer[local] // by state
	classed *classTrie              // the vocabulary, by classes; guarded by mu
}

const dead = -1

func (d *dfa) step(state int32, b byte) int32 { return d.next[int(state)*d.classes+int(d.class[b])] }

// empty says whether nothing is accepted.
func (d *dfa) empty() bool { return len(d.accepts) == 0 }

// run is the state behind a text; dead if there is none.
func (d *dfa) run(text string) int32 {
	if d.empty() {
		return dead
	}
	var s int32
	for i := range len(text) {
		if s = d.step(s, text[i]); s == dead {
			return dead
		}
	}
	return s
}

// accepted says whether a text is accepted.
func (d *dfa) accepted(text string) bool {
	s := d.run(text)
	return s != dead && d.accepts[s]
}

// classesOf numbers the bytes by the ranges of an automaton that tell them apart.
func (n *nfa) classesOf() (class [256]uint8, count int) {
	var cut [257]bool
	for _, s := range n.states {
		for _, r := range s.ranges {
			cut[r.lo] = true
			cut[int(r.hi)+1] = true
		}
	}
	for b := range 256 {
		if b > 0 && cut[b] {
			count++
		}
		class[b] = uint8(count)
	}
	return class, count + 1
}

// determine makes the deterministic automaton of the texts that lead from one state to another.
func (n *nfa) determine(from, to int32) (*dfa, error) {
	class, classes := n.classesOf()
	sample := make([]byte, classes) // a byte of each class
	for b := range 256 {
		sample[class[b]] = byte(b)
	}
	d := &dfa{class: class, classes: classes, budget: n.budget}
	w := &subsets{nfa: n, ids: map[string]int32{}, mark: make([]int, len(n.states))}
	w.add([]int32{from}, true)
	targets := make([][]int32, classes)
	work, spent := 0, 0
	for i := 0; i < len(w.sets); i++ { //nolint:intrange // the list grows
		if len(w.sets) > maxDFA {
			return nil, errorf("an expression needs more than %d states", maxDFA)
		}
		d.accepts = append(d.accepts, w.reachesEnd(w.sets[i], to, i == 0))
		for c := range targets {
			targets[c] = targets[c][:0]
		}
		for _, s := range w.sets[i] {
			for _, r := range n.states[s].ranges {
				for c := int(class[r.lo]); c <= int(class[r.hi]); c++ {
					targets[c] = append(targets[c], r.to)
					work++
				}
			}
		}
		for _, t := range targets {
			work += len(t)
			if len(t) == 0 {
				d.next = append(d.next, dead)
				continue
			}
			d.next = append(d.next, w.add(t, false))
		}
		if work += w.spent; work > maxDFAWork {
			return nil, errorf("an expression takes more than %d steps to prepare", maxDFAWork)
		}
		w.spent = 0
		if err := n.spend(work - spent + classes); err != nil {
			return nil, err
		}
		spent = work
	}
	return d.finish()
}

// subsets numbers sets of states.
type subsets struct {
	nfa   *nfa
	sets  [][]int32
	ids   map[string]int32
	mark  []int
	round int
	spent int

	stack, closed []int32 // of the last call of close
	key           []byte
}

// add closes a set of states and numbers it. The set at the start of a text has a number of its own.
func (w *subsets) add(set []int32, start bool) int32 {
	set = w.close(set, start, false)
	slices.Sort(set)
	key := w.key[:0]
	if start {
		key = append(key, 1)
	}
	for _, s := range set {
		key = binary.LittleEndian.AppendUint32(key, uint32(s))
	}
	w.key = key
	if id, ok := w.ids[string(key)]; ok {
		return id
	}
	id := int32(len(w.sets))
	w.ids[string(key)] = id
	w.sets = append(w.sets, slices.Clone(set))
	return id
}

// close follows the steps without a byte. What it returns is good until the next call.
func (w *subsets) close(set []int32, start, end bool) []int32 {
	w.round++
	w.stack = append(w.stack[:0], set...)
	out, stack := w.closed[:0], w.stack
	for len(stack) > 0 {
		s := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if w.mark[s] == w.round {
			continue
		}
		w.mark[s] = w.round
		out = append(out, s)
		w.spent++
		for _, e := range w.nfa.states[s].eps {
			if e.when == always || e.when == atStart && start || e.when == atEnd && end {
				stack = append(stack, e.to)
			}
		}
	}
	w.stack, w.closed = stack, out
	return out
}

// reachesEnd says whether a text may end in a set.
func (w *subsets) reachesEnd(set []int32, to int32, start bool) bool {
	return slices.Contains(w.close(set, start, true), to)
}

// finish drops the states from which nothing is accepted, and merges those that accept the same. Of one that counts, a
// state where a character begins stays apart from those within one.
func (d *dfa) finish() (*dfa, error) {
	d.close = -1
	d.follow = *allBytes()
	n := len(d.accepts)
	alive := d.alive()
	number := make([]int32, n) // of the part that a state is in; -1: dead
	parts := d.partition(alive, number)
	if n == 0 || !alive[0] {
		return &dfa{class: d.class, classes: d.classes, close: -1}, d.budget.poll(n)
	}
	next := make([]int32, parts*d.classes)
	accepts := make([]bool, parts)
	var begins []bool
	if d.begins != nil {
		begins = make([]bool, parts)
	}
	for s := range n {
		p := number[s]
		if p < 0 {
			continue
		}
		accepts[p] = d.accepts[s]
		if begins != nil {
			begins[p] = d.begins[s]
		}
		for c := range d.classes {
			t := d.next[s*d.classes+c]
			if t >= 0 {
				t = number[t]
			}
			next[int(p)*d.classes+c] = t
		}
	}
	d.next, d.accepts, d.begins = next, accepts, begins
	d.join()
	d.locals = make([]atomic.Pointer[local], parts)
	d.finishFirsts()
	err := d.budget.spend(32 * parts)
	if err == nil {
		err = d.budget.keep(d.size())
	}
	d.budget = nil // which ends with Compile
	return d, err
}

// size is about how many bytes an automaton takes, what it knows of a vocabulary not counted.
func (d *dfa) size() int {
	return 400 + 4*len(d.next) + 41*len(d.accepts) + len(d.begins) + 4*len(d.needs)
}

// join gives bytes one class that lead to the same states.
func (d *dfa) join() {
	columns := map[string]uint8{}
	var renamed [256]uint8 // by class
	var kept []int
	column := make([]byte, 0, 4*len(d.accepts))
	for c := range d.classes {
		column = column[:0]
		for s := range d.accepts {
			column = binary.LittleEndian.AppendUint32(column, uint32(d.next[s*d.classes+c]))
		}
		id, ok := columns[string(column)]
		if !ok {
			id = uint8(len(kept))
			columns[string(column)] = id
			kept = append(kept, c)
		}
		renamed[c] = id
	}
	next := make([]int32, 0, len(d.accepts)*len(kept))
	for s := range d.accepts {
		for _, c := range kept {
			next = append(next, d.next[s*d.classes+c])
		}
	}
	for b, c := range d.class {
		d.class[b] = renamed[c]
	}
	d.classes, d.next = len(kept), next
}

// finishFirsts finds the bytes that lead on from each state.
func (d *dfa) finishFirsts() {
	d.firsts = make([]byteSet, len(d.accepts))
	for s := range d.firsts {
		for b := range 256 {
			if d.step(int32(s), byte(b)) != dead {
				d.firsts[s].add(byte(b))
			}
		}
	}
}

// sources has of each state those that lead to it.
func (d *dfa) sources() [][]int32 {
	into := make([][]int32, len(d.accepts))
	for s := range into {
		last := int32(dead)
		for _, t := range d.next[s*d.classes : (s+1)*d.classes] {
			if t >= 0 && t != last {
				into[t] = append(into[t], int32(s))
				last = t
			}
		}
	}
	return into
}

// alive says of each state whether something is accepted from it.
func (d *dfa) alive() []bool {
	n := len(d.accepts)
	into := d.sources()
	alive := make([]bool, n)
	var stack []int32
	for s, ok := range d.accepts {
		if ok {
			alive[s] = true
			stack = append(stack, int32(s))
		}
	}
	for len(stack) > 0 {
		s := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		for _, from := range into[s] {
			if !alive[from] {
				alive[from] = true
				stack = append(stack, from)
			}
		}
	}
	return alive
}
