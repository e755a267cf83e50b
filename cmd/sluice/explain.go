package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"

	"google.golang.org/protobuf/encoding/protojson"

	client "github.com/sluiceml/sluice/clients/go"
	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
)

type explainCmd struct {
	clientFlags
	Model string `help:"Model to call. Default: the server's default." env:"SLUICE_CLIENT_MODEL" placeholder:"NAME"`
	Chat  bool   `help:"Use the model's chat template: PROMPT is a user's message and ANSWER the answer to it."`
	Unit  string `help:"Parts to divide the prompt into: sentence, line, word or message." enum:"sentence,line,word,message" default:"sentence" placeholder:"UNIT"`
	JSON  bool   `help:"Print the answer as one JSON object." name:"json"`

	Prompt string `arg:"" help:"The prompt of the answer."`
	Answer string `arg:"" help:"The answer, including the space before it if there is one."`
}

// Help implements kong.HelpProvider.
func (explainCmd) Help() string {
	return `For each segment of the prompt: how much it moves the log-likelihood of the answer, by leaving it out. Above 0 the segment
makes the answer more likely.

Examples:

  sluice explain "I like tea. Paris is in France. The capital of France is" " Paris"
  sluice explain --unit word "The capital of France is" " Paris"`
}

// Run explains an answer by a server.
func (c *explainCmd) Run(ctx context.Context, p *process) error {
	server, err := c.connect()
	if err != nil {
		return err
	}
	defer func() { _ = server.Close() }() // nothing is in flight
	request := &sluicev1.ExplainRequest{
		Model: c.Model, Answer: c.Answer, Input: &sluicev1.ExplainRequest_Prompt{Prompt: c.Prompt},
		Unit: map[string]sluicev1.ExplainUnit{
			"sentence": sluicev1.ExplainUnit_EXPLAIN_UNIT_SENTENCE, "line": sluicev1.ExplainUnit_EXPLAIN_UNIT_LINE,
			"word": sluicev1.ExplainUnit_EXPLAIN_UNIT_WORD, "message": sluicev1.ExplainUnit_EXPLAIN_UNIT_MESSAGE,
		}[c.Unit],
	}
	if c.Chat {
		request.Input = &sluicev1.ExplainRequest_Chat{Chat: client.Chat(client.User(c.Prompt)).GetChat()}
	}
	answer, err := server.Explain(ctx, request)
	if err != nil {
		return err
	}
	if c.JSON {
		line, err := protojson.Marshal(answer)
		if err != nil {
			return fmt.Errorf("explain: %w", err)
		}
		_, err = fmt.Fprintf(p.stdout, "%s\n", line)
		return err
	}
	return printEffects(p.stdout, c.Prompt, answer)
}

func printEffects(w io.Writer, prompt string, answer *sluicev1.ExplainResponse) error {
	if _, err := fmt.Fprintf(w, "log-likelihood of the answer: %.4f over %d tokens\n", answer.GetLogLikelihood(), answer.GetAnswerTokens()); err != nil {
		return err
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0) // keeps the first error for Flush
	_, _ = fmt.Fprintln(table, "EFFECT\tSEGMENT")
	for _, a := range answer.GetAttributions() {
		from, to := min(int(a.GetStart()), len(prompt)), min(int(a.GetEnd()), len(prompt))
		_, _ = fmt.Fprintf(table, "%+.4f\t%s\n", a.GetEffect(), quoteShort(prompt[min(from, to):to]))
	}
	return table.Flush()
}
