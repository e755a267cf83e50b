package models

import (
	"fmt"
	"time"

	"github.com/sluiceml/sluice/inference/ort"
)

// Flags say how models run.
type Flags struct {
	Device []string `help:"Where to run each model: cpu, cpu:threads=N, cuda:0 or cuda:0,1. Repeatable: each model gets one replica per device. Replicas on the CPU share the weights, and divide the cores unless threads=N says how many each has." sep:";" default:"cpu" placeholder:"DEVICE"`

	Slots            int `help:"Sequences that a replica can run at once." default:"32" placeholder:"N"`
	Queue            int `help:"Requests that may wait for a replica's slots." default:"256" placeholder:"N"`
	QueueTokens      int `help:"Prompt tokens that the waiting requests may have in total; 0: no limit." default:"262144" placeholder:"N"`
	MaxContext       int `help:"Most tokens of a prompt and its output together; 0: the model's own limit." default:"0" placeholder:"N"`
	ChunkTokens      int `help:"Most tokens of a prompt in one step: fewer make running streams steadier, more make prompts faster." default:"128" placeholder:"N"`
	RidingTokens     int `help:"Most tokens of each prompt in one step while other requests generate. 0: as many as the measured speed allows without making streams wait more than 1.5 times as long for a token, or 32 for a model whose graph runs prompts and streams one after the other." default:"0" placeholder:"N"`
	MaxStepMs        int `help:"Target for the longest time, in milliseconds, of a step with prompt tokens while other requests generate; not with --riding-tokens. 0: as --riding-tokens says." name:"max-step-ms" default:"0" placeholder:"N"`
	DefaultMaxTokens int `help:"max_tokens of requests that set none, for models whose generation_config.json has no max_new_tokens." default:"256" placeholder:"N"`
	MaxOutputs       int `help:"Outputs that one request may ask for (sampling.n)." default:"16" placeholder:"N"`

	ToolCallFormat  []formatFlag `help:"How a model calls tools: a format that docs/chat.md lists (hermes, llama3, mistral, qwen3-coder …) or none; repeatable. By default it is recognized from the chat templates and tokens." sep:";" placeholder:"NAME=FORMAT"`
	ReasoningFormat []formatFlag `help:"How a model reasons before it answers: think, cohere, mistral, seed, gemma, harmony or none; repeatable. By default it is recognized from the chat templates and tokens." sep:";" placeholder:"NAME=FORMAT"`

	QueueTime time.Duration `help:"Longest expected wait for a slot, estimated from how fast requests were served lately; a request that would wait longer is refused at once. 0: no limit." default:"0s" placeholder:"DURATION"`

	NoSpeculation bool   `help:"Do not speculate, that is, guess next tokens from text that a request repeats. Speculation never changes the tokens. It needs Sluice's kernels; without them, a row8 model and a request that runs alone."`
	DraftModel    string `help:"Folder of a smaller model with the same vocabulary, which guesses next tokens where repeated text gives no guess and the measured speed says that it pays; the served models check several guesses in a step. It never changes the tokens. It needs Sluice's kernels, and memory for its own weights, keys and values." placeholder:"DIR"`
	NoKernels     bool   `help:"Use only ONNX Runtime's own operators. By default Sluice's kernels compute attention and the products of 4- and 8-bit weights, where the processor has AVX2, FMA and F16C."`

	KVCacheBytes     byteSize  `help:"Memory of a replica for keys and values, including the prefix cache. Requests that outgrow it pause and start over later, with the same tokens. 0: half of the memory of the machine or control group, divided among the replicas." name:"kv-cache-bytes" default:"0" placeholder:"BYTES"`
	PrefixCacheBytes *byteSize `help:"Memory in which a replica keeps the keys and values of earlier prompts for later ones that begin alike; at most half of --kv-cache-bytes. 0: none. The default holds 2048 tokens; long conversations need more." placeholder:"BYTES"`
}

// Check returns the faults of the flags.
func (f *Flags) Check() []error {
	var faults []error
	need := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	need(f.Slots >= 1, "--slots must be at least 1, not %d", f.Slots)
	need(f.Queue >= 1, "--queue must be at least 1, not %d", f.Queue)
	need(f.QueueTokens >= 0, "--queue-tokens must be at least 0, not %d", f.QueueTokens)
	need(f.QueueTime >= 0, "--queue-time must not be negative")
	need(f.RidingTokens >= 0, "--riding-tokens must be at least 0, not %d", f.RidingTokens)
	need(f.MaxStepMs >= 0, "--max-step-ms must be at least 0, not %d", f.MaxStepMs)
	need(f.MaxStepMs == 0 || f.RidingTokens == 0, "--max-step-ms and --riding-tokens exclude each other")
	need(f.MaxContext == 0 || f.MaxContext >= 2, "--max-context must be 0 or at least 2, not %d", f.MaxContext)
	need(f.ChunkTokens >= 1, "--chunk-tokens must be at least 1, not %d", f.ChunkTokens)
	need(f.DefaultMaxTokens >= 1, "--default-max-tokens must be at least 1, not %d", f.DefaultMaxTokens)
	need(f.MaxOutputs >= 1, "--max-outputs must be at least 1, not %d", f.MaxOutputs)
	need(len(f.Device) > 0, "--device is empty")
	for _, spec := range f.Device {
		if _, err := ort.ParseDevices(spec); err != nil {
			faults = append(faults, fmt.Errorf("--device: %w", err))
		}
	}
	need(f.DraftModel == "" || !f.NoSpeculation, "--draft-model is of no use with --no-speculation")
	return faults
}

// Devices are where each model's replicas go.
func (f *Flags) Devices() []ort.Device {
	var devices []ort.Device
	for _, spec := range f.Device {
		parsed, _ := ort.ParseDevices(spec) // Check has looked
		devices = append(devices, parsed...)
	}
	return ort.DivideCores(devices)
}
