package builder

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// architecture adds the graph of one kind of model to a plan whose Spec has been checked.
type architecture func(*plan) error

// architectures has one entry, and one file, for each kind of model, by the name that Spec.Architecture has.
func architectures() map[string]architecture {
	return map[string]architecture{
		"llama": (*plan).llama,
	}
}

// ArchitectureError says that there is no graph for a kind of model.
type ArchitectureError struct{ Architecture string }

func (e *ArchitectureError) Error() string {
	names := slices.Sorted(maps.Keys(architectures()))
	return fmt.Sprintf("architecture %q is not supported; %s is", e.Architecture, strings.Join(names, ", "))
}
