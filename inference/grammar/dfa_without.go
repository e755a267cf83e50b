package grammar

// without is the automaton of what another accepts, but for some texts: their tree, and behind what leaves it the states of
// the other. Of the other, none that accepts leads on.
func without(limit *budget, of *dfa, texts []string) (*dfa, error) {
	w := &excluding{of: of, others: make([]int32, len(of.accepts))}
	total := 0
	for _, text := range texts {
		total += len(text)
	}
	if err := limit.keep(64 * total); err != nil {
		return nil, err
	}
	w.add(0)
	for _, text := range texts {
		if !of.accepted(text) {
			continue
		}
		if err := w.exclude(text); err != nil {
			return nil, err
		}
	}
	return w.determine(limit)
}

// excluding makes an automaton of without.
type excluding struct {
	of     *dfa
	nodes  []excluded
	others []int32 // by state of the other: its number behind the nodes, from 1; 0: none
	bytes  byteSet // of the steps between nodes
}

// excluded is a node of the tree.
type excluded struct {
	like     int32          // the state of the other
	children map[byte]int32 // dead: the end of a text
}

func (w *excluding) add(like int32) int32 {
	w.nodes = append(w.nodes, excluded{like, map[byte]int32{}})
	return int32(len(w.nodes) - 1)
}

// exclude adds a text that the other accepts. One text alone may be too long.
func (w *excluding) exclude(text string) error {
	at := int32(0)
	for i := range len(text) {
		b := text[i]
		w.bytes.add(b)
		if i == len(text)-1 {
			w.nodes[at].children[b] = dead
			return nil
		}
		to, ok := w.nodes[at].children[b]
		if !ok {
			if len(w.nodes) == maxDFA {
				return errorf("names and values need more than %d states together", maxDFA)
			}
			to = w.add(w.of.step(w.nodes[at].like, b))
			w.nodes[at].children[b] = to
		}
		at = to
	}
	return nil
}

// determine makes the automaton: the nodes, and the states of the other that can be reached.
func (w *excluding) determine(limit *budget) (*dfa, error) {
	d := &dfa{budget: limit}
	var sample []byte
	named := map[uint8]uint8{} // by class of the other: that of its bytes which are in no text
	for i := range 256 {
		b := byte(i)
		class, ok := named[w.of.class[b]]
		if !ok || w.bytes.has(b) {
			class = uint8(len(sample))
			sample = append(sample, b)
			if !w.bytes.has(b) {
				named[w.of.class[b]] = class
			}
		}
		d.class[b] = class
	}
	d.classes = len(sample)
	var others []int32
	number := func(state int32) int32 {
		if state == dead {
			return dead
		}
		if w.others[state] == 0 {
			others = append(others, state)
			w.others[state] = int32(len(others))
		}
		return int32(len(w.nodes)) + w.others[state] - 1
	}
	for _, n := range w.nodes {
		d.accepts = append(d.accepts, w.of.accepts[n.like])
		for _, b := range sample {
			to, ok := n.children[b]
			if !ok {
				to = number(w.of.step(n.like, b))
			}
			d.next = append(d.next, to)
		}
		if err := limit.spend(d.classes); err != nil {
			return nil, err
		}
	}
	for i := 0; i < len(others); i++ { //nolint:intrange // the list grows
		d.accepts = append(d.accepts, w.of.accepts[others[i]])
		for _, b := range sample {
			d.next = append(d.next, number(w.of.step(others[i], b)))
		}
	}
	return d.finish()
}
