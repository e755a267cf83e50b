package main

import (
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
