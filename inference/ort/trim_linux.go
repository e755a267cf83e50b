package ort

/*
#include <features.h>
#ifdef __GLIBC__
#include <malloc.h>
static void trim(void) { malloc_trim(0); }
#else
static void trim(void) {} // musl's keeps little
#endif
*/
import "C"

// trimHeap gives what C and C++ have freed back to the system. glibc keeps most of it by itself: it takes large pieces
// with mmap only until the first of them is freed, and from then on keeps pieces up to that size (32 MiB at most) in an
// arena for each few threads, of which it shrinks only the end. A model is loaded by whatever thread Go picks, so that
// the next one would rarely find the room that the last one left: the process grew by several models' weights.
func trimHeap() { C.trim() }
