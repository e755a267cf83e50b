package e2e_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluiceml/sluice/inference/ort/kernels"
	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
)

// tokens draws n token ids, all of text.
func tokens(rng *rand.Rand, n int) []uint32 {
	ids := make([]uint32, n)
	for i := range ids {
		ids[i] = 1000 + rng.Uint32N(40000)
	}
	return ids
}

// continued is a request to continue token ids.
func continued(ids []uint32, sampling *sluicev1.Sampling, cache *sluicev1.CacheOptions) *sluicev1.GenerateRequest {
	return &sluicev1.GenerateRequest{
		Input: &sluicev1.GenerateRequest_Tokens{Tokens: &sluicev1.Tokens{Ids: ids}}, Sampling: sampling,
		Output: &sluicev1.OutputOptions{TokenIds: true}, Cache: cache,
	}
}

// TestPrefixCacheDoesNotShow sends prompts that share prefixes, with rests of every length up to a block, past the
// cache and then through it, all at once, twice over, while others with the same prompts are cancelled. The
// tokens must be the same whether a prefix was computed, found behind a request that runs or has ended, or found again
// after it had been evicted from a cache that is too small for all.
func TestPrefixCacheDoesNotShow(t *testing.T) {
	for _, test := range []struct {
		name  string
		flags []string
	}{
		{"room for all", nil},
		{"room for some", []string{"--prefix-cache-bytes", "10MiB"}},
		{"float32, room for some", []string{"--prefix-cache-bytes", "20MiB", "--model", "none=" + folder}},
		{"8-bit keys, room for some", []string{"--prefix-cache-bytes", "20MiB", "--model", "row8=" + convert(t, "row8"), "--no-kernels"}},
		{"8-bit rows, room for some", []string{"--prefix-cache-bytes", "10MiB", "--model", "row8=" + convert(t, "row8")}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := serve(t, nil, append(test.flags, "--slots", "6", "--chunk-tokens", "40")...)
			testPrefixCache(t, s)
			if evictions := s.metric("sluice_prefix_cache_evictions_total"); (evictions > 0) != (test.flags != nil) {
				t.Errorf("%v blocks were evicted", evictions)
			}
		})
	}
}

// metric is the value of a metric of the server's only model: the sum of those whose labels contain a text.
func (s *server) metric(name string, labels ...string) float64 {
	s.t.Helper()
	response, err := http.Get("http://" + s.http + "/metrics") //nolint:noctx // of a server that the test itself runs
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	lines, sum, found := bufio.NewScanner(response.Body), 0.0, false
	for lines.Scan() {
		if value, ok := strings.CutPrefix(lines.Text(), name+"{"); ok && strings.Contains(value, strings.Join(labels, "")) {
			x, err := strconv.ParseFloat(value[strings.LastIndexByte(value, ' ')+1:], 64)
			if err != nil {
				s.t.Fatal(err)
			}
			sum, found = sum+x, true
		}
	}
	if !found {
		s.t.Fatalf("no metric %s", name)
	}
	return sum
}

// convert makes a folder of the default model in another form, once for all tests.
func convert(t testing.TB, form string) string {
	t.Helper()
	dir := filepath.Join(filepath.Dir(folder), "form-"+form)
	if _, err := os.Stat(dir); err == nil {
		return dir
	}
	if output, err := exec.Command(binary, "convert", source(), "--out", dir, "--quantize", form).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	return dir
}

