package grammar

// partition numbers the parts of states that accept the same texts, and says how many there are; -1 is the number of states
// that accept none. It refines the parts of states and of steps by each other until both are stable (Valmari, Fast brief
// practical DFA minimization, 2012), in a time that grows with the steps and the logarithm of the states. It gives up where
// there are too many steps: then every state is a part of its own.
func (d *dfa) partition(alive []bool, number []int32) int {
	live := int32(0)
	for s := range number {
		number[s] = dead
		if alive[s] {
			number[s] = live
			live++
		}
	}
	count := d.countSteps(number)
	if count > maxSteps || d.budget.spend(8*count) != nil {
		return int(live)
	}
	steps := d.liveSteps(number, count)
	states := newParts(live)
	for _, told := range [][]bool{d.accepts, d.begins} {
		for s := range told {
			if number[s] >= 0 && told[s] {
				states.mark(number[s])
			}
		}
		states.split()
	}
	cords := newParts(int32(len(steps.from)))
	for _, class := range steps.classes { // one part for each class
		for i := class.from; i < class.to; i++ {
			cords.mark(i)
		}
		cords.split()
	}
	for b, c := int32(1), int32(0); c < cords.count(); c++ {
		for _, i := range cords.of(c) {
			states.mark(steps.from[i])
		}
		states.split()
		for ; b < states.count(); b++ {
			for _, s := range states.of(b) {
				for _, i := range steps.into(s) {
					cords.mark(i)
				}
			}
			cords.split()
		}
	}
	// In the order of the states, so that what comes first in a text comes first.
	named := make([]int32, states.count())
	parts := int32(0)
	for s, n := range number {
		if n < 0 {
			continue
		}
		part := states.part[n]
		if named[part] == 0 {
			parts++
			named[part] = parts
		}
		number[s] = named[part] - 1
	}
	return int(parts)
}

// liveSteps are the steps between states that accept something, by their classes.
type liveSteps struct {
	from, to []int32
	classes  []span  // the steps of each class
	order    []int32 // the steps by where they lead
	begin    []int32 // by state: where in order those that lead to it begin
}

type span struct{ from, to int32 }

// into is the steps that lead to a state.
func (l *liveSteps) into(state int32) []int32 { return l.order[l.begin[state]:l.begin[state+1]] }

// countSteps counts the steps between the states that have a number.
func (d *dfa) countSteps(number []int32) (count int) {
	for s, n := range number {
		if n < 0 {
			continue
		}
		for _, to := range d.next[s*d.classes : (s+1)*d.classes] {
			if to >= 0 && number[to] >= 0 {
				count++
			}
		}
	}
	return count
}

// liveSteps collects the steps between the states that have a number, count of them, as these numbers.
func (d *dfa) liveSteps(number []int32, count int) *liveSteps {
	l := &liveSteps{from: make([]int32, 0, count), to: make([]int32, 0, count), begin: make([]int32, len(number)+1)}
	for c := range d.classes {
		from := int32(len(l.from))
		for s, n := range number {
			if to := d.next[s*d.classes+c]; n >= 0 && to >= 0 && number[to] >= 0 {
				l.from, l.to = append(l.from, n), append(l.to, number[to])
			}
		}
		l.classes = append(l.classes, span{from, int32(len(l.from))})
	}
	for _, to := range l.to {
		l.begin[to+1]++
	}
	for s := range number {
		l.begin[s+1] += l.begin[s]
	}
	l.order = make([]int32, len(l.to))
	at := append([]int32(nil), l.begin...)
	for i, to := range l.to {
		l.order[at[to]] = int32(i)
		at[to]++
	}
	return l
}

// parts is a partition of numbers that is refined: what is marked is split off.
type parts struct {
	order, place []int32 // the numbers, those of a part together, and where each is
	part         []int32 // by number
	from, to     []int32 // by part: where in order it is
	marked       []int32 // by part: how many of it are marked, which come first
	touched      []int32 // the parts of which some are
}

// newParts has one part.
func newParts(n int32) *parts {
	p := &parts{order: make([]int32, n), place: make([]int32, n), part: make([]int32, n)}
	for i := range n {
		p.order[i], p.place[i] = i, i
	}
	if n > 0 {
		p.from, p.to, p.marked = []int32{0}, []int32{n}, []int32{0}
	}
	return p
}

func (p *parts) count() int32 { return int32(len(p.from)) }

func (p *parts) of(part int32) []int32 { return p.order[p.from[part]:p.to[part]] }

// mark marks a number, once until the next split.
func (p *parts) mark(i int32) {
	part := p.part[i]
	if p.marked[part] == 0 {
		p.touched = append(p.touched, part)
	}
	first := p.from[part] + p.marked[part]
	p.marked[part]++
	at, other := p.place[i], p.order[first]
	p.order[at], p.place[other] = other, at
	p.order[first], p.place[i] = i, first
}

// split makes two parts of those of which some numbers are marked and some are not. The smaller one gets a new number.
func (p *parts) split() {
	for _, part := range p.touched {
		from, to := p.from[part], p.to[part]
		middle := from + p.marked[part]
		p.marked[part] = 0
		if middle == to {
			continue
		}
		made := p.count()
		if middle-from <= to-middle {
			p.from[part], to = middle, middle
		} else {
			p.to[part], from = middle, middle
		}
		p.from, p.to, p.marked = append(p.from, from), append(p.to, to), append(p.marked, 0)
		for _, i := range p.order[from:to] {
			p.part[i] = made
		}
	}
	p.touched = p.touched[:0]
}
