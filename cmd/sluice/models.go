package main

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"text/tabwriter"

	"google.golang.org/protobuf/encoding/protojson"

	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
)

type modelsCmd struct {
	clientFlags
	Model string `help:"The same as NAME." env:"-" placeholder:"NAME"`
	JSON  bool   `help:"Print one JSON object a line." name:"json"`

	Name string `arg:"" optional:"" help:"Only the model of this name or alias."`
}

// Help implements kong.HelpProvider.
func (modelsCmd) Help() string {
	return `Examples:

  sluice models
  sluice models default --json | jq .contextLength`
}

// Run lists the models.
func (c *modelsCmd) Run(ctx context.Context, p *process) error {
	if c.Name != "" && c.Model != "" && c.Name != c.Model {
		return usagef("--model %s and %s: give one of them", c.Model, c.Name)
	}
	name := cmp.Or(c.Name, c.Model)
	server, err := c.connect()
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
	if c.JSON {
		for _, m := range models {
			line, err := protojson.Marshal(m)
			if err != nil {
				return fmt.Errorf("models: %w", err)
			}
			if _, err := fmt.Fprintf(p.stdout, "%s\n", line); err != nil {
				return err
			}
		}
		return nil
	}
	table := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0) // keeps the first error for Flush
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
