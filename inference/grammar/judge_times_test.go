//go:build grammar

package grammar

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"os"
	"runtime"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluiceml/sluice/tokenizer"
)

// clock is the processor time of the calling thread: what else runs on the machine does not count.
func clock() time.Duration {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &now); err != nil {
		panic(err)
	}
	return time.Duration(now.Nano())
}

// TestTimes measures how long schemas take to compile and to prepare, and masks to find, over texts that conform to them.
// GRAMMAR_TOKENIZER is a tokenizer.json, GRAMMAR_TEXTS the texts (as TestGeneratedJSON writes them), and GRAMMAR_TIMES a
// file that scripts/grammar/times.py reads to measure others on the same tokens. GRAMMAR_PREPARE=no leaves it to the masks
// what Prepare finds. A text that the schema does not have here is read as far as it does.
func TestTimes(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	path, texts := os.Getenv("GRAMMAR_TOKENIZER"), os.Getenv("GRAMMAR_TEXTS")
	if path == "" || texts == "" {
		t.Fatal("GRAMMAR_TOKENIZER and GRAMMAR_TEXTS name no files")
	}
	tok, err := tokenizer.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	var tokens [][]byte
	for id := range tok.Size() {
		var text []byte
		if !tok.IsSpecial(uint32(id)) {
			text = tok.Bytes(uint32(id))
		}
		tokens = append(tokens, text)
	}
	end := uint32(len(tokens) - 1)
	for id, text := range tokens {
		if len(text) == 0 {
			end = uint32(id) // a special token
		}
	}
	began := clock()
	v := NewVocabulary(tokens, []uint32{end})
	t.Logf("%d tokens, %d nodes: vocabulary in %s", v.Size(), len(v.trie.nodes), clock()-began)
	began = clock()
	for step := range Warmups {
		if err := v.Warm(func() error { return nil }, step); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("what all share in %s", clock()-began)

	file, err := os.Open(texts)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	type item struct {
		Schema string   `json:"schema"`
		Tokens []uint32 `json:"tokens"`
	}
	var items []item
	lines := bufio.NewScanner(file)
	for lines.Buffer(nil, 1<<24); lines.Scan(); {
		var line struct{ Schema, Text string }
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		ids, err := tok.Encode(line.Text, tokenizer.EncodeOptions{Special: tokenizer.SpecialAsText})
		if err != nil {
			t.Fatal(err)
		}
		items = append(items, item{line.Schema, ids})
	}
	var compiles, prepares, masks, steps []time.Duration
	prepare := os.Getenv("GRAMMAR_PREPARE") != "no"
	refused, narrower := 0, 0
	mask := make([]uint64, v.words())
	for _, x := range items {
		began := clock()
		g, err := Compile(nil, Constraint{Kind: KindJSONSchema, Text: x.Schema}, v)
		if err != nil {
			refused++
			continue
		}
		compiles = append(compiles, clock()-began)
		began = clock()
		for prepare && g.Prepare() {
		}
		prepares = append(prepares, clock()-began)
		m := mustMatcher(t, g)
		for _, id := range x.Tokens {
			began := clock()
			if err := m.Mask(mask); err != nil {
				t.Fatal(err)
			}
			took := clock() - began
			masks = append(masks, took)
			if mask[id>>6]>>(id&63)&1 == 0 {
				narrower++
				break
			}
			began = clock()
			if ok, err := m.Accept(id); !ok || err != nil {
				t.Fatal(ok, err)
			}
			steps = append(steps, clock()-began)
		}
	}
	for name, list := range map[string][]time.Duration{"compile": compiles, "prepare": prepares, "mask": masks, "accept": steps} {
		slices.Sort(list)
		at := func(p float64) time.Duration { return list[int(p*float64(len(list)-1))] }
		t.Logf("%-7s %d: p50 %s, p90 %s, p99 %s, p99.9 %s, most %s", name, len(list), at(0.5), at(0.9), at(0.99), at(0.999), at(1))
	}
	t.Logf("%d of %d schemas are refused, %d texts", refused, len(items), narrower)
	if out := os.Getenv("GRAMMAR_TIMES"); out != "" {
		first := struct {
			Tokens []string `json:"tokens"`
			End    uint32   `json:"end"`
			Items  []item   `json:"items"`
		}{End: end, Items: items}
		for _, text := range tokens {
			first.Tokens = append(first.Tokens, hex.EncodeToString(text))
		}
		data, err := json.Marshal(first)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(out, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
