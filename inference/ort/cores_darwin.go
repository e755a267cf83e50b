package ort

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// physicalCores counts the fast cores, where there are fast and slow ones.
func physicalCores() int {
	for _, name := range []string{"hw.perflevel0.physicalcpu", "hw.physicalcpu"} {
		if n, err := unix.SysctlUint32(name); err == nil && n > 0 {
			return int(n)
		}
	}
	return runtime.NumCPU()
}
