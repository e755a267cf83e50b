package main

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"
)

// now is wall time in seconds, from some moment on.
func now() float64 { return float64(time.Now().UnixNano()) / 1e9 }

// cpu is the processor's time that this process took, in seconds.
func cpu() (float64, error) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0, fmt.Errorf("getrusage: %w", err)
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9, nil
}

// peakKB is the most memory that this process had, in KiB.
func peakKB() (int, error) {
	data, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(data), "VmHWM:")
	var n int
	if _, err := fmt.Sscan(rest, &n); err != nil {
		return 0, fmt.Errorf("VmHWM: %w", err)
	}
	return n, nil
}
