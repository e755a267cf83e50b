package ort

import "golang.org/x/sys/unix"

const (
	// Not backed by swap or counted against the commit limit until touched.
	reserveFlags = unix.MAP_PRIVATE | unix.MAP_ANON | unix.MAP_NORESERVE
	// Takes effect at once; the pages read as zero afterwards.
	adviceDiscard = unix.MADV_DONTNEED
)

// adviseHugePages asks for large pages where they are on request: first touches of dense memory are the costliest part
// of filling it, and ten times cheaper in pieces of two megabytes.
func adviseHugePages(bytes []byte) error {
	if err := unix.Madvise(bytes, unix.MADV_HUGEPAGE); err != nil && err != unix.EINVAL { // EINVAL: a kernel without them
		return err
	}
	return nil
}

// adviseSmallPages keeps transparent huge pages away where they are on for everybody: one head of one slot is often
// exactly two megabytes long, so that a single token would commit the memory of them all.
func adviseSmallPages(bytes []byte) error {
	if err := unix.Madvise(bytes, unix.MADV_NOHUGEPAGE); err != nil && err != unix.EINVAL { // EINVAL: a kernel without them
		return err
	}
	return nil
}
