package models

import (
	"fmt"

	"github.com/sluiceml/sluice/inference/model"
)

// What a model takes beside its weights until the first request, and how much its weights grow by being packed for the
// processor, both from above.
const (
	loadOverhead = 96 << 20
	packedGrowth = 3 // halves
)

// Fits says whether a model's folder can be loaded into the memory that is left, in bytes.
func Fits(folder *model.Folder, available int) error {
	size, err := folder.WeightBytes()
	if err != nil {
		return err
	}
	if need := int(size)*packedGrowth/2 + loadOverhead; need > available {
		return fmt.Errorf("the model needs about %s of memory, and %s is left", roundedUp(need), roundedUp(available))
	}
	return nil
}
