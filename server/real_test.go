//go:build cgo

package server_test

import (
	"context"
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

// realModel is the default model with two slots.
func realModel(t *testing.T) *inference.Model {
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
	t.Cleanup(func() {
		if err := environment.Close(); err != nil {
			t.Error(err)
		}
	})
	const context = 4096
	device := ort.Device{Provider: ort.CPU, Threads: 2}
	session, err := environment.Open(ort.Config{
		Model: folder.ModelPath, Graph: folder.Manifest.Graph, ContextLength: folder.Manifest.ContextLength,
		Device: device, Slots: 2, MaxLength: context, MaxChunk: 128,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := session.Close(); err != nil {
			t.Error(err)
		}
	})
	loop, err := engine.New(session, engine.Config{Model: "smollm2-135m-instruct"})
	if err != nil {
		t.Fatal(err)
	}
	served, err := inference.NewModel(inference.Config{
		Name: "smollm2-135m-instruct", Architecture: folder.Manifest.Architecture,
		Quantization: folder.Manifest.Quantization, ContextLength: context,
		EOSTokenIDs: folder.GenerationConfig.EOSTokenIDs,
		Defaults: inference.Defaults{Sampling: inference.Sampling{
			MaxTokens: 256, Temperature: 1, TopP: 1, RepetitionPenalty: 1,
		}},
		Tokenizer: tok, Template: template, BOSToken: folder.BOSToken, EOSToken: folder.EOSToken,
		Replicas:       []inference.Replica{{Device: device.String(), Engine: loop}},
		TracerProvider: tracenoop.NewTracerProvider(), MeterProvider: metricnoop.NewMeterProvider(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return served
}
