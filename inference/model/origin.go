package model

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/sluiceml/sluice/inference/model/gguf"
	"github.com/sluiceml/sluice/inference/model/safetensors"
)

// The formats of an Origin.
const (
	formatGGUF        = "gguf"
	formatSafetensors = "safetensors"
)

// ReadOrigin hashes the files of the checkpoint at path that OpenSource opens: the GGUF file, or config.json and the
// safetensors files of a folder. It reads every byte of them.
func ReadOrigin(ctx context.Context, path string) (Origin, error) {
	info, err := os.Stat(path)
	if err != nil {
		return Origin{}, fmt.Errorf("open the model: %w", err)
	}
	if !info.IsDir() {
		return ggufOrigin(ctx, path)
	}
	folder, err := safetensors.OpenFolder(path)
	if err != nil {
		return Origin{}, err
	}
	names := append([]string{configName}, folder.Files()...)
	slices.Sort(names)
	if err := folder.Close(); err != nil {
		return Origin{}, err
	}
	return hashAll(ctx, Origin{Format: formatSafetensors}, path, names)
}

// ggufOrigin hashes a GGUF file and notes its licence.
func ggufOrigin(ctx context.Context, path string) (Origin, error) {
	file, err := gguf.Open(path)
	if err != nil {
		return Origin{}, err
	}
	m := &metadata{path: path, file: file}
	license := m.text("general.license", "")
	names := []string{filepath.Base(path)}
	if parts := file.Parts(); parts != nil {
		names = nil
		for _, part := range parts {
			names = append(names, filepath.Base(part))
		}
	}
	if err := file.Close(); err != nil {
		return Origin{}, err
	}
	if m.err != nil {
		return Origin{}, m.err
	}
	return hashAll(ctx, Origin{Format: formatGGUF, License: license}, filepath.Dir(path), names)
}

// hashAll adds the files of dir to the origin.
func hashAll(ctx context.Context, o Origin, dir string, names []string) (Origin, error) {
	for _, name := range names {
		file, err := hashFile(ctx, filepath.Join(dir, name))
		if err != nil {
			return Origin{}, err
		}
		o.Files = append(o.Files, file)
	}
	return o, nil
}

// hashFile reads a file to its end, unless ctx is done before.
func hashFile(ctx context.Context, path string) (OriginFile, error) {
	f, err := os.Open(path)
	if err != nil {
		return OriginFile{}, err
	}
	defer f.Close() //nolint:errcheck // read only
	hash := sha256.New()
	n, err := io.Copy(hash, contextReader{ctx, f})
	if err != nil {
		return OriginFile{}, fmt.Errorf("hash %s: %w", path, err)
	}
	return OriginFile{Name: filepath.Base(path), Bytes: n, SHA256: hex.EncodeToString(hash.Sum(nil))}, nil
}

// contextReader reads until its context is done.
type contextReader struct {
	ctx context.Context //nolint:containedctx // lives for one call of io.Copy
	r   io.Reader
}

func (c contextReader) Read(b []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(b)
}
