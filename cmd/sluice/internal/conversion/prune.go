package conversion

import (
	"context"
	"fmt"
	"strings"

	"github.com/sluiceml/sluice/cmd/sluice/internal/setup"
	"github.com/sluiceml/sluice/inference/model"
	"github.com/sluiceml/sluice/inference/model/builder"
)

// prunes says whether anything is to be left out; what cannot be is refused later.
func (c *Conversion) prunes() bool { return c.Pruning.Layers != 0 || c.Pruning.FFN != 0 }

// prune leaves out what was asked for, and says what that was. scratch is a folder for what does not fit in memory.
func prune(
	ctx context.Context, c Conversion, source model.Source, calibration [][]uint32, scratch string, progress setup.Progress,
) (model.Source, builder.Pruned, error) {
	pruning := c.Pruning
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
