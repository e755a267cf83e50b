package main

import "golang.org/x/sys/unix"

// memoryLimit is how much memory this process may use: the machine's.
func memoryLimit() int {
	n, err := unix.SysctlUint64("hw.memsize")
	if err != nil {
		return 4 << 30 // the system does not say
	}
	return int(n)
}
