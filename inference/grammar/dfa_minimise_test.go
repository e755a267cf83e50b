package grammar

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
)

// moore is partition as it is defined: states are told apart by what they accept, then by which parts their steps lead to, until
// nothing changes.
func moore(d *dfa, alive []bool) []int32 {
	number := make([]int32, len(alive))
	for s := range number {
		switch {
		case !alive[s]:
			number[s] = dead
		case d.accepts[s]:
			number[s] = 1
		}
		if alive[s] && d.begins != nil && d.begins[s] {
			number[s] += 2
		}
	}
	for range number {
		ids := map[string]int32{}
		next := make([]int32, len(number))
		for s, n := range number {
			if next[s] = n; n < 0 {
				continue
			}
			key := []int32{n}
			for _, to := range d.next[s*d.classes : (s+1)*d.classes] {
				if to >= 0 {
					to = number[to]
				}
				key = append(key, to)
			}
			id, ok := ids[fmt.Sprint(key)]
			if !ok {
				id = int32(len(ids))
				ids[fmt.Sprint(key)] = id
			}
			next[s] = id
		}
		number = next
	}
	return number
}

// TestPartition: the parts of random automata are those of the definition, in the order of their first states.
func TestPartition(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(5, 6)) //nolint:gosec // to be repeated
	merged := 0
	for round := range 400 {
		n := 1 + random.IntN(24)
		d := &dfa{classes: 1 + random.IntN(3), accepts: make([]bool, n)}
		if random.IntN(2) == 0 {
			d.begins = make([]bool, n)
		}
		for s := range n {
			d.accepts[s] = random.IntN(4) == 0
			if d.begins != nil {
				d.begins[s] = random.IntN(3) == 0
			}
			for range d.classes {
				d.next = append(d.next, int32(random.IntN(n+2)-2)) //nolint:gosec // few
			}
		}
		for i, to := range d.next {
			d.next[i] = max(to, dead)
		}
		alive := d.alive()
		got, want := make([]int32, n), moore(d, alive)
		parts := d.partition(alive, got)
		if !slices.Equal(got, want) || parts != int(slices.Max(append(want, dead)))+1 {
			t.Fatalf("round %d: %d parts, %v; want %v", round, parts, got, want)
		}
		if parts < n {
			merged++
		}
	}
	if merged < 100 {
		t.Errorf("only %d automata had states to merge", merged)
	}
}

// TestPartitionIsBounded: of an automaton with too many steps nothing is merged, and nothing is made of its steps.
func TestPartitionIsBounded(t *testing.T) {
	const states = 10_000
	d := &dfa{classes: maxSteps/states + 1, accepts: make([]bool, states), budget: &budget{}}
	d.next = make([]int32, states*d.classes) // all lead to the first one
	alive, number := make([]bool, states), make([]int32, states)
	for s := range alive {
		alive[s], d.accepts[s] = true, true
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	parts := d.partition(alive, number)
	runtime.ReadMemStats(&after)
	if parts != states || d.budget.work != 0 {
		t.Errorf("%d parts of %d states in %d steps", parts, states, d.budget.work)
	}
	if bytes := after.TotalAlloc - before.TotalAlloc; bytes > 1<<20 {
		t.Errorf("it takes %d bytes", bytes)
	}
}
