//go:build unix

package docs_test

import (
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// prologue has a script end what it left in the background, and fail if any of that has ended badly, at whatever time. A server
// must drain and end with 0; any other program may be ended by the signal. 127 is one that the script has waited for.
const prologue = `set -euo pipefail
started=()
remember() { if [ -n "$1" ]; then started[$1]=1; fi; }
trap 'remember "${!:-}"' DEBUG
finish() {
	code=$?
	trap - DEBUG EXIT
	remember "${!:-}"
	running=$(jobs -lr)
	kill $(jobs -pr) 2>/dev/null || true
	for pid in "${!started[@]}"; do
		what=$(grep " $pid " <<<"$running") || what='which ended before'
		ended=0
		wait "$pid" 2>/dev/null || ended=$?
		case "$ended $what" in
		0\ * | 127\ *) continue ;;
		143\ *ended\ before | 143\ *sluice\ serve*) ;;
		143\ *) continue ;;
		esac
		echo "a program in the background has ended with $ended: $what" >&2
		code=1
	done
	exit $code
}
trap finish EXIT
`

// shell runs scripts of bash.
type shell struct {
	dir         string   // where they run
	environment []string // beside that of the test
	patience    time.Duration
}

// run runs a script until it ends or the context does, and returns what it says. Nothing is left that it started: when the
// context ends, all of it is told to, and after the shell's patience it is killed.
func (s shell) run(ctx context.Context, script string) ([]byte, error) {
	file := filepath.Join(s.dir, ".blocks.sh")
	if err := os.WriteFile(file, []byte(prologue+script), 0o600); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, "bash", file)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), s.environment...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	all := func(signal syscall.Signal) error { return syscall.Kill(-cmd.Process.Pid, signal) }
	cmd.Cancel = func() error { return all(syscall.SIGTERM) }
	cmd.WaitDelay = s.patience
	said, err := cmd.CombinedOutput()
	if cmd.Process != nil {
		_ = all(syscall.SIGKILL) // mostly there is nobody left
	}
	return said, err
}

// inBackground is a script that starts another, which sets traps and then runs until a signal ends it, and waits for it to
// have begun. It is a program of a given name and arguments.
func inBackground(command, traps string) string {
	name, _, _ := strings.Cut(command, " ")
	return "cat >" + name + " <<'END'\n#!/usr/bin/env bash\n" + traps + "\ntouch up\nwhile :; do sleep 0.01; done\nEND\n" +
		"chmod +x " + name + "\nPATH=$PWD:$PATH\n" + command + " &\nuntil [ -e up ]; do sleep 0.01; done\n"
}

func TestShell(t *testing.T) {
	t.Parallel()
	const serve, gone = "sluice serve --http-addr :8080", "\nwhile kill -0 $! 2>/dev/null; do sleep 0.01; done\n"
	for name, c := range map[string]struct {
		script string
		want   string // part of what is said of a failure; "": it is none
	}{
		"nothing in the background":         {"true", ""},
		"a failure":                         {"echo before; false; echo later", "before"},
		"a program that the signal ends":    {inBackground("other", ""), ""},
		"a server that drains":              {inBackground(serve, "trap 'exit 0' TERM"), ""},
		"a server that the signal ends":     {inBackground(serve, ""), "ended with 143: "},
		"a server that ends badly":          {inBackground(serve, "trap 'exit 3' TERM"), "ended with 3: "},
		"a program that ends badly":         {inBackground("other", "trap 'exit 4' TERM"), "ended with 4: "},
		"the first of two that ends badly":  {inBackground("other", "trap 'exit 4' TERM") + "sleep 1000 &", "ended with 4: "},
		"a program that ended badly before": {"(exit 5) &" + gone + "true", "ended with 5: which ended before"},
		// Not at once: a signal that comes to bash's child before it is another program can be lost, and the wait has no end.
		"a program that was killed before":    {inBackground("other", "") + "kill $!" + gone, "ended with 143: which ended before"},
		"a program that the script waits for": {"true &\nwait $!", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			said, err := shell{dir: t.TempDir(), patience: time.Minute}.run(t.Context(), c.script)
			if (err != nil) != (c.want != "") || !strings.Contains(string(said), c.want) || strings.Contains(string(said), "later") {
				t.Errorf("%v: %s", err, said)
			}
		})
	}
}

