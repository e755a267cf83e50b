package e2e_test

import (
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
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
		early = 8  // swaps, after which nothing is done for the first time and the heap has its size; as even as swaps: of the same form
		grown = 24 // MB from then on that are no leak: what Go's heap keeps of its size
		start = 60 // MB over a fresh server, less than either form's weights: nothing of another version is kept
	)
	dir := store(t)
	s := serve(t, nil, "--model", "main="+filepath.Join(dir, "v1"), "--model-store", dir, "--admin-addr", "127.0.0.1:0",
		"--slots", "4", "--max-context", "512")
	admin, ctx := s.admin(), deadline(t)
	if _, err := s.answer(ctx, "main"); err != nil {
		t.Fatal(err)
	}
	if resident(t, s.command.Process.Pid) == 0 {
		t.Skip("this system does not say how large a process is")
	}
	sizes := []float64{s.collected()}
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
		if swap == early || swap == swaps {
			sizes = append(sizes, s.collected())
		}
	}
	t.Logf("MB resident at the start, after %d and after %d swaps: %.0f", early, swaps, sizes)
	if last := sizes[2]; last > sizes[1]+grown || last > sizes[0]+start {
		t.Error("the server has grown")
	}
}

// collected is the least that an idle server occupies in two seconds after Go's heap was collected, in MB: what loading
// left of it lies there for as long as the next collection takes to come, and goes back to the system bit by bit.
func (s *server) collected() float64 {
	s.t.Helper()
	least := math.Inf(1)
	for range 20 {
		response, err := http.Get(fmt.Sprintf("http://%s/debug/pprof/heap?gc=1", s.adminAddr()))
		if err != nil {
			s.t.Fatal(err)
		}
		_, err = io.Copy(io.Discard, response.Body)
		if err = errors.Join(err, response.Body.Close()); err != nil || response.StatusCode != http.StatusOK {
			s.t.Fatal(response.Status, err)
		}
		least = min(least, resident(s.t, s.command.Process.Pid))
		time.Sleep(100 * time.Millisecond) //nolint:forbidigo // what it occupies over two seconds
	}
	return least
}
