package e2e_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A conversation in a real terminal: Ctrl-C stops the answer and not the program, the model sees what was said before, and
// the screen is left as it was.
func TestChatInTerminal(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	tty := openTerminal(t)
	command := exec.Command(binary, "chat", "--addr", s.grpc, "--temperature", "0", "--ignore-eos", "--max-tokens", "4000")
	command.Stdin, command.Stdout, command.Stderr = tty.slave, tty.slave, tty.slave
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = command.Process.Kill() }()
	tty.expect("> ")
	tty.say("My name is Ada. Count from 1 to 1000.\r")
	tty.expect("\x1b[?2004l") // the line editor has let go
	tty.expect(" ")           // and an answer has begun
	tty.say("\x03")
	tty.expect("(interrupted)\r\n")
	tty.expect("> ")
	s.idle(t.Context())
	tty.say("/set max_tokens 3\r")
	tty.expect("> ")
	tty.say("half a line\x03/show\r") // between answers it clears the line
	tty.expect("user: My name is Ada. Count from 1 to 1000.\r\nassistant: ")
	tty.expect("> ")
	tty.say("And my name?\r")
	tty.expect("> ")
	tty.say("/bye\r")
	if err := command.Wait(); err != nil {
		t.Errorf("%v\n%q", err, tty.seen())
	}
	if seen := tty.seen(); strings.Contains(seen, "\x1b[?1049h") || strings.Contains(seen, "\x1b[2J") {
		t.Errorf("the screen was cleared: %q", seen)
	}
}

// terminal is a pseudo-terminal, with what was written to it.
type terminal struct {
	t             *testing.T
	master, slave *os.File

	mu   sync.Mutex
	all  bytes.Buffer // guarded by mu
	read int          // guarded by mu: up to where expect has looked
}

func openTerminal(t *testing.T) *terminal {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	out := &terminal{t: t, master: master, slave: slave}
	t.Cleanup(func() { _, _ = slave.Close(), master.Close() })
	go func() {
		chunk := make([]byte, 4096)
		for {
			n, err := master.Read(chunk)
			out.mu.Lock()
			out.all.Write(chunk[:n])
			out.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	return out
}

func (tty *terminal) say(keys string) {
	tty.t.Helper()
	if _, err := io.WriteString(tty.master, keys); err != nil {
		tty.t.Fatal(err)
	}
}

// expect waits until a text comes after the last one that was expected.
func (tty *terminal) expect(text string) {
	tty.t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) { //nolint:forbidigo // a terminal tells nobody
		tty.mu.Lock()
		at := bytes.Index(tty.all.Bytes()[tty.read:], []byte(text))
		if at >= 0 {
			tty.read += at + len(text)
		}
		tty.mu.Unlock()
		if at >= 0 {
			return
		}
	}
	tty.t.Fatalf("%q did not come:\n%q", text, tty.seen())
}

func (tty *terminal) seen() string {
	tty.mu.Lock()
	defer tty.mu.Unlock()
	return tty.all.String()
}
