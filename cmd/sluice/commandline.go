package main

import (
	"io"
	"log/slog"
	"strings"

	"github.com/alecthomas/kong"
	kongcompletion "github.com/jotaen/kong-completion"

	"github.com/sluiceml/sluice/cmd/sluice/internal/logging"
)

// commandLine is every command and option. The struct is the documentation of the options: help, completion, the man
// page, the variables and the configuration file all come from it.
type commandLine struct {
	Config      kong.ConfigFlag  `help:"Read options from a YAML file; the command line and the environment win over it." placeholder:"FILE"`
	PrintConfig bool             `env:"-" help:"Print the options in force for this command, as a configuration file, and exit."`
	ShowVersion kong.VersionFlag `name:"version" env:"-" help:"Print the version and exit."`
	loggingFlags

	Setup    setupCmd    `cmd:"" help:"Fetch ONNX Runtime and the default model into the cache."`
	Serve    serveCmd    `cmd:"" help:"Serve models over gRPC."`
	Generate generateCmd `cmd:"" help:"Send a prompt to a running server and stream the answer."`
	Chat     chatCmd     `cmd:"" help:"Chat with a running server's model in the terminal."`
	Embed    embedCmd    `cmd:"" help:"Compute embeddings of texts on a running server."`
	Score    scoreCmd    `cmd:"" help:"Score how likely texts are as continuations of a prompt, on a running server."`
	Explain  explainCmd  `cmd:"" help:"Show which parts of a prompt make an answer likely, on a running server."`
	Models   modelsCmd   `cmd:"" help:"List the models of a running server."`
	Tokenize tokenizeCmd `cmd:"" help:"Turn text into token ids, with a running server or a tokenizer file."`
	Render   renderCmd   `cmd:"" help:"Render conversations with a chat template file."`
	Convert  convertCmd  `cmd:"" help:"Turn a checkpoint into a model folder that can be served."`
	Eval     evalCmd     `cmd:"" help:"Measure the quality and speed of model folders."`
	Keys     keysCmd     `cmd:"" help:"Make and check API keys."`
	Check    checkCmd    `cmd:"" help:"Describe a model file or folder, and how it will run or why it cannot."`
	Bench    benchCmd    `cmd:"" help:"Load-test a running server: measure latencies and throughput."`
	Version  versionCmd  `cmd:"" help:"Print the versions of Sluice, Go and ONNX Runtime."`
	Man      manCmd      `cmd:"" hidden:"" help:"Print the manual page in roff."`

	Completion kongcompletion.Completion `cmd:"" help:"Print the lines to add to a shell's start-up file for completion (bash, zsh, fish)."`
}

// process is what a command gets from the operating system.
type process struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	args           []string // without the program's name, to parse again on a reload
	log            *slog.Logger
	help           string // the command whose help tells more
}

// helpOf is the command that a command line names, as far as it could be parsed, for its --help.
func helpOf(parsed *kong.Context) string {
	name := "sluice"
	if parsed != nil {
		for _, at := range parsed.Path {
			if at.Command != nil {
				name = at.Command.FullPath()
			}
		}
	}
	return name
}

const description = `Serve language models over gRPC on ONNX Runtime.

Start with:

  sluice setup                          once: fetch ONNX Runtime and a small model
  sluice serve                          in one terminal
  sluice generate "Name three rivers."  in another

Options can also be set by environment variables, which the help of each command names (--grpc-addr by SLUICE_GRPC_ADDR, but
--model of clients by SLUICE_CLIENT_MODEL), and by keys of the YAML file given with --config. Options without a variable are
for the command line alone: --help, --version, --print-config, --model of models, and those of models load and keys hash.

Exit codes: 0 success, 1 failure, 2 wrong usage or configuration, 3 not set up (run sluice setup), 4 the server refused
the request (1 if there is no server), 130 interrupted.`

// parserOptions are those of the command line's parser.
func parserOptions() []kong.Option {
	return []kong.Option{
		kong.Name("sluice"),
		kong.Description(description),
		kong.Vars{"version": "sluice " + build().Version},
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 110, FlagsLast: true}),
		kong.Configuration(loadConfig),
		kong.DefaultEnvars("SLUICE"),
		kong.ValueFormatter(formatHelp),
	}
}

// formatHelp adds to an option's help its default and its variable.
func formatHelp(value *kong.Value) string {
	var notes []string
	if value.HasDefault && value.Default != "" && value.Default != "0s" && value.Default != "0" {
		notes = append(notes, "default "+value.Default)
	}
	if value.Flag != nil && len(value.Flag.Envs) > 0 {
		notes = append(notes, "$"+value.Flag.Envs[0])
	}
	if len(notes) == 0 {
		return value.Help
	}
	return value.Help + " (" + strings.Join(notes, ", ") + ")"
}

// loggingFlags say what goes to stderr and how.
type loggingFlags struct {
	LogLevel  logging.Level `help:"Lowest level to log: debug, info, warn or error." default:"info" placeholder:"LEVEL"`
	LogFormat string        `help:"Format of the log: text or json." enum:"text,json" default:"text" placeholder:"FORMAT"`

	level *slog.LevelVar
}

// logger makes the process's logger.
func (f *loggingFlags) logger(w io.Writer) *slog.Logger {
	f.level = new(slog.LevelVar)
	f.level.Set(slog.Level(f.LogLevel))
	return logging.New(w, f.LogFormat, f.level)
}
