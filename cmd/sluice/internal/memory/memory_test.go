package memory

import (
	"fmt"
	"math"
	"os"
	"runtime"
	"testing"
	"testing/fstest"
)

// TestThisMachine: what the machine that the test runs on says is of a believable size.
func TestThisMachine(t *testing.T) {
	const least = 1 << 20
	if n := Limit(); n < least {
		t.Errorf("the limit is %d bytes", n)
	}
	if n := Available(os.DirFS("/")); n < least {
		t.Errorf("%d bytes are available", n)
	}
	if n := Resident(); runtime.GOOS == "linux" && n < least {
		t.Errorf("%d bytes are resident", n)
	}
}

// TestAvailable: the system's say, or the group's limit without what the process has taken of its own, where that is less.
func TestAvailable(t *testing.T) {
	t.Parallel()
	const mib = 1 << 20
	page := os.Getpagesize()
	meminfo := func(mebibytes int) string {
		return fmt.Sprintf("MemTotal:       99999999 kB\nMemFree:               1 kB\nMemAvailable:   %d kB\nBuffers:  0 kB\n", mebibytes<<10)
	}
	statm := func(resident, shared int) string { // in mebibytes
		return fmt.Sprintf("999999 %d %d 1 0 1 0\n", resident*mib/page, shared*mib/page)
	}
	for _, test := range []struct {
		name                  string
		meminfo, limit, statm string // "": there is no such file
		want                  int
	}{
		{"nothing says", "", "", "", math.MaxInt},
		{"the system", meminfo(300), "", "", 300 * mib},
		{"no limit", meminfo(300), "max\n", statm(200, 0), 300 * mib},
		{"the group's limit, without what is taken", meminfo(300), "268435456\n", statm(200, 0), 56 * mib},
		{"files are given back", meminfo(300), "268435456\n", statm(200, 150), 206 * mib},
		{"the system has less than the group", meminfo(20), "268435456\n", statm(200, 150), 20 * mib},
		{"more is taken than the limit", meminfo(300), "104857600\n", statm(200, 0), 0},
		{"only the group", "", "268435456\n", statm(200, 0), 56 * mib},
		{"what is taken is not known", meminfo(300), "268435456\n", "", 300 * mib},
		{"what is taken is cut off", meminfo(300), "268435456\n", "1 2\n", 300 * mib},
		{"what is taken is nonsense", meminfo(300), "268435456\n", "1 x 2\n", 300 * mib},
		{"what is shared is nonsense", meminfo(300), "268435456\n", "1 2 x\n", 300 * mib},
		{"the system's say is nonsense", "MemAvailable: much kB\n", "", "", math.MaxInt},
		{"an old system", "MemTotal: 99999999 kB\nMemAvailable:\n", "268435456\n", statm(200, 0), 56 * mib},
	} {
		root := fstest.MapFS{"proc/self/cgroup": {Data: []byte("0::/a\n")}}
		for path, text := range map[string]string{
			"proc/meminfo": test.meminfo, "sys/fs/cgroup/a/memory.max": test.limit, "proc/self/statm": test.statm,
		} {
			if text != "" {
				root[path] = &fstest.MapFile{Data: []byte(text)}
			}
		}
		if got := Available(root); got != test.want {
			t.Errorf("%s: %d, want %d", test.name, got, test.want)
		}
	}
}
