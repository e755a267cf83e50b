package setup

import "fmt"

// NotSetUpError says that something the server needs is not in the cache. `sluice setup` puts it there.
type NotSetUpError struct {
	What string // "the ONNX Runtime library" or `model "NAME"`
	Path string // where it would be
	Hint string // the command that makes it
}

func (e *NotSetUpError) Error() string {
	return fmt.Sprintf("%s is not set up (nothing at %s): run `%s`", e.What, e.Path, e.Hint)
}

// FormatError says that the cache was written by a newer Sluice, whose layout this one does not know.
type FormatError struct {
	Home         string // the cache folder
	Found, Known int    // its format version and the newest that this program knows
}

func (e *FormatError) Error() string {
	return fmt.Sprintf("the cache %s has format %d and this sluice knows only %d: use the newer sluice, "+
		"or choose another folder with SLUICE_HOME", e.Home, e.Found, e.Known)
}

// ForeignError says that the folder of the cache holds other files and is no cache.
type ForeignError struct{ Home string }

func (e *ForeignError) Error() string {
	return fmt.Sprintf("%s holds files and is no sluice cache (it has no file %q): choose an empty folder with SLUICE_HOME",
		e.Home, formatFile)
}

// UnsupportedError says that no build of ONNX Runtime is pinned for a platform.
type UnsupportedError struct {
	OS, Arch string
	Provider Provider
}

func (e *UnsupportedError) Error() string {
	return fmt.Sprintf("no ONNX Runtime for %s is known on %s/%s: give a library of your own with --onnxruntime FILE",
		e.Provider, e.OS, e.Arch)
}

// CorruptError says that a file is not the one that is pinned.
type CorruptError struct {
	Path   string // the file, or the wheel and the member in it
	Reason string // what differs
}

func (e *CorruptError) Error() string { return fmt.Sprintf("%s is corrupted: %s", e.Path, e.Reason) }

// PipError says that pip could not fetch a wheel, or that there is no pip.
type PipError struct {
	Requirement string // what was asked for, such as "onnxruntime==1.32.0"
	Output      string // the end of what pip printed
	Err         error
}

func (e *PipError) Error() string {
	text := fmt.Sprintf("pip could not download %s: %v", e.Requirement, e.Err)
	if e.Output != "" {
		text += "\n" + e.Output
	}
	return text + "\n(without a network: fetch the wheel elsewhere and give its folder with --wheels DIR)"
}

func (e *PipError) Unwrap() error { return e.Err }

// WheelError says that a folder of wheels has not the one that is needed.
type WheelError struct {
	Dir         string
	Requirement string   // such as "onnxruntime==1.32.0"
	Platforms   []string // any of these platform tags would do
}

func (e *WheelError) Error() string {
	return fmt.Sprintf("%s has no wheel of %s for any of the platforms %v", e.Dir, e.Requirement, e.Platforms)
}
