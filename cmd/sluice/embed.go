package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	client "github.com/sluiceml/sluice/clients/go"
	"github.com/sluiceml/sluice/cmd/sluice/internal/usage"
	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
)

type embedCmd struct {
	clientFlags
	Model      string  `help:"Model to call. Default: the server's default." env:"SLUICE_CLIENT_MODEL" placeholder:"NAME"`
	Pooling    string  `help:"How the states of a text's tokens become one vector: mean, last or cls. Default: as the model prescribes." enum:",mean,last,cls" default:"" placeholder:"KIND"`
	Dimensions *uint32 `help:"Keep the first N values of each vector." placeholder:"N"`
	Normalize  bool    `help:"Scale each vector to length 1." default:"true" negatable:""`
	Compare    bool    `help:"Instead of vectors, print how similar the first text is to each of the others: the cosine of their vectors."`

	Texts []string `arg:"" optional:"" name:"text" help:"Texts to embed. Default: the lines of stdin."`
}

// Help implements kong.HelpProvider.
func (embedCmd) Help() string {
	return `Prints a line with a JSON array for each text.

Examples:

  sluice embed "The cat sleeps."
  sluice embed --compare --pooling last "a small dog" "puppy" "the stock market"
  sluice embed --dimensions 64 < sentences.txt > vectors.jsonl`
}

// embedBatch is how many lines of stdin go into one request.
const embedBatch = 256

// Run embeds texts by a server.
func (c *embedCmd) Run(ctx context.Context, p *process) error {
	if len(c.Texts) == 0 && p.terminal() {
		return usage.Errorf("a text is missing: sluice embed \"The cat sleeps.\"")
	}
	if c.Compare && (len(c.Texts) < 2 || !c.Normalize) {
		return usage.Errorf("--compare needs two texts or more, and normalized vectors")
	}
	server, err := c.connect()
	if err != nil {
		return err
	}
	defer func() { _ = server.Close() }() // nothing is in flight
	if len(c.Texts) == 0 {
		return c.embedLines(ctx, p, server)
	}
	embeddings, err := c.embed(ctx, server, c.Texts)
	if err != nil {
		return err
	}
	if c.Compare {
		return printCosines(p.stdout, c.Texts, embeddings)
	}
	return printVectors(p.stdout, embeddings)
}

// embedLines embeds the lines of stdin, some at a time.
func (c *embedCmd) embedLines(ctx context.Context, p *process, server *client.Client) error {
	lines := bufio.NewScanner(p.stdin)
	lines.Buffer(nil, maxPrompt)
	var texts []string
	flush := func() error {
		if len(texts) == 0 {
			return nil
		}
		embeddings, err := c.embed(ctx, server, texts)
		texts = texts[:0]
		if err != nil {
			return err
		}
		return printVectors(p.stdout, embeddings)
	}
	for lines.Scan() {
		if texts = append(texts, strings.ToValidUTF8(lines.Text(), "\uFFFD")); len(texts) == embedBatch {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read stdin: %w", err)
	}
	return flush()
}

// embed makes one request.
func (c *embedCmd) embed(ctx context.Context, server *client.Client, texts []string) ([]*sluicev1.Embedding, error) {
	request := client.Texts(texts...)
	request.Model, request.Dimensions, request.Normalize = c.Model, c.Dimensions, &c.Normalize
	request.Pooling = map[string]sluicev1.Pooling{
		"mean": sluicev1.Pooling_POOLING_MEAN, "last": sluicev1.Pooling_POOLING_LAST, "cls": sluicev1.Pooling_POOLING_CLS,
	}[c.Pooling]
	answer, err := server.Embed(ctx, request)
	return answer.GetEmbeddings(), err
}

// printVectors writes a JSON array a line.
func printVectors(w io.Writer, embeddings []*sluicev1.Embedding) error {
	encoder := json.NewEncoder(w)
	for _, e := range embeddings {
		if err := encoder.Encode(e.GetValues()); err != nil {
			return fmt.Errorf("embed: %w", err)
		}
	}
	return nil
}

// printCosines writes how alike the first text and the others are.
func printCosines(w io.Writer, texts []string, embeddings []*sluicev1.Embedding) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0) // keeps the first error for Flush
	first := embeddings[0].GetValues()
	for i, e := range embeddings[1:] {
		cosine := 0.0
		for k, v := range e.GetValues() {
			cosine += float64(first[k]) * float64(v)
		}
		_, _ = fmt.Fprintf(table, "%.4f\t%s\n", cosine, quoteShort(texts[i+1]))
	}
	return table.Flush()
}

// quoteShort is a text as one short line for people.
func quoteShort(text string) string {
	const most = 60
	runes := []rune(text)
	if len(runes) > most {
		runes = append(runes[:most], '…')
	}
	return fmt.Sprintf("%q", string(runes))
}
