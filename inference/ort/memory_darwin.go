package ort

import "golang.org/x/sys/unix"

const (
	// macOS overcommits anonymous memory without being asked.
	reserveFlags = unix.MAP_PRIVATE | unix.MAP_ANON
	// The system takes the pages when it needs memory.
	adviceDiscard = unix.MADV_FREE
)

func adviseHugePages([]byte) error  { return nil }
func adviseSmallPages([]byte) error { return nil }
