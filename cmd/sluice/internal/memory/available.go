// Package memory says how much memory the process may use, has left and uses.
package memory

import (
	"bufio"
	"bytes"
	"io/fs"
	"math"
	"os"
	"strconv"
	"strings"

	"github.com/sluiceml/sluice/internal/cgroup"
)

// unknownMemory is the limit, in bytes, where the system does not say.
const unknownMemory = 4 << 30

// Available is how many more bytes of memory this process may take, from a file system with /proc and /sys: what the
// system has left, or its control group where that is less. Where neither says, it is math.MaxInt.
func Available(root fs.FS) int {
	available := math.MaxInt
	if data, err := fs.ReadFile(root, "proc/meminfo"); err == nil {
		for lines := bufio.NewScanner(bytes.NewReader(data)); lines.Scan(); {
			fields := strings.Fields(lines.Text())
			if len(fields) < 2 || fields[0] != "MemAvailable:" {
				continue
			}
			if kib, err := strconv.Atoi(fields[1]); err == nil {
				available = kib << 10
			}
		}
	}
	limit := cgroup.Memory(root)
	if limit == math.MaxInt {
		return available
	}
	data, err := fs.ReadFile(root, "proc/self/statm")
	if err != nil {
		return available
	}
	fields := strings.Fields(string(data))
	if len(fields) < 3 {
		return available
	}
	resident, err1 := strconv.Atoi(fields[1])
	shared, err2 := strconv.Atoi(fields[2]) // files, which the system takes back
	if err1 != nil || err2 != nil {
		return available
	}
	return min(available, max(0, limit-(resident-shared)*os.Getpagesize()))
}
