package ort

import (
	"io/fs"
	"math"
	"os"
	"path"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
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
	return min(cores, quota(root))
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

// quota is the number of whole processors that the control groups (version 2) of this process grant, at least one: the
// least over the group and those around it, each of which may have "MAX PERIOD" in its cpu.max.
func quota(root fs.FS) int {
	const unlimited = math.MaxInt
	groups, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return unlimited
	}
	least := unlimited
	for line := range strings.Lines(string(groups)) {
		group, isV2 := strings.CutPrefix(strings.TrimSpace(line), "0::/")
		if !isV2 {
			continue
		}
		for {
			text, err := fs.ReadFile(root, path.Join("sys/fs/cgroup", group, "cpu.max"))
			if fields := strings.Fields(string(text)); err == nil && len(fields) == 2 {
				limit, err1 := strconv.Atoi(fields[0]) // "max" is no number and no limit
				period, err2 := strconv.Atoi(fields[1])
				if err1 == nil && err2 == nil && period > 0 {
					least = min(least, max(1, limit/period))
				}
			}
			if group == "" || group == "." {
				break
			}
			group = path.Dir(group)
		}
	}
	return least
}
