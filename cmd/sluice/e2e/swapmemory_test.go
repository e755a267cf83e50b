package e2e_test

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
)

// TestSwapMemory: a model that is replaced gives its memory back to the system, and a server that replaces models all day
// stays as large as one that has loaded the last of them only.
func TestSwapMemory(t *testing.T) {
	const (
		swaps = 20
		early = 8   // swaps, after which nothing is done for the first time and the heap has its size; as even as swaps: of the same form
		grown = 48  // MB from then on that are no leak: Go's heap, before and after a collection
		start = 100 // MB over a fresh server, less than either form's weights: nothing of another version is kept
	)
	dir := store(t)
	s := serve(t, nil, "--model", "main="+filepath.Join(dir, "v1"), "--model-store", dir, "--admin-addr", "127.0.0.1:0",
		"--slots", "4", "--max-context", "512")
	admin, ctx := s.admin(), deadline(t)
	if _, err := s.answer(ctx, "main"); err != nil {
		t.Fatal(err)
	}
	sizes := []float64{resident(t, s.command.Process.Pid)}
	if sizes[0] == 0 {
		t.Skip("this system does not say how large a process is")
	}
	for swap := 1; swap <= swaps; swap++ {
		version := []string{"v1", "v2"}[swap%2]
		if _, err := admin.LoadModel(ctx, &sluicev1.LoadModelRequest{Name: "main", Folder: version, Replace: true}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.answer(ctx, "main"); err != nil {
			t.Fatal(err)
		}
		for strings.Count(s.logged(), "its memory was given back") < swap {
			select {
			case <-ctx.Done():
				t.Fatalf("what was replaced has not ended\n%s", s.logged())
			case <-time.After(10 * time.Millisecond):
			}
		}
		sizes = append(sizes, resident(t, s.command.Process.Pid))
	}
	t.Logf("MB resident at the start and after each swap: %.0f", sizes)
	if last := sizes[swaps]; last > sizes[early]+grown || last > sizes[0]+start {
		t.Errorf("%.0f MB resident after %d swaps, %.0f MB after %d, %.0f MB before", last, swaps, sizes[early], early, sizes[0])
	}
}
