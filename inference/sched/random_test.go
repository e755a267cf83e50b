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
}

// shadowSlot is whose sequence a slot holds, how much of it, and the part of its prompt.
type shadowSlot struct {
	owner  *sched.Sequence
	length int
	prompt []uint32
}

// apply does a plan's work and checks every promise of Plan.
func (s shadow) apply(t *testing.T, p *sched.Plan, cfg sched.Config) {
	t.Helper()
	m := s.slots
	touched := map[int]bool{}
	maps.DeleteFunc(s.forked, func(_ int, twin *sched.Sequence) bool { return slices.Contains(p.Preempted, twin) })
	for _, c := range p.Copies {
		if twin := s.forked[c.Dst]; twin != nil {
			if len(touched) > 0 || m[c.Src].length != c.Length || c.Length != len(twin.Prompt) {
				t.Fatalf("fork %v of %+v, among %v", c, m[c.Src], p.Copies)
			}
			m[c.Dst] = m[c.Src]
			m[c.Dst].owner = twin
			delete(s.forked, c.Dst)
			continue
		}
		if touched[c.Src] || touched[c.Dst] {
			t.Fatalf("a slot appears twice in %v", p.Copies)
		}
		touched[c.Src], touched[c.Dst] = true, true
		if m[c.Src].length != c.Length {
			t.Fatalf("copy %v of a slot that holds %d", c, m[c.Src].length)
		}
		m[c.Dst] = m[c.Src]
	}
	if len(s.forked) > 0 {
		t.Fatalf("forks %v are not copied by %v", s.forked, p.Copies)
	}
	for _, i := range p.Release {
		m[i] = shadowSlot{}
	}
	for i, q := range p.Decode {
		if q.Slot() != i || m[i].owner != q || m[i].length != q.Past() {
			t.Fatalf("row %d: slot %d, past %d, but the slot holds %+v", i, q.Slot(), q.Past(), m[i])
		}
		m[i].length++
	}
	c := p.Chunk
	if c.Sequence == nil {
		return
	}
	i := c.Sequence.Slot()
	if i < len(p.Decode) || len(c.Tokens) == 0 || len(c.Tokens) > cfg.ChunkSize {
		t.Fatalf("a chunk of %d in slot %d with %d rows", len(c.Tokens), i, len(p.Decode))
	}
	if c.First {
		m[i] = shadowSlot{owner: c.Sequence}
		for _, id := range c.Load {
			m[i].prompt = append(m[i].prompt, s.blocks[id]...)
		}
		m[i].length = c.Past
		m[i].prompt = m[i].prompt[:c.Past:c.Past]
		if !slices.Equal(m[i].prompt, c.Sequence.Prompt[:m[i].length]) || m[i].length != c.Sequence.Cached() {
			t.Fatalf("a prompt %v of which %v is cached", c.Sequence.Prompt, m[i].prompt)
		}
	} else if len(c.Load) > 0 {
		t.Fatalf("blocks %v are loaded behind the beginning", c.Load)
	}
	if m[i].owner != c.Sequence || m[i].length != c.Past {
		t.Fatalf("chunk at %d in slot %d, which holds %+v", c.Past, i, m[i])
	}
	m[i].length += len(c.Tokens)
	m[i].prompt = append(m[i].prompt, c.Tokens...)
	for k, id := range c.Save {
		s.blocks[id] = slices.Clone(m[i].prompt[c.SaveFrom+k*kvcache.BlockSize:][:kvcache.BlockSize])
	}
	if c.Last != (m[i].length == len(c.Sequence.Prompt)) {
		t.Fatalf("Last is %t at %d of %d", c.Last, m[i].length, len(c.Sequence.Prompt))
	}
}

// TestRandom drives random work through small schedulers and checks that every plan fits what the slots hold, that
// sequences start in order, that every started one that isn't prefilling decodes, and that nothing is left at the end.
func TestRandom(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 0))
		cfg := sched.Config{Slots: 1 + rng.IntN(6), MaxLength: 20 + rng.IntN(20), ChunkSize: 1 + rng.IntN(7)}
		s := sched.New(cfg)
		m := shadow{slots: make([]shadowSlot, cfg.Slots), forked: map[int]*sched.Sequence{}}
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
		}
		s := sched.New(cfg)
		m := shadow{slots: make([]shadowSlot, cfg.Slots), blocks: map[int][]uint32{}, forked: map[int]*sched.Sequence{}}
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

// sharing is a prompt of a few blocks out of three, some of them changed at the end, with a rest. Each salt has blocks of its own, so that shadow would
// see another salt's; one prompt in five stays away from the store.
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
	if p.Chunk.First {
		if queue[0] != p.Chunk.Sequence {
			t.Fatal("out of order")
		}
		queue = queue[1:]
	}
	if n := s.Running(); n != len(p.Decode) && (n != len(p.Decode)+1 || p.Chunk.Sequence == nil) {
		t.Fatalf("%d run, but %d decode", n, len(p.Decode))
	}
	results := make([]sched.Result, len(p.Decode))
	for i, q := range p.Decode {
		results[i] = sched.Result{Done: ends() || q.Past()+1 >= cfg.MaxLength-1}
	}
	forks := make([]sched.Result, len(p.Chunk.Forks))
	for i, twin := range p.Chunk.Forks {
		if !twin.Waiting() || !p.Chunk.Last || s.Running()+i >= cfg.Slots {
			t.Fatalf("fork %d of %+v, with %d of %d slots taken", i, p.Chunk, s.Running(), cfg.Slots)
		}
		forks[i].Done = ends()
		queue = deleteOne(queue, twin)
	}
	twins := slices.Clone(p.Chunk.Forks)
	s.Update(results, sched.Result{Done: ends()}, forks...)
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
			s.Update(nil, sched.Result{})
			s.Update(nil, sched.Result{})
		},
		"too many results": func(s *sched.Scheduler, _ *sched.Sequence) {
			s.Schedule()
			s.Update(make([]sched.Result, 1), sched.Result{})
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
	s := sched.New(sched.Config{Slots: 8, MaxLength: 1 << 20, ChunkSize: 16, Blocks: 4})
	for range 8 {
		prompt := make([]uint32, 40)
		s.Add(&sched.Sequence{Prompt: prompt, Hashes: kvcache.Hashes(nil, "", prompt)})
	}
	results := make([]sched.Result, 0, 8)
	step := func() {
		p := s.Schedule()
		results = results[:0]
		for range p.Decode {
			results = append(results, sched.Result{Token: 1})
		}
		s.Update(results, sched.Result{Token: 1})
	}
	for range 50 {
		step()
	}
	if n := testing.AllocsPerRun(100, step); n != 0 {
		t.Errorf("%v allocations a step", n)
	}
}
