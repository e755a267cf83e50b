package memory

import (
	"math"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/sluiceml/sluice/internal/cgroup"
)

// Limit is how many bytes of memory this process may use: the machine's, or less where a control group says so.
func Limit() int {
	limit := cgroup.Memory(os.DirFS("/"))
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err == nil {
		limit = int(min(uint64(limit), uint64(info.Totalram)*uint64(info.Unit))) //nolint:unconvert // 32 bits wide on some platforms
	}
	if limit == math.MaxInt {
		return unknownMemory
	}
	return limit
}

// Resident is how many bytes of memory of this process are in use; 0 if it is not known.
func Resident() int {
	data, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(data))
	if len(fields) < 2 {
		return 0
	}
	pages, err := strconv.Atoi(fields[1])
	if err != nil {
		return 0
	}
	return pages * os.Getpagesize()
}
