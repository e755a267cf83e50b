package gateway

import (
	"compress/gzip"
	"errors"
	"io"
)

// errTooLarge is a message that is larger than it may be once it is decompressed.
var errTooLarge = errors.New("the decompressed message is too large")

// boundedGzip decompresses messages up to the size that an uncompressed one may have. The transcoder would take in all that
// comes before it looks at the size, and a kilobyte can become a megabyte. It is a connect.Decompressor.
type boundedGzip struct {
	gzip.Reader

	left int64
}

// Reset implements connect.Decompressor.
func (b *boundedGzip) Reset(from io.Reader) error {
	b.left = maxBodyBytes
	return b.Reader.Reset(from) //nolint:wrapcheck // it is the reader
}

// Read implements io.Reader.
func (b *boundedGzip) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, errTooLarge
	}
	return n, err //nolint:wrapcheck // io.EOF must stay itself
}
