package models

import (
	"fmt"
	"time"

	"github.com/sluiceml/sluice/inference/ort"
)

// Flags say how models run.
type Flags struct {
	Device []string `help:"Where to run each model: cpu, cpu:threads=N, cuda:0 or cuda:0,1. Repeatable: one replica of each model per device. On the CPU they share the weights, and the cores where no threads=N says how many each has." sep:";" default:"cpu" placeholder:"DEVICE"`

	Slots            int `help:"Sequences that a replica runs at once." default:"32" placeholder:"N"`
	Queue            int `help:"Requests that may wait for a slot of a replica." default:"256" placeholder:"N"`
	QueueTokens      int `help:"Tokens that the prompts of the requests that wait may have together; 0: any number." default:"262144" placeholder:"N"`
	MaxContext       int `help:"Most tokens that prompt and output share; 0: what the model was made for." default:"0" placeholder:"N"`
	ChunkTokens      int `help:"Most tokens of a prompt in one step: fewer keep running streams smoother, more fill prompts faster." default:"128" placeholder:"N"`
	RidingTokens     int `help:"Most tokens of each prompt in one step while others generate, so that they hardly slow down; 0: by the measured speed, so that streams wait at most 1.5 times as long for a token, or 32 for a model whose graph runs the two one after the other." default:"0" placeholder:"N"`
	MaxStepMs        int `help:"Milliseconds that a step with prompts is meant to take at most while others generate, by the measured speed and without --riding-tokens; 0: as --riding-tokens says." name:"max-step-ms" default:"0" placeholder:"N"`
	DefaultMaxTokens int `help:"max_tokens of a request that sets none, for a model whose generation_config.json has no max_new_tokens." default:"256" placeholder:"N"`
	MaxOutputs       int `help:"Outputs that one request may ask for (sampling.n)." default:"16" placeholder:"N"`

	ToolCallFormat  []formatFlag `help:"How a model calls tools: a format that docs/chat.md lists (hermes, llama3, mistral, qwen3-coder …) or none; repeatable. By default its chat templates and tokens tell." sep:";" placeholder:"NAME=FORMAT"`
	ReasoningFormat []formatFlag `help:"How a model reasons before it answers: think, cohere, mistral, seed, gemma, harmony or none; repeatable. By default its chat templates and tokens tell." sep:";" placeholder:"NAME=FORMAT"`

	QueueTime time.Duration `help:"Longest time that a request may expect to wait for a slot, by the speed at which requests were served lately; one that would wait longer is refused at once. 0: any time." default:"0s" placeholder:"DURATION"`

	NoSpeculation bool   `help:"Do not guess next tokens from what a request repeats. Guessing never changes them; it needs Sluice's kernels, or without them a model of the form row8 and a request that runs alone."`
	DraftModel    string `help:"Folder of a smaller model with the same vocabulary, whose guesses of next tokens the served models check, several in a step, where nothing that they repeat tells and by the measured speed it pays. It never changes the tokens, takes memory for weights, keys and values of its own, and needs Sluice's kernels." placeholder:"DIR"`
	NoKernels     bool   `help:"Leave all of a model's work to ONNX Runtime's own operators. Without it, Sluice's kernels multiply weights of 4 and 8 bits and attend where the processor has AVX-512 VNNI."`

	KVCacheBytes     byteSize  `help:"Memory of a replica for keys and values, the prefix cache's included. Requests that outgrow it pause and start over, with the same tokens. 0: half of what the machine or the control group has, shared by the replicas." name:"kv-cache-bytes" default:"0" placeholder:"BYTES"`
	PrefixCacheBytes *byteSize `help:"Memory in which a replica keeps the keys and values of earlier prompts, for prompts that begin alike; at most half of the memory for keys and values. 0: none. By default that of 2048 tokens: conversations that go on for long want more." placeholder:"BYTES"`
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
