package ort

import (
	"errors"
	"fmt"
	"math/bits"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// region is reserved address space outside Go's heap. A page of it takes memory from its first touch, reads as zero
// before, and never moves: ONNX Runtime may keep pointers into it.
type region struct {
	bytes []byte
	used  int
}

// reserve takes address space of at least size bytes, to be touched here and there.
func reserve(size int) (*region, error) { return reserveWith(size, adviseSmallPages) }

// reserveDense takes address space of at least size bytes, to be filled from one end to the other.
func reserveDense(size int) (*region, error) { return reserveWith(size, adviseHugePages) }

func reserveWith(size int, advise func([]byte) error) (*region, error) {
	page := os.Getpagesize()
	bytes, err := unix.Mmap(-1, 0, (size+page-1)/page*page, unix.PROT_READ|unix.PROT_WRITE, reserveFlags)
	if err != nil {
		return nil, fmt.Errorf("reserving %d bytes of address space: %w", size, err)
	}
	if err := advise(bytes); err != nil {
		return nil, errors.Join(fmt.Errorf("reserving %d bytes of address space: %w", size, err), unix.Munmap(bytes))
	}
	return &region{bytes: bytes}, nil
}

// carve takes the next n elements of a region, at the start of a page.
func carve[T int8 | uint16 | int32 | int64 | float32](r *region, n int) []T {
	var zero T
	size := n * int(unsafe.Sizeof(zero))
	start := r.used
	r.used += pages(size)
	//nolint:gosec // the bytes are the region's own, enough for n values, and aligned to a page
	return unsafe.Slice((*T)(unsafe.Pointer(&r.bytes[start : start+size][0])), n)
}

// pages rounds a size in bytes up to whole pages.
func pages(size int) int {
	page := os.Getpagesize()
	return (size + page - 1) / page * page
}

// free gives the address space back. Nothing may point into it any more.
func (r *region) free() error {
	if err := unix.Munmap(r.bytes); err != nil {
		return fmt.Errorf("freeing address space: %w", err)
	}
	r.bytes = nil
	return nil
}

// discard gives the memory of the pages that lie wholly inside values, which are a part of the region, back to the
// system.
func discard[T kv](r *region, values []T) error {
	var zero T
	page := os.Getpagesize()
	//nolint:gosec // the distance of two places in one mapping
	start := int(uintptr(unsafe.Pointer(unsafe.SliceData(values))) - uintptr(unsafe.Pointer(unsafe.SliceData(r.bytes))))
	first := (start + page - 1) / page * page
	last := (start + len(values)*int(unsafe.Sizeof(zero))) / page * page
	if first >= last {
		return nil
	}
	if err := unix.Madvise(r.bytes[first:last], adviceDiscard); err != nil {
		return fmt.Errorf("giving memory back: %w", err)
	}
	return nil
}

// product multiplies sizes, or says that the result is beyond any address space.
func product(factors ...int) (int, bool) {
	result := uint64(1)
	for _, f := range factors {
		if f < 0 {
			return 0, false
		}
		high, low := bits.Mul64(result, uint64(f))
		if high != 0 || low > 1<<46 {
			return 0, false
		}
		result = low
	}
	return int(result), true
}

// bytesOf is the memory of halves.
func bytesOf(values []uint16) []byte {
	//nolint:gosec // the values' own memory
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(values))), 2*len(values))
}
