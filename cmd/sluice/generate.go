package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	client "github.com/sluiceml/sluice/clients/go"
	"github.com/sluiceml/sluice/cmd/sluice/internal/usage"
	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
)

type generateCmd struct {
	clientFlags
	samplingFlags
	Model string   `help:"Model to call. Default: the server's default." env:"SLUICE_CLIENT_MODEL" placeholder:"NAME"`
	Raw   bool     `help:"Continue PROMPT as plain text, without the model's chat template."`
	Sys   string   `help:"System message that tells the model how to behave." name:"system" placeholder:"TEXT"`
	Stop  []string `help:"Text at which to stop; repeatable." sep:"none" placeholder:"TEXT"`
	Stats bool     `help:"Print time to first token, tokens/s and usage to stderr at the end."`

	Timeout time.Duration `help:"Give up after this time; 0: never." default:"0s" placeholder:"DURATION"`

	Prompt string `arg:"" optional:"" help:"The prompt; read from stdin if it is missing or -."`
}

// samplingFlags are the parameters of sampling; an absent one is the model's or the server's default.
type samplingFlags struct {
	MaxTokens         *uint32  `help:"Most tokens to generate." placeholder:"N"`
	Temperature       *float32 `help:"Sampling temperature, 0 to 2; 0 always takes the likeliest token." placeholder:"T"`
	TopK              *uint32  `help:"Draw from the K likeliest tokens; 0: all." placeholder:"K"`
	TopP              *float32 `help:"Draw from the likeliest tokens that together have this probability." placeholder:"P"`
	MinP              *float32 `help:"Drop tokens whose probability is below this fraction of the likeliest one's." placeholder:"P"`
	RepetitionPenalty *float32 `help:"Above 1, tokens that occurred before become less likely." placeholder:"X"`
	PresencePenalty   *float32 `help:"Subtracted from the logits of tokens that occur in the output, -2 to 2." placeholder:"X"`
	FrequencyPenalty  *float32 `help:"Subtracted from a token's logit once per occurrence in the output, -2 to 2." placeholder:"X"`
	Seed              *uint64  `help:"Seed; the same seed and request give the same tokens." placeholder:"N"`
	IgnoreEOS         bool     `help:"Ignore the end token and go on." name:"ignore-eos"`
}

// sampling are the parameters as a request has them.
func (f *samplingFlags) sampling() *sluicev1.Sampling {
	out := &sluicev1.Sampling{
		MaxTokens: f.MaxTokens, Temperature: f.Temperature, TopK: f.TopK, TopP: f.TopP, MinP: f.MinP,
		RepetitionPenalty: f.RepetitionPenalty, PresencePenalty: f.PresencePenalty,
		FrequencyPenalty: f.FrequencyPenalty, Seed: f.Seed,
	}
	if f.IgnoreEOS {
		out.IgnoreEos = &f.IgnoreEOS
	}
	return out
}

// Help implements kong.HelpProvider.
func (generateCmd) Help() string {
	return `The answer goes to stdout as it is generated.

Examples:

  sluice generate "Name three rivers." --stats
  sluice generate --temperature 0 --max-tokens 16 --raw "The capital of France is"
  git diff | sluice generate --system "Write a commit message for this diff."`
}

// Run asks a server and prints the answer as it comes.
func (c *generateCmd) Run(ctx context.Context, p *process) error {
	if c.Raw && c.Sys != "" {
		return usage.Errorf("--system needs the model's chat template: leave out --raw")
	}
	prompt, err := c.readPrompt(p)
	if err != nil {
		return err
	}
	server, err := c.connect()
	if err != nil {
		return err
	}
	defer func() { _ = server.Close() }() // the stream has ended
	if c.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.Timeout)
		defer cancel()
	}
	stream := server.Stream(ctx, c.request(prompt))
	last := ""
	for delta, err := range stream.Deltas() { //nolint:contextcheck // the stream has ctx
		if err != nil {
			return errors.Join(err, endLine(p.stdout, last))
		}
		if _, err := io.WriteString(p.stdout, delta.GetText()); err != nil {
			return fmt.Errorf("generate: %w", err)
		}
		if delta.GetText() != "" {
			last = delta.GetText()
		}
	}
	if err := endLine(p.stdout, cmp.Or(last, " ")); err != nil {
		return err
	}
	if c.Stats {
		return printStats(p.stderr, stream)
	}
	return nil
}

