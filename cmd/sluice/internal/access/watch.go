package access

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

// settle is how long a folder must be quiet before its files are read: a certificate and its key are two files.
const settle = 250 * time.Millisecond

// watchFiles calls changed whenever the contents of files have, until the returned function is called. It watches their
// folders: files are replaced by renaming, and Kubernetes swaps a symbolic link beside them. Where that cannot be, it
// says so, and SIGHUP remains.
func watchFiles(ctx context.Context, files []string, log *slog.Logger, changed func()) (stop func() error) {
	none := func() error { return nil }
	if len(files) == 0 {
		return none
	}
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		log.Warn("files are not watched; send SIGHUP after a change", "error", err.Error())
		return none
	}
	for _, file := range files {
		if err := watcher.Add(filepath.Dir(file)); err != nil {
			log.Warn("a folder is not watched; send SIGHUP after a change", "file", file, "error", err.Error())
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	seen := fingerprint(files)
	go func() {
		defer close(ended)
		quiet := time.NewTimer(settle)
		defer quiet.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-watcher.Events:
				quiet.Reset(settle)
			case err := <-watcher.Errors: // an overflow: events were lost
				if err != nil {
					log.Warn("watching files", "error", err.Error())
				}
				quiet.Reset(settle)
			case <-quiet.C:
				if now := fingerprint(files); now != seen {
					seen = now
					changed()
				}
			}
		}
	}()
	return func() error {
		cancel()
		<-ended
		if err := watcher.Close(); err != nil {
			return fmt.Errorf("watch files: %w", err)
		}
		return nil
	}
}

// fingerprint is a hash of the contents of files; one that cannot be read counts as empty.
func fingerprint(files []string) (sum [sha256.Size]byte) {
	all := sha256.New()
	for _, path := range files {
		one := sha256.New()
		if file, err := os.Open(path); err == nil {
			_, _ = io.Copy(one, file) // what is there
			_ = file.Close()
		}
		_, _ = all.Write(one.Sum(nil)) // never fails
	}
	return [sha256.Size]byte(all.Sum(nil))
}
