package main

import (
	"bytes"
	"io/fs"
	"math"
	"path"
	"strconv"
	"strings"
)

// cgroupLimit is the memory that the control groups of this process allow it, read from a file system with /proc and
// /sys/fs/cgroup: the least of the limits from its own group up to the root, in version 2 and in version 1. Without any
// it is math.MaxInt.
func cgroupLimit(root fs.FS) int {
	limit := math.MaxInt
	groups, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return limit
	}
	for line := range strings.Lines(string(groups)) {
		// hierarchy:controllers:path
		_, rest, _ := strings.Cut(strings.TrimSpace(line), ":")
		controllers, group, ok := strings.Cut(rest, ":")
		base, name := "sys/fs/cgroup", "memory.max"
		switch {
		case !ok:
			continue
		case controllers == "memory":
			base, name = "sys/fs/cgroup/memory", "memory.limit_in_bytes"
		case controllers != "":
			continue
		}
		for dir := path.Join("/", group); ; dir = path.Dir(dir) {
			if data, err := fs.ReadFile(root, path.Join(base, dir, name)); err == nil {
				if n, err := strconv.Atoi(string(bytes.TrimSpace(data))); err == nil && n > 0 { // "max" is no number
					limit = min(limit, n)
				}
			}
			if dir == "/" {
				break
			}
		}
	}
	return limit
}
