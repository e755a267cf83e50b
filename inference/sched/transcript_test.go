package sched_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/sluiceml/sluice/inference/kvcache"
	"github.com/sluiceml/sluice/inference/sched"
)

// TestTranscripts runs testdata, one file for each rule. The commands are
//
//	new slots=N length=N chunk=N [uniform] [blocks=N] [linger=N] [budget=N]
//	                                 a new scheduler, with a prefix store if there are blocks
//	add NAME prompt=N [limit=N] [deadline=N] [priority=N] [rank=N] [tenant=NAME]
//	                                 a sequence into the queue
//	add twins=(NAME,…) prompt=N      sequences with one prompt
//	add NAME prompt=LETTERS[+N] [salt=TEXT] [bypass]
//	                                 the same with a block of tokens for each letter, and N more
//	step [N] [end=(NAME,…)]          N steps (default 1): plan, run, results; the named end with their token
//	cancel NAME
//	pace each=N [most=N]
//	flush
//	expire now=N
//	state                            the queue, the slots and the prefix store
//
// A plan is written as what it saves of the step before, what is preempted, its copies, the slots it releases, what it
// loads, its rows (name@past, by slot or with its slot) and its chunks. A star behind a row's or chunk's position says that
// the tokens behind it are known.
// Go test's flag -rewrite writes what is printed into the files.
func TestTranscripts(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		w := &world{}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			return w.run(t, d)
		})
	})
}

type world struct {
	s       *sched.Scheduler
	slots   int
	uniform bool
	named   map[string]*sched.Sequence
	fed     uint32 // tokens that have been drawn: each is another
}

func (w *world) run(t *testing.T, d *datadriven.TestData) string {
	t.Helper()
	switch d.Cmd {
	case "new":
		var c sched.Config
		d.ScanArgs(t, "slots", &c.Slots)
		d.ScanArgs(t, "length", &c.MaxLength)
		d.ScanArgs(t, "chunk", &c.ChunkSize)
		d.MaybeScanArgs(t, "blocks", &c.Blocks)
		d.MaybeScanArgs(t, "linger", &c.Linger)
		c.Uniform = d.HasArg("uniform")
		d.MaybeScanArgs(t, "budget", &c.Budget)
		*w = world{s: sched.New(c), slots: c.Slots, uniform: c.Uniform, named: map[string]*sched.Sequence{}}
		return ""
	case "add":
		return w.add(t, d)
	case "step":
		return w.steps(t, d)
	case "cancel":
		w.s.Cancel(w.named[d.CmdArgs[0].Key])
		return ""
	case "pace":
		var p sched.Pace
		d.ScanArgs(t, "each", &p.Each)
		d.MaybeScanArgs(t, "most", &p.Most)
		w.s.SetPace(p)
		return ""
	case "flush":
		w.s.Flush()
		return fmt.Sprintf("lingering: %t\n", w.s.Lingering())
	case "expire":
		var now int64
		d.ScanArgs(t, "now", &now)
		expired := w.s.Expire(nil, now)
		return "expired:" + names(expired) + "\n"
	case "state":
		return w.state()
	}
	t.Fatalf("%s: unknown command %q", d.Pos, d.Cmd)
	return ""
}

func (w *world) add(t *testing.T, d *datadriven.TestData) string {
	t.Helper()
	if name := d.CmdArgs[0].Key; name == "twins" {
		return w.addTwins(t, d)
	}
	name := d.CmdArgs[0].Key
	var prompt string
	d.ScanArgs(t, "prompt", &prompt)
	q := &sched.Sequence{Prompt: spell(t, prompt), Owner: name}
	d.MaybeScanArgs(t, "salt", &q.Salt)
	d.MaybeScanArgs(t, "limit", &q.ChunkLimit)
	d.MaybeScanArgs(t, "priority", &q.Priority)
	d.MaybeScanArgs(t, "tenant", &q.Tenant)
	if d.HasArg("rank") {
		d.ScanArgs(t, "rank", &q.Rank)
	}
	if !d.HasArg("bypass") {
		q.Hashes = kvcache.Hashes(nil, q.Salt, q.Prompt)
	}
	if d.HasArg("deadline") {
		d.ScanArgs(t, "deadline", &q.Deadline)
	}
	w.named[name] = q
	w.s.Add(q)
	return ""
}

func (w *world) addTwins(t *testing.T, d *datadriven.TestData) string {
	t.Helper()
	var prompt string
	d.ScanArgs(t, "prompt", &prompt)
	twins := make([]*sched.Sequence, len(d.CmdArgs[0].Vals))
	for i, name := range d.CmdArgs[0].Vals {
		twins[i] = &sched.Sequence{Prompt: spell(t, prompt), Owner: name, Twins: twins}
		w.named[name] = twins[i]
	}
	for _, q := range twins {
		w.s.Add(q)
	}
	return ""
}