// What a script started ends with it, whether it does as it is told or not.
func TestShellLeavesNothing(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		traps    string
		patience time.Duration
	}{
		"obedient": {"", time.Minute},
		"stubborn": {"trap '' TERM", 100 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := shell{dir: t.TempDir(), patience: c.patience}
			pipe := filepath.Join(s.dir, "pipe")
			if err := syscall.Mkfifo(pipe, 0o600); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			read := make(chan error, 1)
			go func() {
				end, err := os.Open(pipe) // once the program has begun
				cancel()
				if err == nil {
					_, err = io.ReadAll(end) // until it has ended
				}
				read <- err
			}()
			if said, err := s.run(ctx, inBackground("other", c.traps+"\nexec 9>pipe")+"sleep 1000"); err == nil {
				t.Errorf("no failure: %s", said)
			}
			if err := <-read; err != nil {
				t.Error(err)
			}
		})
	}
}

// A shell block runs, unless a comment stands before it that says why not: <!-- not run: it needs a cluster -->. One at the
// head of a document is for all its blocks: <!-- blocks not run here: `make test-guide` runs them -->.
var shellBlock = regexp.MustCompile("(?ms)^(?:<!-- not run: ([^>]+) -->\n+)?```sh\n(.*?)^```")

var (
	curl = regexp.MustCompile(`(?m)(?:^|[;|&({!]|\b(?:until|while|if|do|then|else))[ \t]*curl\b((?:[^;|&)\n\\]|\\\n|\\.)*)`)
	// Options without values may stand before -f in a word.
	fails = regexp.MustCompile(`(?:^|\s)(?:--fail(?:-with-body)?|-[#0-9BGIJLNOSRagijklnpqsv]*f[A-Za-z]*)(?:\s|$)`)
	until = regexp.MustCompile(`(?m)^\s*until .*curl.*$`)
)

// checkBlock says what of a shell block could not fail, or would wait for ever, if a server were not there.
func checkBlock(block string) []string {
	var wrong []string
	for _, found := range curl.FindAllStringSubmatch(block, -1) {
		if !fails.MatchString(found[1]) {
			wrong = append(wrong, "curl without -f does not fail: "+strings.TrimSpace(found[0]))
		}
	}
	for _, line := range until.FindAllString(block, -1) {
		if !strings.Contains(line, "kill -0 ") {
			wrong = append(wrong, "a loop that does not end with its server (kill -0 $! || break): "+strings.TrimSpace(line))
		}
	}
	return wrong
}

func TestCheckBlock(t *testing.T) {
	t.Parallel()
	for block, want := range map[string]int{
		"curl -f u": 0, "curl -fsS u": 0, "curl -sSf u | grep x": 0, "curl --fail u": 0, "curl --fail-with-body u": 0, "curl -X PUT -f u": 0,
		"curl \\\n  -fN u": 0, "apt-get install curl openssl": 0, "echo a # curl u": 0, `x=$(curl -fs u)`: 0,
		"curl u": 1, "curl -N u -H 'a: b'": 1, "curl -of u": 1, "curl -o file u": 1, "curl u | grep -f x": 1, "a; curl u": 1, "if curl u; then": 1, "x=$(curl u)": 1,
		"curl -fs u\ncurl u\n": 1, "curl \\\n -N u": 1,
		"until curl -fs u; do sleep 1; done":                      1,
		"until curl -fs u; do kill -0 $! || break; sleep 1; done": 0,
	} {
		if got := checkBlock(block); len(got) != want {
			t.Errorf("%q: %q", block, got)
		}
	}
}

// TestBlocksCanFail checks every shell block, those too that are not run.
func TestBlocksCanFail(t *testing.T) {
	t.Parallel()
	checked := 0
	for _, document := range documents(t) {
		for _, found := range shellBlock.FindAllStringSubmatch(read(t, document), -1) {
			checked++
			for _, wrong := range checkBlock(found[2]) {
				t.Errorf("%s: %s", document, wrong)
			}
		}
	}
	if checked < 30 {
		t.Errorf("only %d blocks", checked)
	}
}
