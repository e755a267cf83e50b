package builder

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// architecture adds the graph of one kind of model to a plan whose Spec has been checked.
type architecture func(*plan) error

// architectures has one entry, and one file, for each kind of model, by the name that Spec.Architecture has. Package
// model has a file for each too, which reads its checkpoints.
func architectures() map[string]architecture {
	return map[string]architecture{
		"gemma2":  (*plan).gemma2,
		"gemma3":  (*plan).gemma3,
		"gpt2":    (*plan).gpt2,
		"gptneox": (*plan).gptneox,
		"llama":   (*plan).llama,
		"mistral": (*plan).mistral,
		"olmo2":   (*plan).olmo2,
		"phi3":    (*plan).phi3,
		"qwen2":   (*plan).qwen2,
		"qwen3":   (*plan).qwen3,
		"smollm3": (*plan).smollm3,
	}
}

// ArchitectureError says that there is no graph for a kind of model.
type ArchitectureError struct{ Architecture string }

func (e *ArchitectureError) Error() string {
	names := slices.Sorted(maps.Keys(architectures()))
	return fmt.Sprintf("architecture %q is not supported; %s are", e.Architecture, strings.Join(names, ", "))
}
