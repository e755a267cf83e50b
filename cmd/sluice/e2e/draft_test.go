package e2e_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
)

// TestDraftModel: with a draft model requests get the tokens that they get without any guesses, alone and together, greedy
// and sampled. One is the model itself; the other has lost a third of its layers. How often they guess, the speed of the
// moment decides: only that they did at all is demanded.
func TestDraftModel(t *testing.T) {
	pruned := filepath.Join(t.TempDir(), "pruned")
	if output, err := exec.Command(binary, "convert", source(), "--out", pruned, "--prune-layers", "10").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	itself := filepath.Join(home(), "models", "smollm2-135m-instruct")
	var requests []*sluicev1.GenerateRequest
	for i := range 12 {
		sampling := greedy(32)
		if i%3 == 2 {
			warm, seed := float32(0.8), uint64(i)
			sampling.Temperature, sampling.Seed = &warm, &seed
		}
		requests = append(requests, prompt(fmt.Sprintf("Chapter %d. The ship left the harbour at dawn, and", i+1), sampling))
	}
	want := generateAll(t, serve(t, nil, "--no-speculation"), requests, false)
	for name, draft := range map[string]string{"itself": itself, "pruned": pruned} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, nil, "--draft-model", draft, "--slots", "6")
			for _, together := range []bool{false, true} {
				for i, got := range generateAll(t, s, requests, together) {
					if !slices.Equal(got, want[i]) {
						t.Errorf("request %d, together %t: tokens %v, without guesses %v", i, together, got, want[i])
					}
				}
			}
			drafted, accepted := s.metric("sluice_speculation_draft_tokens_total", `method="draft_model"`),
				s.metric("sluice_speculation_accepted_tokens_total", `method="draft_model"`)
			t.Logf("%v of %v guesses were right", accepted, drafted)
			if drafted == 0 || accepted > drafted || name == "itself" && accepted == 0 {
				t.Errorf("%v of %v guesses were right", accepted, drafted)
			}
		})
	}
}

// TestDraftModelOfAnotherVocabulary is refused at the start, as what nobody could check.
func TestDraftModelOfAnotherVocabulary(t *testing.T) {
	other := filepath.Join(t.TempDir(), "other")
	if err := os.CopyFS(other, os.DirFS(filepath.Join(home(), "models", "smollm2-135m-instruct"))); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(other, "tokenizer.json")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, bytes.ReplaceAll(text, []byte("<gh_stars>"), []byte("<gh_forks>")), 0o600); err != nil {
		t.Fatal(err)
	}
	output, err := exec.CommandContext(deadline(t), binary, "serve", "--draft-model", other, "--grpc-addr", "127.0.0.1:0", "--http-addr", "").CombinedOutput()
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok || exit.ExitCode() != 2 || !bytes.Contains(output, []byte("<gh_forks>")) {
		t.Errorf("%v\n%s", err, output)
	}
}

// generateAll returns the tokens of the answers to requests, one after the other or all at once.
func generateAll(t *testing.T, s *server, requests []*sluicev1.GenerateRequest, together bool) [][]uint32 {
	t.Helper()
	ctx := deadline(t)
	out := make([][]uint32, len(requests))
	var group sync.WaitGroup
	for i, request := range requests {
		group.Go(func() {
			response, err := s.Generate(ctx, request)
			if err != nil {
				t.Error(err)
				return
			}
			out[i] = response.GetOutputs()[0].GetTokenIds()
		})
		if !together {
			group.Wait()
		}
	}
	group.Wait()
	return out
}
