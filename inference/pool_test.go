package inference

import (
	"testing"

	"github.com/sluiceml/sluice/inference/engine"
)

func TestWorthIt(t *testing.T) {
	for _, test := range []struct {
		name          string
		holder, least engine.Stats
		want          bool
	}{
		{"both idle", engine.Stats{Slots: 8}, engine.Stats{Slots: 8}, true},
		{"a little busier", engine.Stats{Slots: 8, Running: 3}, engine.Stats{Slots: 8, Running: 1}, true},
		{"much busier", engine.Stats{Slots: 8, Running: 4}, engine.Stats{Slots: 8, Running: 1}, false},
		{"full", engine.Stats{Slots: 8, Running: 8}, engine.Stats{Slots: 8, Running: 7}, false},
		{"with a queue", engine.Stats{Slots: 8, Running: 5, Waiting: 3}, engine.Stats{Slots: 8, Running: 7}, false},
		{"of two slots", engine.Stats{Slots: 2, Running: 1}, engine.Stats{Slots: 2}, true},
		{"of one slot", engine.Stats{Slots: 1, Running: 1}, engine.Stats{Slots: 1}, false},
	} {
		if got := worthIt(test.holder, test.least); got != test.want {
			t.Errorf("%s: %t, want %t", test.name, got, test.want)
		}
	}
}
