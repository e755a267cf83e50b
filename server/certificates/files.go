package certificates

import (
	"fmt"
	"io"
	"io/fs"
	"os"
)

// othersMask are the permissions that a secret file must not give: anything to others, and writing to the group. The
// group may read: Kubernetes gives a pod that does not run as root its secrets so (fsGroup).
const othersMask fs.FileMode = 0o027

// maxFileBytes bounds what is read of a file: bundles and policies are far smaller.
const maxFileBytes = 16 << 20

// ReadSecret reads a file that holds a secret. One that others can read, or others than its owner can write, is
// refused: it may be no secret any more.
func ReadSecret(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // it was only read
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if mode := info.Mode().Perm(); mode&othersMask != 0 {
		return nil, fmt.Errorf("%s has mode %04o, so that others could read or change it: allow its owner only (chmod 600), or its group to read (chmod 640)", path, mode)
	}
	text, err := io.ReadAll(io.LimitReader(file, maxFileBytes+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxFileBytes {
		return nil, fmt.Errorf("%s is larger than %d bytes", path, maxFileBytes)
	}
	return text, nil
}
