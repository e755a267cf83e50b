package ort

import (
	"errors"
	"fmt"
)

// LibraryError says that the ONNX Runtime library cannot be used.
type LibraryError struct {
	Path string
	Err  error
}

func (e *LibraryError) Error() string {
	return fmt.Sprintf("the ONNX Runtime library %s cannot be used: %v (`sluice setup` fetches one that can)", e.Path, e.Err)
}

func (e *LibraryError) Unwrap() error { return e.Err }

// VersionError says that an ONNX Runtime library is too old.
type VersionError struct{ Found, Needed string }

func (e *VersionError) Error() string {
	return fmt.Sprintf("it is version %s and at least %s is needed", e.Found, e.Needed)
}

// DeviceError says that a device that was asked for cannot be used here. Nothing falls back to another device.
type DeviceError struct {
	Device Device
	Err    error
}

func (e *DeviceError) Error() string {
	return fmt.Sprintf("the device %s cannot be used: %v", e.Device, e.Err)
}

func (e *DeviceError) Unwrap() error { return e.Err }

// ErrClosed is the error of a session or an environment that is used or closed after its Close. Such a program is
// wrong; built with the race detector or the tag invariants, it panics instead.
var ErrClosed = errors.New("used after Close")

// ErrInUse is the error of closing an environment whose sessions are still open, or of opening a second environment in
// one process. Such a program is wrong; built with the race detector or the tag invariants, closing panics instead.
var ErrInUse = errors.New("in use")

// misuse reports an error of the caller's program.
func misuse(err error, what string) error {
	err = fmt.Errorf("ort: %s: %w", what, err)
	if invariants {
		panic(err)
	}
	return err
}
