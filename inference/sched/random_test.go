package sched_test

import (
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/sluiceml/sluice/inference/kvcache"
	"github.com/sluiceml/sluice/inference/sched"
)

// shadow is what the slots of a session would hold, and its prefix store.
type shadow struct {
	slots  []shadowSlot
	blocks map[int][]uint32
	forked map[int]*sched.Sequence // by the slot that the next plan has to copy to
	known  map[*sched.Sequence][]uint32
}

// shadowSlot is whose sequence a slot holds, and the tokens.
type shadowSlot struct {
	owner  *sched.Sequence
	tokens []uint32
}

func newShadow(cfg sched.Config) shadow {
	return shadow{
		slots: make([]shadowSlot, cfg.Slots), blocks: map[int][]uint32{},
		forked: map[int]*sched.Sequence{}, known: map[*sched.Sequence][]uint32{},
	}
}

// text is all that is known of a sequence: its prompt and the tokens that were fed.
func (s shadow) text(q *sched.Sequence) []uint32 {
	if s.known[q] == nil {
		s.known[q] = slices.Clone(q.Prompt)
	}
	return s.known[q]
}

// apply does a plan's work and checks every promise of Plan.
func (s shadow) apply(t *testing.T, p *sched.Plan, cfg sched.Config) {
	t.Helper()
	m := s.slots
	for _, save := range p.Save {
		if save.From%kvcache.BlockSize != 0 || len(m[save.Slot].tokens) < save.From+len(save.Blocks)*kvcache.BlockSize {
			t.Fatalf("%+v of a slot that holds %d", save, len(m[save.Slot].tokens))
		}
		for i, id := range save.Blocks {
			s.blocks[id] = slices.Clone(m[save.Slot].tokens[save.From+i*kvcache.BlockSize:][:kvcache.BlockSize])
		}
	}
	s.copies(t, p, cfg)
	for _, i := range p.Release {
		m[i] = shadowSlot{}
	}
	for _, start := range p.Starts {
		q := start.Sequence
		var loaded []uint32
		for _, id := range start.Load {
			loaded = append(loaded, s.blocks[id]...)
		}
		m[q.Slot()] = shadowSlot{owner: q, tokens: loaded[:start.Length:start.Length]}
		if !slices.Equal(m[q.Slot()].tokens, s.text(q)[:start.Length]) || q.Preemptions() == 0 && start.Length != q.Cached() {
			t.Fatalf("a prompt %v of which %v is loaded", q.Prompt, loaded)
		}
	}
	used := map[int]bool{}
	for i, q := range p.Decode {
		at := q.Slot()
		if at != i && !cfg.Uniform || used[at] || m[at].owner != q || len(m[at].tokens) != q.Past() {
			t.Fatalf("row %d: slot %d, past %d, but the slot holds %+v", i, at, q.Past(), m[at])
		}
		used[at] = true
		m[at].tokens = append(m[at].tokens, q.Next())
		if text := s.text(q); len(text) == q.Past() {
			s.known[q] = append(text, q.Next())
		}
	}
	total := 0
	for _, c := range p.Chunks {
		at := c.Sequence.Slot()
		if total += len(c.Tokens); used[at] || len(c.Tokens) == 0 {
			t.Fatalf("a chunk of %d in slot %d", len(c.Tokens), at)
		}
		used[at] = true
		if m[at].owner != c.Sequence || len(m[at].tokens) != c.Past || !slices.Equal(c.Tokens, s.text(c.Sequence)[c.Past:][:len(c.Tokens)]) {
			t.Fatalf("chunk %v at %d in slot %d, which holds %+v", c.Tokens, c.Past, at, m[at])
		}
		m[at].tokens = append(m[at].tokens, c.Tokens...)
		if want := len(m[at].tokens) == len(s.text(c.Sequence)) || !cfg.Uniform && len(m[at].tokens) == len(c.Sequence.Prompt); c.Last != want {
			t.Fatalf("Last is %t at %d of %d", c.Last, len(m[at].tokens), len(c.Sequence.Prompt))
		}
	}
	if total > cfg.ChunkSize || len(p.Chunks) > 1 && !cfg.Uniform {
		t.Fatalf("%d chunks of %d tokens", len(p.Chunks), total)
	}
}

