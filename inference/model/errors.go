package model

import "fmt"

// UnsupportedError says that a model is sound but of a sort that cannot be run or converted yet.
type UnsupportedError struct {
	Path   string // the file or folder
	Reason string // what of it, and what is supported
}

func (e *UnsupportedError) Error() string {
	return fmt.Sprintf("%s: %s", e.Path, e.Reason)
}

// unsupported makes an UnsupportedError.
func unsupported(path, format string, args ...any) error {
	return &UnsupportedError{Path: path, Reason: fmt.Sprintf(format, args...)}
}

// FieldError says that a field of a configuration file, or a value of a GGUF's metadata, is missing or wrong.
type FieldError struct {
	Path  string // the file
	Field string // its field: "rope_scaling.factor"
	Err   error
}

func (e *FieldError) Error() string { return fmt.Sprintf("%s: %s: %v", e.Path, e.Field, e.Err) }

// Unwrap gives the reason.
func (e *FieldError) Unwrap() error { return e.Err }
