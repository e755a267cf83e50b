//go:build docs && unix

package docs_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// blocksTimeout bounds the blocks of one document.
const blocksTimeout = 15 * time.Minute

var (
	allBlocks = regexp.MustCompile(`<!-- blocks not run here: ([^>]+) -->`)
	ports     = regexp.MustCompile(`:(50051|8080|6060)\b`)
)

// TestBlocks runs the shell blocks of README.md and docs, those of a document in order and in one shell, in a copy of the
// checkout of its own. SLUICE_BIN is the binary, PYTHON the interpreter. What the documents say of ports becomes free ones.
func TestBlocks(t *testing.T) {
	ctx, stop := signal.NotifyContext(t.Context(), os.Interrupt, syscall.SIGTERM) // servers go with whoever gives up
	defer stop()
	binary, python := required(t, "SLUICE_BIN"), required(t, "PYTHON")
	ran, left := 0, 0
	for _, document := range documents(t) {
		if document != "README.md" && !strings.HasPrefix(document, "docs/") {
			continue
		}
		text := read(t, document)
		elsewhere := allBlocks.FindStringSubmatch(text)
		var script strings.Builder
		for _, found := range shellBlock.FindAllStringSubmatchIndex(text, -1) {
			line := 1 + strings.Count(text[:found[4]], "\n")
			switch {
			case elsewhere != nil:
				left++
				t.Logf("%s:%d: not run: %s", document, line, elsewhere[1])
			case found[2] >= 0:
				left++
				t.Logf("%s:%d: not run: %s", document, line, text[found[2]:found[3]])
			default:
				ran++
				fmt.Fprintf(&script, "echo; echo '== %s:%d'\n%s\n", document, line, text[found[4]:found[5]])
			}
		}
		if script.Len() > 0 {
			t.Run(document, func(t *testing.T) { runBlocks(ctx, t, script.String(), binary, python) })
		}
	}
	t.Logf("%d blocks ran, %d did not", ran, left)
	if ran < 10 {
		t.Error("too few: are the blocks found?")
	}
}

func required(t *testing.T, name string) string {
	t.Helper()
	value := os.Getenv(name)
	if value == "" {
		t.Fatalf("%s is not set: run `make test-docs`", name)
	}
	path, err := filepath.Abs(value)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func runBlocks(ctx context.Context, t *testing.T, script, binary, python string) {
	t.Helper()
	dir := t.TempDir()
	checkout(t, dir)
	tools := filepath.Join(dir, "bin")
	if err := os.Mkdir(tools, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(binary, filepath.Join(tools, "sluice")); err != nil {
		t.Fatal(err)
	}
	// The interpreter of a virtual environment has to be called by its own name.
	wrapper := fmt.Sprintf("#!/bin/sh\nexec '%s' \"$@\"\n", python)
	if err := os.WriteFile(filepath.Join(tools, "python3"), []byte(wrapper), 0o700); err != nil {
		t.Fatal(err)
	}
	taken := map[string]string{}
	script = ports.ReplaceAllStringFunc(script, func(port string) string {
		if taken[port] == "" {
			taken[port] = freePort(t)
		}
		return taken[port]
	})
	for _, port := range []string{":50051", ":8080"} {
		if taken[port] == "" {
			taken[port] = freePort(t)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, blocksTimeout)
	defer cancel()
	bash := shell{dir: dir, patience: 30 * time.Second, environment: []string{
		"PATH=" + tools + ":" + os.Getenv("PATH"), "SLUICE_DRAIN_DELAY=0s",
		"SLUICE_GRPC_ADDR=127.0.0.1" + taken[":50051"], "SLUICE_HTTP_ADDR=127.0.0.1" + taken[":8080"], "SLUICE_ADDR=127.0.0.1" + taken[":50051"],
	}}
	if said, err := bash.run(ctx, script); err != nil {
		t.Errorf("%v\n%s", err, said)
	}
}

// checkout copies the files of the repository as they are in the working tree.
func checkout(t *testing.T, dir string) {
	t.Helper()
	list := exec.Command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	list.Dir = ".."
	files, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	copied := exec.Command("sh", "-c", `tar --null --ignore-failed-read -T - -cf - 2>/dev/null | tar -xf - -C "$1"`, "sh", dir)
	copied.Dir = ".."
	copied.Stdin = bytes.NewReader(files)
	if said, err := copied.CombinedOutput(); err != nil {
		t.Fatalf("copy the checkout: %v\n%s", err, said)
	}
}

func freePort(t *testing.T) string {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return ":" + port
}
