package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/sluiceml/sluice/cmd/sluice/internal/setup"
	"github.com/sluiceml/sluice/inference/model"
	"github.com/sluiceml/sluice/inference/model/builder"
)

// pruneFlags say what to leave out of a model.
type pruneFlags struct {
	PruneLayers int     `help:"Leave out so many layers: those that change least what goes through them. Nothing is trained after it: the loss is large, see --report." default:"0" placeholder:"N"`
	PruneFFN    float64 `name:"prune-ffn" help:"Leave out this part of the feed-forward layers' channels: those that add least. As with --prune-layers." default:"0" placeholder:"RATIO"`
}

func (f *pruneFlags) pruning() builder.Pruning {
	return builder.Pruning{Layers: f.PruneLayers, FFN: f.PruneFFN}
}

// prunes says whether anything is to be left out; what cannot be is refused later.
func (c *conversion) prunes() bool { return c.pruning.Layers != 0 || c.pruning.FFN != 0 }

// prune leaves out what was asked for, and says what that was. scratch is a folder for what does not fit in memory.
func prune(
	ctx context.Context, c conversion, source model.Source, calibration [][]uint32, scratch string, progress setup.Progress,
) (model.Source, builder.Pruned, error) {
	pruning := c.pruning
	pruning.Calibration, pruning.Scratch = calibration, scratch
	task := progress.Start("measuring what to prune", 0)
	left, pruned, err := builder.Prune(ctx, source, pruning)
	task.Done(err)
	if err != nil {
		return source, pruned, err
	}
	for _, line := range describePruned(pruned) {
		progress.Note(line)
	}
	return left, pruned, nil
}

// describePruned says in words what was left out.
func describePruned(p builder.Pruned) []string {
	var lines []string
	if len(p.Layers) > 0 {
		parts := make([]string, len(p.Layers))
		for i, layer := range p.Layers {
			parts[i] = fmt.Sprintf("%d (influence %.3f)", layer, p.Influence[layer])
		}
		lines = append(lines, fmt.Sprintf("left out %d of %d layers: %s", len(p.Layers), len(p.Influence), strings.Join(parts, ", ")))
	}
	if p.Channels > 0 {
		var most float64
		for _, v := range p.Lost {
			most = max(most, v)
		}
		lines = append(lines, fmt.Sprintf("left out %d of %d channels of each feed-forward layer: up to %.1f %% of what a layer adds", p.Channels, p.Width, 100*most))
	}
	return lines
}