// copies does a plan's copies.
func (s shadow) copies(t *testing.T, p *sched.Plan, cfg sched.Config) {
	t.Helper()
	m := s.slots
	touched := map[int]bool{}
	maps.DeleteFunc(s.forked, func(_ int, twin *sched.Sequence) bool { return slices.Contains(p.Preempted, twin) })
	for _, c := range p.Copies {
		if len(m[c.Src].tokens) != c.Length {
			t.Fatalf("copy %v of a slot that holds %d", c, len(m[c.Src].tokens))
		}
		if twin := s.forked[c.Dst]; twin != nil {
			if len(touched) > 0 || c.Length != len(twin.Prompt) {
				t.Fatalf("fork %v of %+v, among %v", c, m[c.Src], p.Copies)
			}
			m[c.Dst] = shadowSlot{owner: twin, tokens: slices.Clone(m[c.Src].tokens)}
			delete(s.forked, c.Dst)
			continue
		}
		if cfg.Uniform || touched[c.Src] || touched[c.Dst] {
			t.Fatalf("a slot appears twice in %v, or moves at all (%t)", p.Copies, cfg.Uniform)
		}
		touched[c.Src], touched[c.Dst] = true, true
		m[c.Dst] = shadowSlot{owner: m[c.Src].owner, tokens: slices.Clone(m[c.Src].tokens)}
	}
	if len(s.forked) > 0 {
		t.Fatalf("forks %v are not copied by %v", s.forked, p.Copies)
	}
}

// TestRandom drives random work through small schedulers and checks that every plan fits what the slots hold, that
// sequences start in order, that every started one that isn't prefilling decodes, and that nothing is left at the end.
func TestRandom(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 0))
		cfg := sched.Config{Slots: 1 + rng.IntN(6), MaxLength: 20 + rng.IntN(20), ChunkSize: 1 + rng.IntN(7), Uniform: seed%2 == 1}
		s := sched.New(cfg)
		m := newShadow(cfg)
		var queue, all []*sched.Sequence
		for range 300 {
			if rng.IntN(3) == 0 {
				twins := make([]*sched.Sequence, 1+max(0, rng.IntN(8)-4))
				prompt := make([]uint32, 1+rng.IntN(15))
				for i := range twins {
					twins[i] = &sched.Sequence{Prompt: prompt, Twins: twins}
					s.Add(twins[i])
				}
				queue, all = append(queue, twins...), append(all, twins...)
			}
			if len(all) > 0 && rng.IntN(8) == 0 {
				q := all[rng.IntN(len(all))]
				if q.Waiting() {
					queue = deleteOne(queue, q)
				}
				s.Cancel(q)
			}
			queue = runOne(t, s, m, cfg, queue, func() bool { return rng.IntN(6) == 0 })
		}
		for s.Running()+s.Waiting() > 0 {
			queue = runOne(t, s, m, cfg, queue, func() bool { return rng.IntN(3) == 0 })
		}
		m.apply(t, s.Schedule(), cfg)
		for i := range m.slots {
			if m.slots[i].owner != nil || s.Ledger().Taken(i) {
				t.Fatalf("seed %d: slot %d is still in use", seed, i)
			}
		}
	}
}

