package ort

/*
#include <features.h>
#ifdef __GLIBC__
#include <malloc.h>
static void bound(int mmap_threshold, int trim_threshold) {
	if (mmap_threshold > 0) mallopt(M_MMAP_THRESHOLD, mmap_threshold);
	if (trim_threshold > 0) mallopt(M_TRIM_THRESHOLD, trim_threshold);
}
static void trim(void) { malloc_trim(0); }
#else
static void bound(int mmap_threshold, int trim_threshold) { (void)mmap_threshold, (void)trim_threshold; }
static void trim(void) {} // musl's keeps little
#endif
*/
import "C"

import (
	"os"
	"slices"
	"strings"
)

// boundHeap makes C and C++ take weights and caches from the system directly, and give them back as they are freed.
// glibc takes large pieces with mmap only until the first of them is freed, by itself, and from then on keeps pieces up to
// that size (32 MiB at most) in an arena for each few threads. The free end of such an arena is given back from twice that
// size on, and by no malloc_trim, which looks at the end of the main arena alone. A model is loaded by whatever thread Go
// picks, so that the next one would rarely find the room that the last one left: the process grew by up to 64 MiB for
// each arena, of which there are eight for each core.
func boundHeap() {
	C.bound(
		C.int(threshold("MALLOC_MMAP_THRESHOLD_", "glibc.malloc.mmap_threshold", 4<<20)),
		C.int(threshold("MALLOC_TRIM_THRESHOLD_", "glibc.malloc.trim_threshold", 8<<20)),
	)
}

// threshold is our value for one of glibc's; 0, which leaves it, if the environment sets it by a variable of its own or by a
// tunable. mallopt would win over both.
func threshold(variable, tunable string, ours int) int {
	if _, set := os.LookupEnv(variable); set {
		return 0
	}
	tunables := strings.Split(os.Getenv("GLIBC_TUNABLES"), ":")
	if slices.ContainsFunc(tunables, func(s string) bool { return strings.HasPrefix(s, tunable+"=") }) {
		return 0
	}
	return ours
}

// trimHeap gives what C and C++ have freed between smaller pieces that are in use back to the system.
func trimHeap() { C.trim() }
