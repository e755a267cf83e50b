package hub

import (
	"crypto/sha1" //nolint:gosec // git's names of objects are SHA-1
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"os"
)

// verify says whether the file at path is the one of the listing. Another content is a *HashError.
func verify(path string, f File) error {
	in, err := os.Open(path)
	if err != nil {
		return err
	}
	defer in.Close() //nolint:errcheck // read only
	info, err := in.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file", path)
	}
	if info.Size() != f.Size {
		return &HashError{File: f.Path, Got: fmt.Sprintf("of %d bytes", info.Size()), Want: fmt.Sprintf("of %d bytes", f.Size)}
	}
	var sum hash.Hash
	want := f.SHA256
	if want != "" {
		sum = sha256.New()
	} else {
		sum = sha1.New() //nolint:gosec // as above
		want = f.OID
		_, _ = fmt.Fprintf(sum, "blob %d\x00", f.Size) // a hash takes everything
	}
	if _, err := io.Copy(sum, in); err != nil {
		return fmt.Errorf("hash %s: %w", path, err)
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != want {
		return &HashError{File: f.Path, Got: got, Want: want}
	}
	return nil
}