// TestRandomPrefixes drives prompts that begin alike through stores of all sizes and checks that what is loaded for a
// prompt is the prompt's, that prompts share only under one salt, and that the store is of use.
func TestRandomPrefixes(t *testing.T) {
	cached := 0
	for seed := range uint64(100) {
		rng := rand.New(rand.NewPCG(seed, 1))
		cfg := sched.Config{
			Slots: 1 + rng.IntN(4), MaxLength: 100, ChunkSize: 1 + rng.IntN(40), Blocks: 1 + rng.IntN(12),
			Uniform: seed%2 == 1,
		}
		s := sched.New(cfg)
		m := newShadow(cfg)
		var queue, all []*sched.Sequence
		for range 200 {
			if rng.IntN(2) == 0 {
				q := sharing(rng)
				queue, all = append(queue, q), append(all, q)
				s.Add(q)
			}
			if len(all) > 0 && rng.IntN(8) == 0 {
				q := all[rng.IntN(len(all))]
				if q.Waiting() {
					queue = deleteOne(queue, q)
				}
				s.Cancel(q)
			}
			queue = runOne(t, s, m, cfg, queue, func() bool { return rng.IntN(3) == 0 })
		}
		stats := s.PrefixStats()
		cached += stats.CachedTokens
		if stats.CachedTokens > stats.AskedTokens || stats.Blocks > cfg.Blocks {
			t.Fatalf("seed %d: %+v", seed, stats)
		}
		for _, q := range all {
			if q.Hashes == nil && q.Cached() > 0 {
				t.Fatalf("seed %d: a sequence without hashes has %d cached tokens", seed, q.Cached())
			}
		}
	}
	if cached == 0 {
		t.Error("nothing was ever found")
	}
}

// sharing is a prompt of a few blocks out of three, some of them changed at the end, with a rest. Each salt has blocks of
// its own, so that shadow would see another salt's; one prompt in five stays away from the store.
func sharing(rng *rand.Rand) *sched.Sequence {
	q := &sched.Sequence{Salt: []string{"", "salt"}[rng.IntN(2)]}
	for range rng.IntN(5) {
		token := uint32(rng.IntN(3) + 10*len(q.Salt))
		same := kvcache.BlockSize
		if rng.IntN(3) == 0 { // the block leaves its like somewhere
			same = rng.IntN(same)
		}
		for i := range kvcache.BlockSize {
			if i == same {
				token += 5
			}
			q.Prompt = append(q.Prompt, token)
		}
	}
	rest := uint32(rng.IntN(4) + 10*len(q.Salt))
	for range rng.IntN(kvcache.BlockSize) {
		q.Prompt = append(q.Prompt, rest)
	}
	if len(q.Prompt) == 0 {
		q.Prompt = []uint32{4}
	}
	if rng.IntN(5) > 0 {
		q.Hashes = kvcache.Hashes(nil, q.Salt, q.Prompt)
	}
	return q
}

// runOne runs a step, in which sequences end where ends says so, or where their slot is full.
func runOne(t *testing.T, s *sched.Scheduler, m shadow, cfg sched.Config, queue []*sched.Sequence, ends func() bool,
) []*sched.Sequence {
	t.Helper()
	p := s.Schedule()
	m.apply(t, p, cfg)
	if p.Empty() {
		if s.Waiting() > 0 {
			t.Fatal("nothing runs though sequences wait")
		}
		return queue
	}
	for _, start := range p.Starts {
		if !cfg.Uniform && queue[0] != start.Sequence {
			t.Fatal("out of order")
		}
		queue = deleteOne(queue, start.Sequence)
	}
	if n := s.Running(); !cfg.Uniform && n != len(p.Decode)+len(p.Chunks) {
		t.Fatalf("%d run, but %d decode", n, len(p.Decode))
	}
	results := make([]sched.Result, len(p.Decode))
	for i, q := range p.Decode {
		results[i] = sched.Result{Token: uint32(q.Past() / 4), Done: ends() || q.Past()+1 >= cfg.MaxLength-1}
	}
	chunks := make([]sched.Result, len(p.Chunks))
	var forks []sched.Result
	var twins []*sched.Sequence
	for i, c := range p.Chunks {
		chunks[i].Done = ends()
		for k, twin := range c.Forks {
			if !twin.Waiting() || !c.Last || s.Running()+k >= cfg.Slots {
				t.Fatalf("fork %d of %+v, with %d of %d slots taken", k, c, s.Running(), cfg.Slots)
			}
			forks = append(forks, sched.Result{Done: ends()})
			twins = append(twins, twin)
			queue = deleteOne(queue, twin)
		}
	}
	for i := range chunks { // a prompt with waiting twins does not end before its end
		chunks[i].Done = chunks[i].Done && (p.Chunks[i].Last || len(p.Chunks[i].Sequence.Twins) == 0)
	}
	s.Update(results, chunks, forks...)
	for _, twin := range twins {
		if twin.Running() {
			m.forked[twin.Slot()] = twin
		}
	}
	return queue
}

