package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/sluiceml/sluice/cmd/sluice/internal/tokenizerfile"
	"github.com/sluiceml/sluice/cmd/sluice/internal/usage"
	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
	"github.com/sluiceml/sluice/tokenizer"
)

type tokenizeCmd struct {
	clientFlags
	Model            string `help:"Model of the server. Default: the server's default." env:"SLUICE_CLIENT_MODEL" placeholder:"NAME"`
	Tokenizer        string `help:"Use this tokenizer.json, folder or GGUF file instead of a server." placeholder:"FILE-OR-DIR"`
	JSONL            bool   `help:"Read one JSON string per line from stdin and print the JSON array of its ids." name:"jsonl"`
	AddSpecialTokens bool   `help:"Add the tokens that the model's post-processor adds, such as a begin token."`
	Special          string `help:"How to treat special tokens that are written in the text: parse, text or forbid." enum:"parse,text,forbid" default:"parse" placeholder:"POLICY"`

	Text string `arg:"" optional:"" help:"The text. Default: all of stdin."`
}

// Help implements kong.HelpProvider.
func (tokenizeCmd) Help() string {
	return `Ids are those of Hugging Face's encode(text, add_special_tokens=False).

Examples:

  sluice tokenize "Hello, world"
  sluice tokenize --tokenizer models/small "Hello, world"
  jq -c .text corpus.jsonl | sluice tokenize --tokenizer tokenizer.json --jsonl > ids.jsonl`
}

// encoder turns one text into ids.
type encoder func(ctx context.Context, text string) ([]uint32, error)

// Run tokenizes.
func (c *tokenizeCmd) Run(ctx context.Context, p *process, parsed *kong.Context) error {
	for _, name := range []string{"addr", "model", "tls-ca", "tls-cert", "tls-key", "api-key"} {
		if c.Tokenizer != "" && given(parsed, name) {
			return usage.Errorf("--%s is for a server: leave out --tokenizer", name)
		}
	}
	encode, stop, err := c.encoder()
	if err != nil {
		return err
	}
	defer stop()
	if c.JSONL {
		if c.Text != "" {
			return usage.Errorf("--jsonl reads stdin: leave out the text")
		}
		return eachLine(ctx, p.stdin, p.stdout, func(line []byte) (any, error) {
			var text *string
			if err := json.Unmarshal(line, &text); err != nil || text == nil {
				return nil, errors.New("not a JSON string")
			}
			ids, err := encode(ctx, *text)
			if ids == nil {
				ids = []uint32{} // an empty array, not null
			}
			return ids, err
		})
	}
	text, err := c.readText(p)
	if err != nil {
		return err
	}
	ids, err := encode(ctx, text)
	if err != nil {
		return err
	}
	words := make([]string, len(ids))
	for i, id := range ids {
		words[i] = strconv.FormatUint(uint64(id), 10)
	}
	_, err = fmt.Fprintln(p.stdout, strings.Join(words, " "))
	return err
}

// given says whether an option is on the command line itself.
func given(parsed *kong.Context, name string) bool {
	return slices.ContainsFunc(parsed.Path, func(path *kong.Path) bool {
		return path.Flag != nil && path.Flag.Name == name && !path.Resolved
	})
}

func (c *tokenizeCmd) readText(p *process) (string, error) {
	if c.Text != "" {
		return c.Text, nil
	}
	if p.terminal() {
		return "", usage.Errorf("a text is missing: sluice tokenize \"Hello, world\"")
	}
	data, err := io.ReadAll(io.LimitReader(p.stdin, maxLine+1))
	if err != nil {
		return "", fmt.Errorf("read the text: %w", err)
	}
	if len(data) > maxLine {
		return "", fmt.Errorf("the text is larger than %d MiB", maxLine>>20)
	}
	return string(data), nil
}

// encoder is the file's tokenizer, or the server's.
func (c *tokenizeCmd) encoder() (encode encoder, stop func(), err error) {
	if c.Tokenizer == "" {
		return c.remote()
	}
	t, err := tokenizerfile.Load(c.Tokenizer)
	if err != nil {
		return nil, nil, err
	}
	policy := map[string]tokenizer.SpecialPolicy{
		"parse": tokenizer.ParseSpecial, "text": tokenizer.SpecialAsText, "forbid": tokenizer.ForbidSpecial,
	}[c.Special]
	options := tokenizer.EncodeOptions{AddSpecialTokens: c.AddSpecialTokens, Special: policy}
	return func(_ context.Context, text string) ([]uint32, error) { return t.Encode(text, options) }, func() {}, nil
}

func (c *tokenizeCmd) remote() (encoder, func(), error) {
	if c.Special == "forbid" {
		return nil, nil, usage.Errorf("--special forbid needs --tokenizer: servers parse special tokens or take them for text")
	}
	server, err := c.connect()
	if err != nil {
		return nil, nil, err
	}
	parse := c.Special == "parse"
	encode := func(ctx context.Context, text string) ([]uint32, error) {
		tokens, err := server.Tokenize(ctx, &sluicev1.TokenizeRequest{
			Model: c.Model, Text: text, AddSpecialTokens: &c.AddSpecialTokens, ParseSpecial: &parse,
		})
		ids := make([]uint32, len(tokens))
		for i, t := range tokens {
			ids[i] = t.GetId()
		}
		return ids, err
	}
	return encode, func() { _ = server.Close() }, nil
}
