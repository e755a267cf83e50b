package cgroup

import (
	"math"
	"strings"
	"testing"
	"testing/fstest"
)

// files makes a file system of path=content, separated by semicolons.
func files(t *testing.T, pairs string) fstest.MapFS {
	t.Helper()
	root := fstest.MapFS{}
	for pair := range strings.SplitSeq(pairs, ";") {
		if path, content, ok := strings.Cut(pair, "="); ok {
			root[path] = &fstest.MapFile{Data: []byte(content)}
		}
	}
	return root
}

func TestMemory(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, files string
		want        int
	}{
		{"no groups", "", math.MaxInt},
		{"no limit", "proc/self/cgroup=0::/a\n;sys/fs/cgroup/a/memory.max=max\n", math.MaxInt},
		{
			"its own group", "proc/self/cgroup=0::/a/b\n;sys/fs/cgroup/a/b/memory.max=1000\n;" +
				"sys/fs/cgroup/a/memory.max=2000\n", 1000,
		},
		{
			"a group above", "proc/self/cgroup=0::/a/b\n;sys/fs/cgroup/a/b/memory.max=max\n;" +
				"sys/fs/cgroup/a/memory.max=2000\n", 2000,
		},
		{"a container's root", "proc/self/cgroup=0::/\n;sys/fs/cgroup/memory.max=3000\n", 3000},
		{
			"version 1", "proc/self/cgroup=9:cpu,cpuacct:/x\n4:memory:/y\n;" +
				"sys/fs/cgroup/memory/y/memory.limit_in_bytes=4000\n;sys/fs/cgroup/x/memory.max=1\n", 4000,
		},
	} {
		if got := Memory(files(t, test.files)); got != test.want {
			t.Errorf("%s: %d, want %d", test.name, got, test.want)
		}
	}
}

func TestProcessors(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, files string
		want        int
	}{
		{"no groups", "", math.MaxInt},
		{"version 1", "proc/self/cgroup=1:cpu:/a\n;sys/fs/cgroup/a/cpu.max=100000 100000\n", math.MaxInt},
		{"no limit", "proc/self/cgroup=0::/a\n;sys/fs/cgroup/a/cpu.max=max 100000\n", math.MaxInt},
		{"a limit", "proc/self/cgroup=0::/a\n;sys/fs/cgroup/a/cpu.max=250000 100000\n", 2},
		{"less than one", "proc/self/cgroup=0::/a\n;sys/fs/cgroup/a/cpu.max=50000 100000\n", 1},
		{
			"the least around", "proc/self/cgroup=0::/a/b\n;sys/fs/cgroup/a/cpu.max=300000 100000\n;" +
				"sys/fs/cgroup/a/b/cpu.max=800000 100000\n", 3,
		},
		{"at the root, as in a container", "proc/self/cgroup=0::/\n;sys/fs/cgroup/cpu.max=400000 100000\n", 4},
		{"nonsense", "proc/self/cgroup=0::/a\n;sys/fs/cgroup/a/cpu.max=1 0\n", math.MaxInt},
	} {
		if got := Processors(files(t, test.files)); got != test.want {
			t.Errorf("%s: %d, want %d", test.name, got, test.want)
		}
	}
}
