package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/alecthomas/kong"
)

type manCmd struct{}

// Run prints the manual page, made from the same tags and texts as --help.
func (manCmd) Run(p *process, parsed *kong.Context) error {
	page := &strings.Builder{}
	app := parsed.Model
	fmt.Fprintf(page, ".TH SLUICE 1 \"\" \"sluice %s\" \"User Commands\"\n", roff(build().Version))
	fmt.Fprintf(page, ".SH NAME\nsluice \\- serve language models over gRPC on ONNX Runtime\n")
	fmt.Fprintf(page, ".SH SYNOPSIS\n.B sluice\n.I COMMAND\n[\\fIOPTION\\fR]...\n.SH DESCRIPTION\n")
	verbatim(page, description)
	fmt.Fprint(page, ".SH OPTIONS OF ALL COMMANDS\n")
	manFlags(page, app.Node)
	fmt.Fprint(page, ".SH COMMANDS\n")
	for _, command := range app.Children {
		if command.Hidden {
			continue
		}
		fmt.Fprintf(page, ".SS sluice %s\n%s\n", roff(command.Summary()), roff(command.Help))
		manFlags(page, command)
		if command.Detail != "" {
			verbatim(page, command.Detail)
		}
	}
	_, err := io.WriteString(p.stdout, page.String())
	return err
}

func manFlags(page *strings.Builder, node *kong.Node) {
	for _, flag := range node.Flags {
		if flag.Hidden || flag.Name == "help" {
			continue
		}
		env := ""
		if len(flag.Envs) > 0 {
			env = " ($" + flag.Envs[0] + ")"
		}
		fmt.Fprintf(page, ".TP\n.B %s\n%s%s\n", roff(flag.String()), roff(flag.Help), roff(env))
	}
}

// verbatim keeps the lines of a text.
func verbatim(page *strings.Builder, text string) {
	fmt.Fprintf(page, ".PP\n.nf\n%s\n.fi\n", roff(strings.TrimSpace(text)))
}

// roff escapes a text: a backslash, a hyphen that is to be copied, and a line that begins like a request.
func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(text)
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
			lines[i] = `\&` + line
		}
	}
	return strings.Join(lines, "\n")
}
