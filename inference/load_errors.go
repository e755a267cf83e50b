package inference

import "fmt"

// NameTakenError says that a model cannot be loaded under a name, or get an alias, because that name is another's.
type NameTakenError struct {
	Name  string // that was asked for
	Model string // whose it is; Name itself if that model serves already
}

func (e *NameTakenError) Error() string {
	if e.Name == e.Model {
		return fmt.Sprintf("model %q is served already", e.Name)
	}
	return fmt.Sprintf("%q is an alias of model %q", e.Name, e.Model)
}

// BusyError says that a model is being loaded or unloaded by somebody else.
type BusyError struct{ Model, Operation string }

func (e *BusyError) Error() string { return fmt.Sprintf("model %q is being %s", e.Model, e.Operation) }

// DefaultModelError says that the default model cannot be unloaded.
type DefaultModelError struct{ Model string }

func (e *DefaultModelError) Error() string {
	return fmt.Sprintf("model %q is the default one, which cannot be unloaded: give another the alias %q first", e.Model, defaultAlias)
}

// LoadReason says what is wrong with a model that is to be loaded.
type LoadReason int

// The reasons of a LoadError.
const (
	LoadNoStore LoadReason = iota + 1 // models cannot be loaded at run time
	LoadMissing                       // there is no such folder
	LoadBroken                        // the folder cannot be served
	LoadMemory                        // there is not enough memory
)

// LoadError says why a model was not loaded. Err may name the operator's paths: it is for the operator.
type LoadError struct {
	Folder string
	Reason LoadReason
	Err    error
}

func (e *LoadError) Error() string { return fmt.Sprintf("load %q: %v", e.Folder, e.Err) }

// Unwrap returns the cause.
func (e *LoadError) Unwrap() error { return e.Err }
