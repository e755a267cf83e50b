package ort

import (
	"fmt"
	"testing"
	"testing/fstest"
)

// machine makes the files in which Linux describes processors.
func machine(siblings ...string) fstest.MapFS {
	root := fstest.MapFS{"sys/devices/system/cpu/cpufreq/x": {}, "sys/devices/system/cpu/online": {Data: []byte("0-3\n")}}
	for cpu, list := range siblings {
		path := fmt.Sprintf("sys/devices/system/cpu/cpu%d/topology/thread_siblings_list", cpu)
		root[path] = &fstest.MapFile{Data: []byte(list + "\n")}
	}
	return root
}

func TestCoresOf(t *testing.T) {
	t.Parallel()
	all := func(int) bool { return true }
	hyperthreads := machine("0,4", "1,5", "2,6", "3,7", "0,4", "1,5", "2,6", "3,7")
	for _, test := range []struct {
		name    string
		root    fstest.MapFS
		allowed func(int) bool
		want    int
	}{
		{"one thread a core", machine("0", "1", "2"), all, 3},
		{"two threads a core", hyperthreads, all, 4},
		{"both threads of one core", hyperthreads, func(cpu int) bool { return cpu == 1 || cpu == 5 }, 1},
		{"threads of two cores", hyperthreads, func(cpu int) bool { return cpu < 2 }, 2},
		{"unknown", fstest.MapFS{}, all, 0},
		{"no topology", fstest.MapFS{"sys/devices/system/cpu/cpu0/online": {}}, all, 0},
	} {
		if got := coresOf(test.root, test.allowed); got != test.want {
			t.Errorf("%s: %d cores, want %d", test.name, got, test.want)
		}
	}
}

func TestPhysicalCores(t *testing.T) {
	t.Parallel()
	if n := PhysicalCores(); n < 1 {
		t.Errorf("%d", n)
	}
}
