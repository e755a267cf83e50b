package ort

import (
	"bytes"
	"os"
	"testing"
)

// TestSessionOptions: the entries about spinning are set, and the library knows them; one that it does not know it would
// ignore without a word.
func TestSessionOptions(t *testing.T) {
	openEnvironment(t)
	options, err := sessionOptions(Device{Provider: CPU})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := options.Destroy(); err != nil {
			t.Error(err)
		}
	}()
	code, err := os.ReadFile(library(t))
	if err != nil {
		t.Fatal(err)
	}
	for entry, want := range map[string]string{allowSpinning: "1", forceSpinningStop: "1", spinDurationMicros: "100"} {
		if got, err := options.GetSessionConfigEntry(entry); err != nil || got != want {
			t.Errorf("%s is %q, want %q (%v)", entry, got, want, err)
		}
		if !bytes.Contains(code, append([]byte(entry), 0)) {
			t.Errorf("the library does not know %s", entry)
		}
	}
}
