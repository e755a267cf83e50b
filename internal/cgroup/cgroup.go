// Package cgroup reads what Linux's control groups allow this process: https://docs.kernel.org/admin-guide/cgroup-v2.html
// and, for memory, version 1. The file system that it reads has proc and sys/fs/cgroup below its root; what cannot be read
// limits nothing.
package cgroup

import (
	"io/fs"
	"iter"
	"math"
	"path"
	"strconv"
	"strings"
)

// Memory is how many bytes the process may use: the least of the limits from its own group up to the root. Without any it is
// math.MaxInt.
func Memory(root fs.FS) int {
	limit := math.MaxInt
	for text := range limits(root, "memory.max", "memory", "memory.limit_in_bytes") {
		if n, err := strconv.Atoi(strings.TrimSpace(text)); err == nil && n > 0 { // "max" is no number
			limit = min(limit, n)
		}
	}
	return limit
}

// Processors is how many whole processors the process is granted, at least one: the least over its own group and those
// around it, each of which may have "MAX PERIOD" in its cpu.max. Without a limit, and in version 1, it is math.MaxInt.
func Processors(root fs.FS) int {
	least := math.MaxInt
	for text := range limits(root, "cpu.max", "", "") {
		fields := strings.Fields(text)
		if len(fields) != 2 {
			continue
		}
		limit, err1 := strconv.Atoi(fields[0]) // "max" is no number and no limit
		period, err2 := strconv.Atoi(fields[1])
		if err1 == nil && err2 == nil && period > 0 {
			least = min(least, max(1, limit/period))
		}
	}
	return least
}

// limits yields the text of a file of each group that holds the process, from its own up to the root: of name in version 2
// and of legacyName in version 1's hierarchy of the controller legacy, if that is not "".
func limits(root fs.FS, name, legacy, legacyName string) iter.Seq[string] {
	return func(yield func(string) bool) {
		groups, err := fs.ReadFile(root, "proc/self/cgroup")
		if err != nil {
			return
		}
		for line := range strings.Lines(string(groups)) {
			// hierarchy:controllers:path
			_, rest, _ := strings.Cut(strings.TrimSpace(line), ":")
			controllers, group, ok := strings.Cut(rest, ":")
			base, file := "sys/fs/cgroup", name
			switch {
			case !ok:
				continue
			case controllers == "": // version 2
			case controllers == legacy:
				base, file = path.Join(base, legacy), legacyName
			default:
				continue
			}
			for dir := path.Join("/", group); ; dir = path.Dir(dir) {
				if text, err := fs.ReadFile(root, path.Join(base, dir, file)); err == nil && !yield(string(text)) {
					return
				}
				if dir == "/" {
					break
				}
			}
		}
	}
}
