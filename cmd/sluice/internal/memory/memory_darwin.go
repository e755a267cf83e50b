package memory

import "golang.org/x/sys/unix"

// Limit is how many bytes of memory this process may use: the machine's.
func Limit() int {
	n, err := unix.SysctlUint64("hw.memsize")
	if err != nil {
		return unknownMemory
	}
	return int(n)
}

// Resident is how many bytes of memory of this process are in use; 0: this system is not asked.
func Resident() int { return 0 }
