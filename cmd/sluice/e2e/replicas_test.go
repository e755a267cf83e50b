package e2e_test

import (
	"slices"
	"strings"
	"sync"
	"testing"
)

// TestReplicasShareWeights serves the default model on one replica and on three: those take little more memory, and give
// the same tokens.
func TestReplicasShareWeights(t *testing.T) {
	const weights = 114.0 // MB of the model's data file; a copy of them, packed, is larger
	request := prompt("The river was wide, and on the other side", greedy(16))
	var ids []uint32
	start := func(replicas int) float64 {
		s := serve(t, nil, slices.Repeat([]string{"--device", "cpu:threads=1"}, replicas)...)
		ctx := deadline(t)
		var all sync.WaitGroup
		var mu sync.Mutex
		for range 4 * replicas {
			all.Go(func() {
				response, err := s.Generate(ctx, request)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				if got := response.GetOutputs()[0].GetTokenIds(); ids == nil {
					ids = got
				} else if !slices.Equal(got, ids) {
					t.Errorf("%d replicas: got %v, then %v", replicas, ids, got)
				}
			})
		}
		all.Wait()
		if strings.Contains(s.logged(), "cannot share") {
			t.Skip("this processor's kernels cannot share what they pack")
		}
		return resident(t, s.command.Process.Pid)
	}
	one, three := start(1), start(3)
	if one == 0 {
		t.Skip("resident memory is read on Linux only")
	}
	t.Logf("resident: %.0f MB with one replica, %.0f MB with three", one, three)
	if each := (three - one) / 2; each > weights/2 {
		t.Errorf("each further replica takes %.0f MB", each)
	}
}