// endLine ends a line that text has begun.
func endLine(w io.Writer, text string) error {
	if text == "" || strings.HasSuffix(text, "\n") {
		return nil
	}
	_, err := io.WriteString(w, "\n")
	return err
}

// maxPrompt is a little more than a server takes in one message, which then says what is wrong.
const maxPrompt = 32 << 20

func (c *generateCmd) readPrompt(p *process) (string, error) {
	if c.Prompt != "" && c.Prompt != "-" {
		return c.Prompt, nil
	}
	if c.Prompt == "" && p.terminal() {
		return "", usage.Errorf("a prompt is missing: sluice generate \"Name three rivers.\"")
	}
	data, err := io.ReadAll(io.LimitReader(p.stdin, maxPrompt+1))
	if err != nil {
		return "", fmt.Errorf("read the prompt: %w", err)
	}
	if c.Prompt == "" && len(data) == 0 { // a script's empty file; who means an empty prompt writes -
		return "", usage.Errorf("the prompt is missing: nothing came on standard input")
	}
	if len(data) > maxPrompt {
		return "", errors.New("the prompt is larger than 32 MiB")
	}
	return strings.ToValidUTF8(string(data), "\uFFFD"), nil
}

func (c *generateCmd) request(prompt string) *sluicev1.GenerateRequest {
	var request *sluicev1.GenerateRequest
	switch {
	case c.Raw:
		request = client.Prompt(prompt)
	case c.Sys != "":
		request = client.Chat(client.System(c.Sys), client.User(prompt))
	default:
		request = client.Chat(client.User(prompt))
	}
	request.Model = c.Model
	request.Sampling = c.sampling()
	if len(c.Stop) > 0 {
		request.Stop = &sluicev1.Stop{Strings: c.Stop}
	}
	return request
}

// printStats says how it went, by the server's own clock.
func printStats(w io.Writer, stream *client.Stream) error {
	out := bufio.NewWriter(w) // keeps the first error for Flush
	say := func(format string, args ...any) { _, _ = fmt.Fprintf(out, format, args...) }
	used, timings := stream.Summary().GetUsage(), stream.Summary().GetTimings()
	reason, seed := "", uint64(0)
	for _, f := range stream.Finished() {
		reason = strings.ToLower(strings.TrimPrefix(f.GetFinishReason().String(), "FINISH_REASON_"))
		seed = f.GetSeed()
	}
	milliseconds := func(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000) }
	decode, prefill := timings.GetDecode().AsDuration(), timings.GetPrefill().AsDuration()
	say("model: %s, request: %s, seed: %d, finish: %s\n",
		stream.Started().GetModel(), stream.Started().GetId(), seed, reason)
	say("time to first token: %s (queue %s, prefill %s)\n",
		milliseconds(timings.GetTimeToFirstToken().AsDuration()), milliseconds(timings.GetQueue().AsDuration()),
		milliseconds(prefill))
	say("speed: %s tokens/s decode, %s tokens/s prefill\n",
		rate(int(used.GetCompletionTokens())-1, decode),
		rate(int(used.GetPromptTokens())-int(used.GetCachedTokens()), prefill))
	say("usage: %d prompt tokens (%d cached), %d completion tokens\n",
		used.GetPromptTokens(), used.GetCachedTokens(), used.GetCompletionTokens())
	return out.Flush()
}

func rate(n int, d time.Duration) string {
	if n < 1 || d <= 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f", float64(n)/d.Seconds())
}
