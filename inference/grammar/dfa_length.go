package grammar

import "slices"

// How many characters a JSON string has is counted in one of two ways. An automaton of its own has a state for each number
// of them: that is the way of names, which are combined further. Where an expression and a large bound go together that
// would be far too many states. Then the automaton only says where a character begins, and the configurations of a text
// count; so that none of them comes to where the rest does not fit in any more, each state knows how many characters more
// it needs.

// countFrom makes an automaton one that counts what leaves a state.
func (d *dfa) countFrom(state int32) {
	d.begins = make([]bool, len(d.accepts))
	d.begins[state] = true
}

// counted says of a step of an automaton that counts whether it is the first of a character.
func (d *dfa) counted(from, to int32) bool {
	return d.begins != nil && d.begins[from] && to != d.close
}

// need is how many characters more are needed from a state.
func (d *dfa) need(state int32) int32 {
	if d.needs == nil {
		return 0
	}
	return d.needs[state]
}

// length is a place in a string: the states of two automata, and how many characters came before.
type length struct{ d, text, count int32 }

// ofLength is the automaton of those strings of d that have least to most characters; most -1: or more.
func ofLength(limit *budget, d, text *dfa, least, most int32) (*dfa, error) {
	return lengths(limit, d, text, least, most, nil)
}

// measured is the automaton of those strings of d that have least characters or more, which counts.
func measured(limit *budget, d, text *dfa, least int32) (*dfa, error) {
	made, err := lengths(limit, d, text, least, -1, func(p length) bool { return text.begins[p.text] })
	if err != nil || made.empty() {
		return made, err
	}
	made.close = int32(slices.Index(made.accepts, true)) // there is one
	made.needs = made.fewest()
	return made, limit.spend(len(made.next))
}

// lengths is ofLength, and measured where begins says at which places a character begins.
func lengths(limit *budget, d, text *dfa, least, most int32, begins func(length) bool) (*dfa, error) {
	if d.empty() {
		return d, nil
	}
	top := max(least, most)
	end := length{dead, text.close, 0}
	joint, sample := jointClasses(d, text)
	made, err := explore(limit, sample, length{}, begins, func(p length, b byte) (length, bool) {
		if p == end {
			return p, false
		}
		to := length{d.step(p.d, b), text.step(p.text, b), p.count}
		switch {
		case to.d == dead || to.text == dead:
			return to, false
		case to.text == text.close:
			return end, p.count >= least && d.accepts[to.d]
		case text.counted(p.text, to.text):
			if to.count = min(p.count+1, top); most >= 0 && p.count == most {
				return to, false
			}
		}
		return to, true
	}, func(p length) bool { return p == end })
	if err != nil || made.empty() {
		return made, err
	}
	for b := range joint { // each byte does what the one of its class does that explore has seen
		joint[b] = made.class[sample[joint[b]]]
	}
	made.class = joint
	made.finishFirsts()
	return made, nil
}

// fewest is the needs of an automaton that counts: from its end, state by state in the order of how many characters they need.
func (d *dfa) fewest() []int32 {
	into := d.sources()
	needs := make([]int32, len(d.accepts))
	for s := range needs {
		needs[s] = -1
	}
	now := []int32{d.close}
	for count := int32(0); len(now) > 0; count++ {
		var later []int32
		for len(now) > 0 {
			s := now[len(now)-1]
			now = now[:len(now)-1]
			if needs[s] >= 0 {
				continue
			}
			needs[s] = count
			for _, from := range into[s] {
				if d.counted(from, s) {
					later = append(later, from)
				} else {
					now = append(now, from)
				}
			}
		}
		now = later
	}
	return needs
}

// longest is how many characters the longest string has that an automaton accepts which counts; -1: there is none. It goes
// through the states behind all that lead to them, which leaves some out where there is a circle.
func (d *dfa) longest() int32 {
	into := make([]int, len(d.accepts)) // steps that have not been taken
	for _, to := range d.next {
		if to != dead {
			into[to]++
		}
	}
	if into[0] > 0 {
		return -1
	}
	counts := make([]int32, len(d.accepts))
	queue, passed := []int32{0}, 0
	for len(queue) > 0 {
		s := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		passed++
		for _, to := range d.next[int(s)*d.classes : (int(s)+1)*d.classes] {
			if to == dead {
				continue
			}
			count := counts[s]
			if d.counted(s, to) {
				count++
			}
			counts[to] = max(counts[to], count)
			if into[to]--; into[to] == 0 {
				queue = append(queue, to)
			}
		}
	}
	if passed < len(d.accepts) {
		return -1
	}
	return counts[d.close]
}

// explore makes the automaton of an abstract machine that reads bytes of an alphabet, by all places that it can come to.
// begins says at which of them a character begins; nil: it does not count.
func explore[P comparable](
	limit *budget, alphabet []byte, start P, begins func(P) bool, step func(P, byte) (P, bool), accepts func(P) bool,
) (*dfa, error) {
	d := &dfa{classes: len(alphabet) + 1, budget: limit} // class 0 is that of all other bytes
	for i, b := range alphabet {
		d.class[b] = uint8(i + 1)
	}
	ids := map[P]int32{start: 0}
	list := []P{start}
	for i := 0; i < len(list); i++ { //nolint:intrange // the list grows
		if len(list) > maxDFA {
			return nil, errorf("it needs more than %d states", maxDFA)
		}
		if err := limit.spend(d.classes); err != nil {
			return nil, err
		}
		d.accepts = append(d.accepts, accepts(list[i]))
		if begins != nil {
			d.begins = append(d.begins, begins(list[i]))
		}
		d.next = append(d.next, dead)
		for _, b := range alphabet {
			to, ok := step(list[i], b)
			if !ok {
				d.next = append(d.next, dead)
				continue
			}
			id, known := ids[to]
			if !known {
				id = int32(len(list))
				ids[to] = id
				list = append(list, to)
			}
			d.next = append(d.next, id)
		}
	}
	return d.finish()
}
