package main

import (
	"github.com/sluiceml/sluice/inference/model/builder"
)

// pruneFlags say what to leave out of a model.
type pruneFlags struct {
	PruneLayers int     `help:"Remove this many layers, those that change their input least. Nothing is trained afterwards, so the loss of quality is large: see --report." default:"0" placeholder:"N"`
	PruneFFN    float64 `name:"prune-ffn" help:"Remove this fraction of the feed-forward layers' channels, those that contribute least. The loss is as with --prune-layers." default:"0" placeholder:"RATIO"`
}

func (f *pruneFlags) pruning() builder.Pruning {
	return builder.Pruning{Layers: f.PruneLayers, FFN: f.PruneFFN}
}
