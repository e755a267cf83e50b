package ort

import "runtime"

// PhysicalCores is the number of threads that a session uses by default: the physical cores that this process may run
// on, at least one. Two threads of one core share its vector units, and threads that spin must not outnumber what the
// process is allowed: on Linux its affinity mask and the quota of its control groups count.
func PhysicalCores() int { return max(1, min(physicalCores(), runtime.NumCPU())) }