// spell is a prompt: a number of zeros, or a block for each letter and a number of zeros.
func spell(t *testing.T, prompt string) (tokens []uint32) {
	t.Helper()
	rest := strings.TrimLeft(prompt, "abcdefghijklmnopqrstuvwxyz")
	for _, letter := range []byte(prompt[:len(prompt)-len(rest)]) {
		for range kvcache.BlockSize {
			tokens = append(tokens, uint32(letter))
		}
	}
	n := 0
	if rest != "" {
		var err error
		if n, err = strconv.Atoi(rest); err != nil {
			t.Fatal(err)
		}
	}
	return append(tokens, make([]uint32, n)...)
}

// steps runs some steps, and stops where there is nothing to do.
func (w *world) steps(t *testing.T, d *datadriven.TestData) string {
	t.Helper()
	n := 1
	ends := map[string]bool{}
	for _, a := range d.CmdArgs {
		if a.Key == "end" {
			for _, v := range a.Vals {
				ends[v] = true
			}
			continue
		}
		if _, err := fmt.Sscan(a.Key, &n); err != nil {
			t.Fatalf("%s: %v", d.Pos, err)
		}
	}
	var b strings.Builder
	for range n {
		p := w.s.Schedule()
		fmt.Fprintln(&b, w.describe(p))
		if p.Empty() {
			break
		}
		decode := make([]sched.Result, len(p.Decode))
		for i, q := range p.Decode {
			decode[i] = w.result(q, ends)
		}
		chunks := make([]sched.Result, len(p.Chunks))
		var forks []sched.Result
		for i, c := range p.Chunks {
			if c.Last {
				chunks[i] = w.result(c.Sequence, ends)
			}
			for _, q := range c.Forks {
				forks = append(forks, w.result(q, ends))
			}
		}
		w.s.Update(decode, chunks, forks...)
	}
	return b.String()
}

func (w *world) result(q *sched.Sequence, ends map[string]bool) sched.Result {
	w.fed++
	return sched.Result{Token: w.fed, Done: ends[q.Owner.(string)]}
}

func (w *world) describe(p *sched.Plan) string {
	var parts []string
	for _, save := range p.Save {
		parts = append(parts, fmt.Sprintf("save %d@%d %d", save.Slot, save.From, save.Blocks))
	}
	if len(p.Preempted) > 0 {
		parts = append(parts, "preempt"+names(p.Preempted))
	}
	for _, c := range p.Copies {
		parts = append(parts, fmt.Sprintf("copy %d>%d (%d)", c.Src, c.Dst, c.Length))
	}
	if len(p.Release) > 0 {
		parts = append(parts, "release "+strings.Trim(fmt.Sprint(p.Release), "[]"))
	}
	first := map[*sched.Sequence]bool{}
	for _, start := range p.Starts {
		first[start.Sequence] = true
		if len(start.Load) > 0 {
			parts = append(parts, fmt.Sprintf("load %d", start.Load))
		}
	}
	if len(p.Decode) > 0 {
		rows := "decode"
		for _, q := range p.Decode {
			rows += fmt.Sprintf(" %s@%d%s", q.Owner, q.Past(), star(q))
			if w.uniform {
				rows += fmt.Sprintf(" in %d", q.Slot())
			}
		}
		parts = append(parts, rows)
	}
	for _, c := range p.Chunks {
		chunk := fmt.Sprintf("prefill %s@%d+%d%s in %d", c.Sequence.Owner, c.Past, len(c.Tokens), star(c.Sequence), c.Sequence.Slot())
		if first[c.Sequence] {
			chunk += " first"
		}
		if c.Last {
			chunk += " last"
		}
		if len(c.Forks) > 0 {
			chunk += " for" + names(c.Forks)
		}
		parts = append(parts, chunk)
	}
	if len(parts) == 0 {
		return "nothing"
	}
	return strings.Join(parts, "; ")
}

func star(q *sched.Sequence) string {
	if q.Replaying() {
		return "*"
	}
	return ""
}

func names(sequences []*sched.Sequence) string {
	var b strings.Builder
	for _, q := range sequences {
		fmt.Fprintf(&b, " %s", q.Owner)
	}
	return b.String()
}

func (w *world) state() string {
	var b strings.Builder
	slots := make([]string, w.slots)
	var waiting, lost []*sched.Sequence
	for _, q := range w.s.All(nil) {
		if q.Waiting() {
			waiting = append(waiting, q)
			continue
		}
		if !q.Running() {
			lost = append(lost, q)
			continue
		}
		slots[q.Slot()] = fmt.Sprintf("%s(%d)", q.Owner, q.Past())
	}
	fmt.Fprintf(&b, "waiting:%s\n", names(waiting))
	if len(lost) > 0 {
		fmt.Fprintf(&b, "preempted:%s\n", names(lost))
	}
	for i, s := range slots {
		if s == "" {
			s = "-"
		}
		if w.s.Ledger().Taken(i) != (s != "-") {
			s += " ledger differs"
		}
		fmt.Fprintf(&b, "%d: %s\n", i, s)
	}
	if w.s.Directory() != nil {
		p := w.s.PrefixStats()
		fmt.Fprintf(&b, "prefix: %d blocks held, %d evicted, %d of %d tokens found\n",
			p.Blocks, p.Evictions, p.CachedTokens, p.AskedTokens)
	}
	return b.String()
}
