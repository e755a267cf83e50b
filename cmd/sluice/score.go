package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"text/tabwriter"

	"google.golang.org/protobuf/encoding/protojson"

	client "github.com/sluiceml/sluice/clients/go"
	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
)

type scoreCmd struct {
	clientFlags
	Model string `help:"Model to call. Default: the server's default." env:"SLUICE_CLIENT_MODEL" placeholder:"NAME"`
	Chat  bool   `help:"Use the model's chat template: PROMPT is a user's message and the continuations are answers to it."`
	JSON  bool   `help:"Print the answer as one JSON object." name:"json"`

	Prompt        string   `arg:"" help:"The text before the continuations."`
	Continuations []string `arg:"" help:"Texts that may follow, including the space before them if there is one."`
}

// Help implements kong.HelpProvider.
func (scoreCmd) Help() string {
	return `For each continuation: the natural logarithm of its probability behind the prompt, the same per token, its tokens, and
whether greedy generation would give it.

Examples:

  sluice score "The capital of France is" " Paris" " London" " Rome"
  sluice score --chat "Is 7 a prime number?" "Yes." "No."`
}

// Run scores continuations by a server.
func (c *scoreCmd) Run(ctx context.Context, p *process) error {
	server, err := c.connect()
	if err != nil {
		return err
	}
	defer func() { _ = server.Close() }() // nothing is in flight
	request := &sluicev1.ScoreRequest{
		Model: c.Model, Continuations: c.Continuations, Input: &sluicev1.ScoreRequest_Prompt{Prompt: c.Prompt},
	}
	if c.Chat {
		request.Input = &sluicev1.ScoreRequest_Chat{Chat: client.Chat(client.User(c.Prompt)).GetChat()}
	}
	answer, err := server.Score(ctx, request)
	if err != nil {
		return err
	}
	if c.JSON {
		line, err := protojson.Marshal(answer)
		if err != nil {
			return fmt.Errorf("score: %w", err)
		}
		_, err = fmt.Fprintf(p.stdout, "%s\n", line)
		return err
	}
	return printScores(p.stdout, c.Continuations, answer.GetScores())
}

func printScores(w io.Writer, texts []string, scores []*sluicev1.ContinuationScore) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0) // keeps the first error for Flush
	_, _ = fmt.Fprintln(table, "LOG-LIKELIHOOD\tPER TOKEN\tTOKENS\tGREEDY\tCONTINUATION")
	for i, s := range scores {
		each := s.GetLogLikelihood() / math.Max(1, float64(s.GetTokens()))
		_, _ = fmt.Fprintf(table, "%.4f\t%.4f\t%d\t%s\t%s\n", s.GetLogLikelihood(), each, s.GetTokens(), yesNo(s.GetIsGreedy()), quoteShort(texts[i]))
	}
	return table.Flush()
}
