package conversion

import "testing"

// TestSyncFolderWithoutSync: a file system that has no fsync of folders, as some over a network and proc, is no failure.
func TestSyncFolderWithoutSync(t *testing.T) {
	t.Parallel()
	if err := syncPath("/proc/self"); err != nil {
		t.Error(err)
	}
}
