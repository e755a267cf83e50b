package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/sluiceml/sluice/cmd/sluice/internal/usage"
	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
)

type modelsCmd struct {
	clientFlags

	List   modelsListCmd   `cmd:"" default:"withargs" help:"List the models, or describe one; the default of sluice models."`
	Load   modelsLoadCmd   `cmd:"" help:"Load or replace a model from the server's model store, through its admin address."`
	Unload modelsUnloadCmd `cmd:"" help:"Unload a model when its running requests have finished, through the admin address."`
}

// Help implements kong.HelpProvider.
func (modelsCmd) Help() string {
	return `Examples:

  sluice models
  sluice models default --json | jq .contextLength
  sluice models load small --addr 127.0.0.1:9090
  sluice models load small --folder small-v2 --replace --addr 127.0.0.1:9090
  sluice models unload small --addr 127.0.0.1:9090`
}

type modelsListCmd struct {
	Model string `help:"The same as NAME." env:"-" placeholder:"NAME"`
	JSON  bool   `help:"Print one JSON object per line." name:"json"`

	Name string `arg:"" optional:"" help:"Name or alias of the only model to describe."`
}

// Run lists the models.
func (c *modelsListCmd) Run(ctx context.Context, p *process, parent *modelsCmd) error {
	if c.Name != "" && c.Model != "" && c.Name != c.Model {
		return usage.Errorf("--model %s and %s: give one of them", c.Model, c.Name)
	}
	name := cmp.Or(c.Name, c.Model)
	server, err := parent.connect()
	if err != nil {
		return err
	}
	defer func() { _ = server.Close() }() // nothing is in flight
	var models []*sluicev1.Model
	if name != "" {
		m, err := server.Model(ctx, name)
		if err != nil {
			return err
		}
		models = append(models, m)
	} else if models, err = server.Models(ctx); err != nil {
		return err
	}
	return printModels(p.stdout, models, c.JSON)
}

type modelsLoadCmd struct {
	Folder  string   `help:"Folder of the model store; without it, the one called NAME." env:"-" placeholder:"FOLDER"`
	Alias   []string `help:"Another name that shall lead to the model, and no longer to the one that has it now; repeatable. \"default\" makes it the default model." name:"as" env:"-" placeholder:"ALIAS"`
	Replace bool     `help:"Replace the model that serves under the name, without a failed request." env:"-"`
	JSON    bool     `help:"Print the model as one JSON object." name:"json" env:"-"`

	Name string `arg:"" help:"Name to serve the model by."`
}

// Run loads a model and waits until it serves.
func (c *modelsLoadCmd) Run(ctx context.Context, p *process, parent *modelsCmd) error {
	server, err := parent.connect()
	if err != nil {
		return err
	}
	defer func() { _ = server.Close() }() // nothing is in flight
	m, err := server.LoadModel(ctx, &sluicev1.LoadModelRequest{
		Name: c.Name, Folder: c.Folder, Aliases: c.Alias, Replace: c.Replace,
	})
	if err != nil {
		return err
	}
	return printModels(p.stdout, []*sluicev1.Model{m}, c.JSON)
}

type modelsUnloadCmd struct {
	Name string `arg:"" help:"Name of the model, not an alias."`
}

// Run unloads a model and waits until it has gone.
func (c *modelsUnloadCmd) Run(ctx context.Context, _ *process, parent *modelsCmd) error {
	server, err := parent.connect()
	if err != nil {
		return err
	}
	defer func() { _ = server.Close() }() // nothing is in flight
	return server.UnloadModel(ctx, c.Name)
}

// printModels writes a table, or a JSON object a line.
func printModels(w io.Writer, models []*sluicev1.Model, asJSON bool) error {
	if asJSON {
		for _, m := range models {
			line, err := protojson.Marshal(m)
			if err != nil {
				return fmt.Errorf("models: %w", err)
			}
			if _, err := fmt.Fprintf(w, "%s\n", line); err != nil {
				return err
			}
		}
		return nil
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0) // keeps the first error for Flush
	_, _ = fmt.Fprintln(table, "NAME\tALIASES\tSTATE\tARCHITECTURE\tQUANTIZATION\tCONTEXT\tCHAT\tREPLICAS")
	for _, m := range models {
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%d\t%s\t%s\n", m.GetName(), strings.Join(m.GetAliases(), ","),
			strings.ToLower(strings.TrimPrefix(m.GetState().String(), "MODEL_STATE_")), m.GetArchitecture(),
			m.GetQuantization(), m.GetContextLength(), yesNo(m.GetChat()), replicas(m))
	}
	return table.Flush()
}

// replicas sums up where a model runs: cpu:threads=2 (3 of 32 slots, 0 waiting).
func replicas(m *sluicev1.Model) string {
	parts := make([]string, len(m.GetReplicas()))
	for i, r := range m.GetReplicas() {
		parts[i] = fmt.Sprintf("%s (%d of %d slots, %d waiting)", r.GetDevice(), r.GetRunning(), r.GetSlots(), r.GetWaiting())
	}
	return strings.Join(parts, ", ")
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
