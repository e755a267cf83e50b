package grammar

// jointClasses numbers the bytes by what two automata tell apart, and has a byte of each class.
func jointClasses(a, b *dfa) (class [256]uint8, sample []byte) {
	pairs := map[[2]uint8]uint8{}
	for i := range 256 {
		p := [2]uint8{a.class[i], b.class[i]}
		c, ok := pairs[p]
		if !ok {
			c = uint8(len(pairs))
			pairs[p] = c
			sample = append(sample, byte(i))
		}
		class[i] = c
	}
	return class, sample
}

// combine makes the automaton of the texts for which keep says yes, by whether a and b accept them.
func combine(limit *budget, a, b *dfa, keep func(a, b bool) bool) (*dfa, error) {
	d := &dfa{budget: limit}
	var sample []byte
	d.class, sample = jointClasses(a, b)
	d.classes = len(sample)
	ids := map[[2]int32]int32{}
	var list [][2]int32
	id := func(p [2]int32) int32 {
		n, ok := ids[p]
		if !ok {
			n = int32(len(list))
			ids[p] = n
			list = append(list, p)
		}
		return n
	}
	begin := [2]int32{dead, dead}
	if !a.empty() {
		begin[0] = 0
	}
	if !b.empty() {
		begin[1] = 0
	}
	id(begin)
	accepted := func(d *dfa, s int32) bool { return s != dead && d.accepts[s] }
	for i := 0; i < len(list); i++ { //nolint:intrange // the list grows
		if len(list) > maxDFA || i*d.classes > maxDFAWork {
			return nil, errorf("patterns need more than %d states together", maxDFA)
		}
		if err := limit.spend(d.classes); err != nil {
			return nil, err
		}
		p := list[i]
		d.accepts = append(d.accepts, keep(accepted(a, p[0]), accepted(b, p[1])))
		for _, by := range sample {
			to := [2]int32{dead, dead}
			if p[0] != dead {
				to[0] = a.step(p[0], by)
			}
			if p[1] != dead {
				to[1] = b.step(p[1], by)
			}
			if to == [2]int32{dead, dead} {
				d.next = append(d.next, dead)
			} else {
				d.next = append(d.next, id(to))
			}
		}
	}
	return d.finish()
}

func intersect(limit *budget, a, b *dfa) (*dfa, error) {
	return combine(limit, a, b, func(a, b bool) bool { return a && b })
}

func subtract(limit *budget, a, b *dfa) (*dfa, error) {
	return combine(limit, a, b, func(a, b bool) bool { return a && !b })
}
