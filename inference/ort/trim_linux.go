package ort

/*
#include <features.h>
#ifdef __GLIBC__
#include <malloc.h>
static void bound(void) {
	mallopt(M_MMAP_THRESHOLD, 4 << 20);
	mallopt(M_TRIM_THRESHOLD, 8 << 20);
}
static void trim(void) { malloc_trim(0); }
#else
static void bound(void) {}
static void trim(void) {} // musl's keeps little
#endif
*/
import "C"

// boundHeap makes C and C++ take weights and caches from the system directly, and give them back as they are freed.
// glibc takes large pieces with mmap only until the first of them is freed, by itself, and from then on keeps pieces up to
// that size (32 MiB at most) in an arena for each few threads. The free end of such an arena is given back from twice that
// size on, and by no malloc_trim, which looks at the end of the main arena alone. A model is loaded by whatever thread Go
// picks, so that the next one would rarely find the room that the last one left: the process grew by up to 64 MiB for
// each arena, of which there are eight for each core.
func boundHeap() { C.bound() }

// trimHeap gives what C and C++ have freed between smaller pieces that are in use back to the system.
func trimHeap() { C.trim() }
