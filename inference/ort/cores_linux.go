package ort

import (
	"io/fs"
	"os"
	"path"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/sluiceml/sluice/internal/cgroup"
)

// physicalCores counts the cores that the process may use. What cannot be read limits nothing.
func physicalCores() int {
	root := os.DirFS("/")
	cores := runtime.NumCPU()
	var allowed unix.CPUSet
	if err := unix.SchedGetaffinity(0, &allowed); err == nil {
		if n := coresOf(root, allowed.IsSet); n > 0 {
			cores = n
		}
	}
	return min(cores, cgroup.Processors(root))
}

// coresOf counts the cores that have an allowed processor: each is known by the list of its processors. 0: unknown.
func coresOf(root fs.FS, allowed func(cpu int) bool) int {
	entries, err := fs.ReadDir(root, "sys/devices/system/cpu")
	if err != nil {
		return 0
	}
	siblings := map[string]struct{}{}
	for _, entry := range entries {
		text, isCPU := strings.CutPrefix(entry.Name(), "cpu")
		cpu, err := strconv.Atoi(text)
		if !isCPU || err != nil || !allowed(cpu) {
			continue
		}
		list, err := fs.ReadFile(root, path.Join("sys/devices/system/cpu", entry.Name(), "topology/thread_siblings_list"))
		if err != nil {
			return 0
		}
		siblings[string(list)] = struct{}{}
	}
	return len(siblings)
}