func testPrefixCache(t *testing.T, s *server) {
	t.Helper()
	ctx := deadline(t)
	rng := rand.New(rand.NewPCG(31, 32))
	prefixes := [][]uint32{tokens(rng, 100), tokens(rng, 250), tokens(rng, 48)}
	var prompts [][]uint32
	for rest := 1; rest <= 17; rest++ {
		prefix := prefixes[rest%len(prefixes)]
		prompts = append(prompts, slices.Concat(prefix[:len(prefix)-rng.IntN(20)], tokens(rng, rest)))
	}
	sampling := func(i int) *sluicev1.Sampling {
		out := greedy(8)
		if i%2 == 1 {
			warm, seed := float32(0.9), uint64(i)
			out.Temperature, out.Seed = &warm, &seed
		}
		return out
	}
	want := make([][]uint32, len(prompts))
	for i, prompt := range prompts {
		response, err := s.Generate(ctx, continued(prompt, sampling(i), &sluicev1.CacheOptions{Bypass: true}))
		if err != nil {
			t.Fatal(err)
		}
		want[i] = response.GetOutputs()[0].GetTokenIds()
		if n := response.GetUsage().GetCachedTokens(); n != 0 {
			t.Errorf("prompt %d: %d cached tokens past the cache", i, n)
		}
	}
	var mu sync.Mutex
	var group sync.WaitGroup
	cached := uint32(0)
	for round := range 2 {
		for i, prompt := range prompts {
			group.Go(func() {
				if (i+round)%5 == 0 { // given up somewhere
					running, cancel := context.WithTimeout(ctx, time.Duration(i*20)*time.Millisecond)
					defer cancel()
					_, _ = s.Generate(running, continued(prompt, greedy(50), nil))
				}
				response, err := s.Generate(ctx, continued(prompt, sampling(i), nil))
				if err != nil {
					t.Error(err)
					return
				}
				if got := response.GetOutputs()[0].GetTokenIds(); !slices.Equal(got, want[i]) {
					t.Errorf("prompt %d (%v):\nthrough the cache %v\npast it           %v", i, response.GetUsage(), got, want[i])
				}
				mu.Lock()
				cached += response.GetUsage().GetCachedTokens()
				mu.Unlock()
			})
		}
		group.Wait()
	}
	if cached == 0 {
		t.Error("the cache was of no use")
	}
	t.Logf("%d tokens came from the cache", cached)
}

// TestCacheOptions asks for one prompt again and again: only the same salt finds it.
func TestCacheOptions(t *testing.T) {
	s := serve(t, nil)
	ctx := deadline(t)
	prompt := tokens(rand.New(rand.NewPCG(33, 34)), 40)
	for i, step := range []struct {
		cache *sluicev1.CacheOptions
		want  uint32
	}{
		{&sluicev1.CacheOptions{Bypass: true}, 0},
		{nil, 0},
		{nil, 32},
		{&sluicev1.CacheOptions{}, 32},
		{&sluicev1.CacheOptions{Salt: "a"}, 0},
		{&sluicev1.CacheOptions{Salt: "b"}, 0},
		{&sluicev1.CacheOptions{Salt: "a"}, 32},
		{&sluicev1.CacheOptions{Salt: "a", Bypass: true}, 0},
	} {
		response, err := s.Generate(ctx, continued(prompt, greedy(2), step.cache))
		if err != nil {
			t.Fatal(err)
		}
		if got := response.GetUsage().GetCachedTokens(); got != step.want {
			t.Errorf("request %d, %v: %d cached tokens, want %d", i, step.cache, got, step.want)
		}
	}
}

// TestMemoryFollowsTokens fills slots, gives the requests up, and waits until the memory is back with the system.
func TestMemoryFollowsTokens(t *testing.T) {
	const streams, length = 4, 1000
	s := serve(t, nil, "--prefix-cache-bytes", "0")
	ctx := deadline(t)
	rng := rand.New(rand.NewPCG(35, 36))
	if _, err := s.Generate(ctx, continued(tokens(rng, 128), greedy(2), nil)); err != nil { // scratch memory, of a whole chunk
		t.Fatal(err)
	}
	before := s.settled(ctx, 1e9)
	running, cancel := context.WithCancel(ctx)
	defer cancel()
	ignore := true
	for range streams {
		sampling := greedy(4000)
		sampling.IgnoreEos = &ignore
		stream, err := s.GenerateStream(running, continued(tokens(rng, length), sampling, nil))
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // started, and the first token
			if _, err := stream.Recv(); err != nil {
				t.Fatal(err)
			}
		}
	}
	held := resident(t, s.command.Process.Pid)
	if held == 0 {
		t.Skip("resident memory is read on Linux only")
	}
	cancel()
	s.idle(ctx)
	after := s.settled(ctx, before+(held-before)/4)
	// A position is 46,080 bytes in float32, half of that where kernels.Supported.
	perToken := 46080 / 1e6
	if kernels.Supported() {
		perToken /= 2
	}
	t.Logf("resident: %.0f MB before, %.0f MB with %d prompts of %d tokens (%.0f MB of keys and values), %.0f MB after",
		before, held, streams, length, streams*length*perToken, after)
	if grown := held - before; grown < streams*length*perToken*0.9 {
		t.Errorf("the memory has grown by %.0f MB", grown)
	}
}

