package e2e_test

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"google.golang.org/protobuf/proto"

	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
)

// outgrowing are requests whose answers outgrow a small memory: greedy and sampled ones, several outputs, beginnings
// that are shared, log-probabilities.
func outgrowing() []*sluicev1.GenerateRequest {
	rng := rand.New(rand.NewPCG(41, 42))
	shared := tokens(rng, 60)
	var requests []*sluicev1.GenerateRequest
	for i := range 10 {
		sampling := greedy(80)
		sampling.IgnoreEos = new(true)
		if i%2 == 1 {
			sampling.Temperature, sampling.Seed = proto.Float32(0.9), new(uint64(i))
			sampling.RepetitionPenalty = proto.Float32(1.1)
		}
		if i%8 == 3 {
			sampling.N = proto.Uint32(3)
		}
		r := continued(slices.Concat(shared[:15*(i%4)], tokens(rng, 10+3*i)), sampling, nil)
		if i%5 == 2 {
			r.Output.Logprobs = proto.Uint32(2)
		}
		if i%8 == 6 {
			r.Output.PromptLogprobs = proto.Uint32(1)
		}
		requests = append(requests, r)
	}
	return requests
}

// TestPreemptionDoesNotShow gives the model so little memory for keys and values that requests lose their slots again and
// again, and demands of every stream the tokens, text and log-probabilities that it has with memory for all.
func TestPreemptionDoesNotShow(t *testing.T) {
	for _, test := range []struct {
		name, memory string
		flags        []string
	}{
		{"4-bit blocks", "12MiB", nil},
		{"4-bit blocks, prefix cache", "18MiB", []string{"--prefix-cache-bytes", "6MiB"}},
		{"8-bit rows", "12MiB", []string{"--model", "row8=" + convert(t, "row8")}},
		{"8-bit keys", "3MiB", []string{"--model", "row8=" + convert(t, "row8"), "--no-kernels"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			flags := append([]string{"--max-context", "256", "--slots", "12", "--chunk-tokens", "40"}, test.flags...)
			if !slices.Contains(flags, "--prefix-cache-bytes") {
				flags = append(flags, "--prefix-cache-bytes", "0")
			}
			want := answers(t, serve(t, nil, append(flags, "--kv-cache-bytes", "1GiB")...))
			s := serve(t, nil, append(flags, "--kv-cache-bytes", test.memory)...)
			for i, got := range answers(t, s) {
				if got != want[i] {
					t.Errorf("request %d: got\n%s\nwant\n%s", i, got, want[i])
				}
			}
			n := s.metric("sluice_preemptions_total")
			t.Logf("%v preemptions", n)
			if n < 5 {
				t.Errorf("%v preemptions", n)
			}
			if n := s.metric("sluice_kv_cache_tokens"); n != 0 {
				t.Errorf("%v positions are held at the end", n)
			}
		})
	}
}

// answers streams all requests at once and writes down what each output gave.
func answers(t *testing.T, s *server) []string {
	t.Helper()
	ctx := deadline(t)
	requests := outgrowing()
	texts := make([]string, len(requests))
	var group sync.WaitGroup
	for i, request := range requests {
		group.Go(func() {
			stream, err := s.GenerateStream(ctx, request)
			if err != nil {
				t.Error(err)
				return
			}
			outputs, prompt := map[uint32]string{}, ""
			for {
				event, err := stream.Recv()
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					t.Errorf("request %d: %v", i, err)
					return
				}
				if d := event.GetDelta(); d != nil {
					for j, id := range d.GetTokenIds() {
						outputs[d.GetIndex()] += fmt.Sprintf(" %d", id)
						if l := d.GetLogprobs(); j < len(l) {
							outputs[d.GetIndex()] += fmt.Sprintf("(%v)", l[j].GetChosen().GetLogprob())
						}
					}
				}
				for _, p := range event.GetPrompt().GetLogprobs() {
					prompt += fmt.Sprintf(" %v", p.GetChosen().GetLogprob())
				}
				if f := event.GetFinished(); f != nil {
					outputs[f.GetIndex()] += fmt.Sprintf(" %v", f.GetFinishReason())
				}
			}
			for index := range uint32(len(outputs)) {
				texts[i] += fmt.Sprintf("%d:%s\n", index, outputs[index])
			}
			texts[i] += prompt
		})
	}
	group.Wait()
	return texts
}