func deleteOne(queue []*sched.Sequence, q *sched.Sequence) []*sched.Sequence {
	for i := range queue {
		if queue[i] == q {
			return append(queue[:i:i], queue[i+1:]...)
		}
	}
	return queue
}

func TestMisusePanics(t *testing.T) {
	cfg := sched.Config{Slots: 1, MaxLength: 8, ChunkSize: 4}
	for name, misuse := range map[string]func(s *sched.Scheduler, q *sched.Sequence){
		"no slots":        func(*sched.Scheduler, *sched.Sequence) { sched.New(sched.Config{MaxLength: 8, ChunkSize: 4}) },
		"no chunk":        func(*sched.Scheduler, *sched.Sequence) { sched.New(sched.Config{Slots: 1, MaxLength: 8}) },
		"added twice":     func(s *sched.Scheduler, q *sched.Sequence) { s.Add(q) },
		"empty prompt":    func(s *sched.Scheduler, _ *sched.Sequence) { s.Add(&sched.Sequence{}) },
		"long prompt":     func(s *sched.Scheduler, _ *sched.Sequence) { s.Add(&sched.Sequence{Prompt: make([]uint32, 8)}) },
		"scheduled twice": func(s *sched.Scheduler, _ *sched.Sequence) { s.Schedule(); s.Schedule() },
		"updated twice": func(s *sched.Scheduler, _ *sched.Sequence) {
			s.Schedule()
			s.Update(nil, make([]sched.Result, 1))
			s.Update(nil, make([]sched.Result, 1))
		},
		"too many results": func(s *sched.Scheduler, _ *sched.Sequence) {
			s.Schedule()
			s.Update(make([]sched.Result, 1), make([]sched.Result, 1))
		},
		"cancelled during steps": func(s *sched.Scheduler, q *sched.Sequence) { s.Schedule(); s.Cancel(q) },
		"expired during steps":   func(s *sched.Scheduler, _ *sched.Sequence) { s.Schedule(); s.Expire(nil, 1) },
	} {
		t.Run(name, func(t *testing.T) {
			s := sched.New(cfg)
			q := &sched.Sequence{Prompt: make([]uint32, 1)}
			s.Add(q)
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			misuse(s, q)
		})
	}
}

func TestScheduleAllocatesNothing(t *testing.T) {
	for _, uniform := range []bool{false, true} {
		s := sched.New(sched.Config{Slots: 8, MaxLength: 1 << 20, ChunkSize: 16, Blocks: 4, Uniform: uniform})
		for range 8 {
			prompt := make([]uint32, 40)
			s.Add(&sched.Sequence{Prompt: prompt, Hashes: kvcache.Hashes(nil, "", prompt)})
		}
		results, chunks := make([]sched.Result, 0, 8), make([]sched.Result, 0, 8)
		step := func() {
			p := s.Schedule()
			results, chunks = results[:0], chunks[:0]
			for range p.Decode {
				results = append(results, sched.Result{Token: 1})
			}
			for range p.Chunks {
				chunks = append(chunks, sched.Result{Token: 1})
			}
			s.Update(results, chunks)
		}
		for range 50 {
			step()
		}
		if n := testing.AllocsPerRun(100, step); n != 0 {
			t.Errorf("%v allocations a step, uniform %t", n, uniform)
		}
	}
}