// settled waits until the server's resident memory, in MB, is below a limit and no longer falls.
func (s *server) settled(ctx context.Context, limit float64) float64 {
	s.t.Helper()
	last := resident(s.t, s.command.Process.Pid)
	for {
		select {
		case <-ctx.Done():
			s.t.Fatalf("%.0f MB are resident, want at most %.0f", last, limit)
		case <-time.After(2 * time.Second):
		}
		now := resident(s.t, s.command.Process.Pid)
		if now <= limit && now > last-1 {
			return now
		}
		last = now
	}
}

// BenchmarkSharedPrefix measures what 1,000 shared tokens at the beginning of a prompt of 1,016 save: the median times
// to first token of prompts that share nothing and of prompts that share them, in turn, and their ratio, for the default
// form of the weights and the fastest.
//
//	go test -run '^$' -bench SharedPrefix -benchtime 10x ./cmd/sluice/e2e
func BenchmarkSharedPrefix(b *testing.B) {
	b.Run("auto", func(b *testing.B) { benchmarkSharedPrefix(b, serve(b, nil)) })
	b.Run("row8", func(b *testing.B) { benchmarkSharedPrefix(b, serve(b, nil, "--model", "row8="+convert(b, "row8"))) })
}

func benchmarkSharedPrefix(b *testing.B, s *server) {
	b.Helper()
	const shared, rest = 1000, 16
	rng := rand.New(rand.NewPCG(37, 38))
	prefix := tokens(rng, shared)
	measure := func(beginning []uint32, want uint32) time.Duration {
		ttft, cached, err := firstToken(b.Context(), s, slices.Concat(beginning, tokens(rng, rest)))
		if err != nil {
			b.Fatal(err)
		}
		if cached != want {
			b.Fatalf("%d tokens were cached, want %d", cached, want)
		}
		return ttft
	}
	measure(prefix, 0)
	before := resident(b, s.command.Process.Pid)
	var cold, warm []time.Duration
	for b.Loop() {
		cold = append(cold, measure(tokens(rng, shared), 0))
		warm = append(warm, measure(prefix, shared))
	}
	slices.Sort(cold)
	slices.Sort(warm)
	c, w := cold[len(cold)/2], warm[len(warm)/2]
	b.ReportMetric(float64(c.Microseconds())/1e3, "ms-cold-p50")
	b.ReportMetric(float64(w.Microseconds())/1e3, "ms-warm-p50")
	b.ReportMetric(float64(c)/float64(w), "times-faster")
	b.ReportMetric(resident(b, s.command.Process.Pid)-before, "MB-rss-grown")
	b.ReportMetric(0, "ns/op")
}

// firstToken is the time to a prompt's first token, and how much of it was cached.
func firstToken(ctx context.Context, s *server, prompt []uint32) (ttft time.Duration, cached uint32, err error) {
	start := time.Now()
	call, err := s.GenerateStream(ctx, continued(prompt, greedy(1), nil))
	if err != nil {
		return 0, 0, err
	}
	for {
		message, err := call.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return ttft, cached, nil
		case err != nil:
			return 0, 0, fmt.Errorf("after %s: %w", time.Since(start), err)
		case message.GetDelta() != nil && ttft == 0:
			ttft = time.Since(start)
		case message.GetSummary() != nil:
			cached = message.GetSummary().GetUsage().GetCachedTokens()
		}
	}
}
