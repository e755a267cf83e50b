//go:build cgo

package server_test

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	tracenoop "go.opentelemetry.io/otel/trace/noop"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/sluiceml/sluice/inference"
	"github.com/sluiceml/sluice/inference/chat"
	"github.com/sluiceml/sluice/inference/engine"
	"github.com/sluiceml/sluice/inference/model"
	"github.com/sluiceml/sluice/inference/ort"
	"github.com/sluiceml/sluice/inference/runner"
	sluicev1 "github.com/sluiceml/sluice/proto/sluice/v1"
	"github.com/sluiceml/sluice/server/servertest"
	"github.com/sluiceml/sluice/tokenizer"
)

// TestRealModel shows on the default model what the toy has shown: streams equal whole answers, alone and in company,
// and a cancelled call gives its slot back.
func TestRealModel(t *testing.T) {
	if testing.Short() {
		t.Skip("needs the real model; run without -short")
	}
	i := servertest.Start(t, []*inference.Model{realModel(t)})
	client := generator(i)

	requests := []*sluicev1.GenerateRequest{
		greedy("The capital of France is", 24),
		greedy("Translate to Chinese: good morning. Answer:", 24),
		chatOf("Answer with three emoji."),
		chatOf("What is a sluice? One sentence."),
	}
	for _, in := range requests[2:] {
		in.Sampling = &sluicev1.Sampling{Temperature: new(float32), MaxTokens: new(uint32(24))}
	}
	whole := make([]*sluicev1.Output, len(requests))
	for n, in := range requests {
		in.Sampling.Seed = new(uint64(1))
		in.Output = &sluicev1.OutputOptions{TokenIds: true}
		got, err := client.Generate(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		whole[n] = got.GetOutputs()[0]
		if whole[n].GetText() == "" {
			t.Errorf("request %d has no text", n)
		}
	}
	if text := whole[0].GetText(); !strings.Contains(text, "Paris") {
		t.Errorf("the capital of France is %q", text)
	}

	var together sync.WaitGroup
	for n, in := range requests {
		together.Go(func() {
			got, err := stream(t.Context(), t, client, in)
			if err != nil {
				t.Errorf("request %d: %v", n, err)
				return
			}
			for _, delta := range got.deltas {
				if !utf8.ValidString(delta) {
					t.Errorf("request %d: delta %q splits a character", n, delta)
				}
			}
			output := &sluicev1.Output{
				Text: got.text, TokenIds: got.ids, FinishReason: got.finished.GetFinishReason(),
				StopSequence: got.finished.GetStopSequence(), Seed: got.finished.GetSeed(),
			}
			if diff := cmp.Diff(whole[n], output, protocmp.Transform()); diff != "" {
				t.Errorf("request %d (-alone and unary +together and streamed):\n%s", n, diff)
			}
		})
	}
	together.Wait()

	checkOutputs(t, client, "My three favourite rivers are", 4) // on two slots

	ctx, cancel := context.WithCancel(t.Context())
	in := greedy("Once upon a time", 2000)
	in.Sampling.IgnoreEos = new(true)
	call, err := client.GenerateStream(ctx, in)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := call.Recv(); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	for err == nil {
		_, err = call.Recv()
	}
	wantStatus(t, err, codes.Canceled)
	idle(t, i)
}

// realModel is the default model on one replica with two slots.
func realModel(t *testing.T) *inference.Model {
	t.Helper()
	return realReplicas(t, 2, []ort.Device{{Provider: ort.CPU, Threads: 2}}, nil, nil)
}

// realReplicas is the default model on replicas that share its weights. Each session may be wrapped before its engine is
// made.
func realReplicas(
	t *testing.T, slots int, devices []ort.Device, wrap func(replica int, s runner.Session) runner.Session,
	onReplica func(inference.ReplicaEvent),
) *inference.Model {
	t.Helper()
	home := os.Getenv("SLUICE_HOME")
	if home == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			t.Fatal(err)
		}
		home = filepath.Join(cache, "sluice")
	}
	libraries, err := filepath.Glob(filepath.Join(home, "runtime", "libonnxruntime*"))
	if err != nil || len(libraries) == 0 {
		t.Fatalf("no ONNX Runtime in %s (%v): run `make setup`", home, err)
	}
	folder, err := model.Open(filepath.Join(home, "models", "smollm2-135m-instruct"))
	if err != nil {
		t.Fatalf("%v: run `make setup`", err)
	}
	tok, err := tokenizer.Load(folder.TokenizerPath)
	if err != nil {
		t.Fatal(err)
	}
	template, err := chat.Parse(folder.ChatTemplate, chat.Options{Special: tok.SpecialTokens()})
	if err != nil {
		t.Fatal(err)
	}
	environment, err := ort.OpenEnvironment(libraries[0])
	if err != nil {
		t.Fatal(err)
	}
	closeLater(t, environment)
	const length = 4096
	weights, err := environment.ShareWeights(folder.ModelPath, folder.Manifest.Graph)
	if err != nil {
		t.Fatal(err)
	}
	closeLater(t, weights)
	var replicas []inference.Replica
	for i, device := range devices {
		session, err := environment.Open(ort.Config{
			Model: folder.ModelPath, Graph: folder.Manifest.Graph, ContextLength: folder.Manifest.ContextLength,
			Device: device, Slots: slots, MaxLength: length, MaxChunk: 128, PrefixBytes: 64 << 20, Weights: weights,
		})
		if err != nil {
			t.Fatal(err)
		}
		closeLater(t, session)
		made := func() (*engine.Engine, error) {
			var s runner.Session = session
			if wrap != nil {
				s = wrap(i, s)
			}
			return engine.New(s, engine.Config{Model: "smollm2-135m-instruct"})
		}
		loop, err := made()
		if err != nil {
			t.Fatal(err)
		}
		rebuild := func(context.Context) (*engine.Engine, error) {
			if err := session.Renew(); err != nil {
				return nil, err
			}
			return made()
		}
		replicas = append(replicas, inference.Replica{Device: device.String(), Engine: loop, Rebuild: rebuild})
	}
	served, err := inference.NewModel(inference.Config{
		Name: "smollm2-135m-instruct", Architecture: folder.Manifest.Architecture,
		Quantization: folder.Manifest.Quantization, ContextLength: length,
		EOSTokenIDs: folder.GenerationConfig.EOSTokenIDs,
		Defaults: inference.Defaults{Sampling: inference.Sampling{
			MaxTokens: 256, Temperature: 1, TopP: 1, RepetitionPenalty: 1,
		}},
		Tokenizer: tok, Template: template, BOSToken: folder.BOSToken, EOSToken: folder.EOSToken,
		Replicas: replicas, OnReplica: onReplica,
		TracerProvider: tracenoop.NewTracerProvider(), MeterProvider: metricnoop.NewMeterProvider(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return served
}

// closeLater closes something when the test ends.
func closeLater(t *testing.T, c io.Closer) {
	t.Helper()
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestRealScore: the real model finds Paris likelier than London, as likely as its log-probabilities say, and hangs the
// answer on the sentence that names the country.
func TestRealScore(t *testing.T) {
	if testing.Short() {
		t.Skip("needs the real model; run without -short")
	}
	i := servertest.Start(t, []*inference.Model{realModel(t)})
	client := generator(i)
	const prompt = "It rains today. We are in France. The capital of this country is"
	scores, err := client.Score(t.Context(), &sluicev1.ScoreRequest{
		Input: &sluicev1.ScoreRequest_Prompt{Prompt: prompt}, Continuations: []string{" Paris", " London", " Paris, of course"},
	})
	if err != nil {
		t.Fatal(err)
	}
	paris := scores.GetScores()[0]
	if paris.GetLogLikelihood() <= scores.GetScores()[1].GetLogLikelihood() || !paris.GetIsGreedy() || paris.GetTokens() != 1 {
		t.Errorf("scores %v", scores)
	}
	generated := greedy(prompt, 1)
	generated.Output = &sluicev1.OutputOptions{Logprobs: new(uint32)}
	whole, err := client.Generate(t.Context(), generated)
	if err != nil {
		t.Fatal(err)
	}
	if got := float64(whole.GetOutputs()[0].GetLogprobs()[0].GetChosen().GetLogprob()); got != paris.GetLogLikelihood() {
		t.Errorf("%v by Score, %v by Generate", paris.GetLogLikelihood(), got)
	}
	explained, err := client.Explain(t.Context(), &sluicev1.ExplainRequest{
		Input: &sluicev1.ExplainRequest_Prompt{Prompt: prompt}, Answer: " Paris",
	})
	if err != nil {
		t.Fatal(err)
	}
	effects := explained.GetAttributions()
	if len(effects) != 3 || explained.GetLogLikelihood() != paris.GetLogLikelihood() || effects[1].GetEffect() < 1 || effects[1].GetEffect() <= effects[0].GetEffect() {
		t.Errorf("explained %v", explained)
	}
}
