package ort

import (
	"math/rand/v2"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// resident counts the bytes of a mapping that are in memory.
func resident(t *testing.T, bytes []byte) int {
	t.Helper()
	page := os.Getpagesize()
	state := make([]byte, (len(bytes)+page-1)/page)
	_, _, errno := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(&bytes[0])), uintptr(len(bytes)),
		uintptr(unsafe.Pointer(&state[0])))
	if errno != 0 {
		t.Fatal(errno)
	}
	n := 0
	for _, s := range state {
		n += int(s & 1)
	}
	return n * page
}

// TestMemoryFollowsTokens wants a slot to cost what it holds, and nothing after its release.
func TestMemoryFollowsTokens(t *testing.T) {
	env := openEnvironment(t)
	config := tinyConfig()
	s := openSession(t, env, config)
	if n := resident(t, s.cache.region.bytes); n != 0 {
		t.Errorf("an unused cache takes %d bytes", n)
	}
	const tokens = 100
	page := os.Getpagesize()
	heads := 2 * config.Graph.Layers * config.Graph.KVHeads
	// Each head of each buffer holds a run of positions; it may end inside a page.
	most := heads * (tokens*config.Graph.HeadSize*4/page + 2) * page
	prompts := prompt(rand.New(rand.NewPCG(1, 1)), config.Graph.VocabSize, tokens)
	for slot := range config.Slots {
		prefill(t, s, slot, 0, prompts, config.MaxChunk)
	}
	held := resident(t, s.cache.region.bytes)
	if least := config.Slots * heads * tokens * config.Graph.HeadSize * 4; held < least || held > config.Slots*most {
		t.Errorf("%d slots of %d tokens take %d bytes, want %d to %d", config.Slots, tokens, held, least, config.Slots*most)
	}
	s.ReleaseSlot(3)
	if got, want := held-resident(t, s.cache.region.bytes), held/config.Slots; got != want {
		t.Errorf("releasing one of %d slots gives %d bytes back, want %d", config.Slots, got, want)
	}
	for slot := range config.Slots {
		s.ReleaseSlot(slot)
	}
	if n := resident(t, s.cache.region.bytes); n != 0 {
		t.Errorf("a released cache takes %d bytes", n)
	}
}

// TestStoreTakesWhatIsSaved wants the prefix store to cost what has been saved in it, to a large page.
func TestStoreTakesWhatIsSaved(t *testing.T) {
	const largePage = 2 << 20
	env := openEnvironment(t)
	config := tinyConfig()
	config.PrefixBytes = 64 << 20
	s := openSession(t, env, config)
	prefill(t, s, 0, 0, prompt(rand.New(rand.NewPCG(1, 1)), s.config.Graph.VocabSize, 64), 64)
	if n := resident(t, s.prefixes.exact.region.bytes); n != 0 {
		t.Errorf("an unused store takes %d bytes", n)
	}
	for range 2 { // the second time over the same blocks
		const blocks = 1000
		for id := range blocks {
			if err := s.SaveBlocks(0, 0, []int{id}); err != nil {
				t.Fatal(err)
			}
		}
		least := blocks * s.prefixes.bytes
		if n := resident(t, s.prefixes.exact.region.bytes); n < least || n > least+2*largePage {
			t.Errorf("%d blocks take %d bytes, want %d", blocks, n, least)
		}
	}
}

// residentAnonymous is the memory of the process that no file stands behind.
func residentAnonymous(t *testing.T) int {
	t.Helper()
	debug.FreeOSMemory() // Go's own is not what is measured
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			kilobytes, err := strconv.Atoi(strings.Fields(value)[0])
			if err != nil {
				t.Fatal(err)
			}
			return kilobytes << 10
		}
	}
	t.Fatal("the system does not say how much memory is anonymous")
	return 0
}
