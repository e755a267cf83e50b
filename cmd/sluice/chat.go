package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"

	"golang.org/x/term"

	"github.com/sluiceml/sluice/cmd/sluice/internal/conversation"
	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
)

type chatCmd struct {
	clientFlags
	samplingFlags
	Model string   `help:"Model to call. Default: the server's default." env:"SLUICE_CLIENT_MODEL" placeholder:"NAME"`
	Sys   string   `help:"System message that tells the model how to behave." name:"system" placeholder:"TEXT"`
	Stop  []string `help:"Text at which to stop; repeatable." sep:"none" placeholder:"TEXT"`
	Stats bool     `help:"Print time to first token, tokens/s and usage after each answer."`
}

// Help implements kong.HelpProvider.
func (chatCmd) Help() string {
	return `Each line is a turn; the model sees all that was said. Ctrl-C stops an answer, Ctrl-D leaves. Without a terminal
the lines of stdin are the turns, and stdout has the answers only.

Commands:

` + conversation.Help
}

// Run talks until the user leaves.
func (c *chatCmd) Run(ctx context.Context, p *process) error {
	server, err := c.connect()
	if err != nil {
		return err
	}
	defer func() { _ = server.Close() }() // every answer has ended
	config := conversation.Config{
		Client:    server,
		Request:   &sluicev1.GenerateRequest{Model: c.Model, Sampling: c.sampling()},
		System:    c.Sys,
		Answering: answering,
		Out:       p.stdout, Notes: p.stderr,
		Stats: c.Stats,
	}
	if len(c.Stop) > 0 {
		config.Request.Stop = &sluicev1.Stop{Strings: c.Stop}
	}
	out, ok := p.stdout.(*os.File)
	if config.Dim = ok && p.terminal() && term.IsTerminal(int(out.Fd())); config.Dim {
		if _, err := server.Model(ctx, c.Model); err != nil { // before the user types in vain
			return err //nolint:wrapcheck // the client's, which says what it is
		}
		_, _ = fmt.Fprintln(p.stderr, "Ctrl-C stops an answer, Ctrl-D leaves, /help lists the commands.")
		config.ReadLine = newLineEditor(os.Stdin, out).readLine
	} else {
		config.ReadLine = lines(p.stdin)
	}
	return conversation.Run(ctx, config) //nolint:wrapcheck // says what it is
}

// answering is a context that ends with SIGINT, which between answers has its usual effect.
func answering(ctx context.Context) (context.Context, context.CancelFunc) {
	return signal.NotifyContext(ctx, os.Interrupt)
}

// lines reads turns from what is not a terminal.
func lines(from io.Reader) func() (string, error) {
	in := bufio.NewReader(from)
	return func() (string, error) {
		line, err := in.ReadString('\n')
		if len(line) > maxPrompt {
			return "", errors.New("a line is larger than 32 MiB")
		}
		return strings.TrimRight(line, "\r\n"), err //nolint:wrapcheck // io.EOF must stay itself
	}
}

// lineEditor reads lines from a terminal, with history and the usual keys. The terminal is in raw mode only while a line is
// being typed, so that Ctrl-C is a signal while an answer comes.
type lineEditor struct {
	in   *os.File
	out  *os.File
	line *term.Terminal
}

func newLineEditor(in, out *os.File) *lineEditor {
	e := &lineEditor{in: in, out: out}
	e.line = term.NewTerminal(struct {
		io.Reader
		io.Writer
	}{keys{in}, out}, "> ")
	return e
}

func (e *lineEditor) readLine() (string, error) {
	state, err := term.MakeRaw(int(e.in.Fd()))
	if err != nil {
		return "", fmt.Errorf("terminal: %w", err)
	}
	defer func() { _ = term.Restore(int(e.in.Fd()), state) }() // it was as it was
	if width, height, err := term.GetSize(int(e.out.Fd())); err == nil && width > 0 {
		_ = e.line.SetSize(width, height) // only drawing fails
	}
	e.line.SetBracketedPasteMode(true)
	defer e.line.SetBracketedPasteMode(false)
	var pasted []string
	for {
		line, err := e.line.ReadLine()
		if errors.Is(err, term.ErrPasteIndicator) { // one of several lines that belong together
			pasted = append(pasted, line)
			continue
		}
		return strings.Join(append(pasted, line), "\n"), err //nolint:wrapcheck // io.EOF must stay itself
	}
}

// keys makes Ctrl-C clear the line, where the line editor would take it for the end of input.
type keys struct{ io.Reader }

// Read implements io.Reader.
func (k keys) Read(p []byte) (int, error) {
	const ctrlC, ctrlU = 3, 21
	n, err := k.Reader.Read(p)
	for i := range p[:n] {
		if p[i] == ctrlC {
			p[i] = ctrlU
		}
	}
	return n, err //nolint:wrapcheck // io.EOF must stay itself
}
