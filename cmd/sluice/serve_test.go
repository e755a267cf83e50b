package main

import "testing"

// TestServeFlagsAreCheckedOnce: kong calls Validate of a command and of each struct that is embedded in it, so that the command must
// not have its flags' as well.
func TestServeFlagsAreCheckedOnce(t *testing.T) {
	t.Parallel()
	type validator interface{ Validate() error }
	command := new(serveCmd)
	if _, promoted := any(command).(validator); promoted {
		t.Error("the command has Validate beside its flags")
	}
	if _, checked := any(&command.Flags).(validator); !checked {
		t.Error("the flags are not checked")
	}
}
