package engine

import (
	"slices"
	"testing"

	"github.com/sluiceml/sluice/inference/sched"
)

// TestPoolLetsGo: a vector that waits for its reader does not keep the sum that it was made from, of twice its size.
func TestPoolLetsGo(t *testing.T) {
	p := &pool{kind: PoolMean}
	p.add(sched.Chunk{}, []float32{1, 2, 3, 6}, 2)
	vector, err := p.vector()
	if err != nil || !slices.Equal(vector, []float32{2, 4}) {
		t.Errorf("got %v, %v", vector, err)
	}
	if p.sum != nil {
		t.Errorf("it keeps %v", p.sum)
	}
}
