package sluice_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/sluiceml/sluice/"

// lattice is the import law of the packages of this module: "a < b" means that b may import a, and so may all that
// stand above b in a chain of such lines. A package that imports one of ours against it, or that the lattice does
// not name, fails the test. The form is that of go/build's deps_test.go.
//
// Do not add a line to make a build pass: move the code to where the law lets it be, or state in ARCHITECTURE.md why
// the law was wrong.
const lattice = `
# The tokenizer is usable alone.
tokenizer/pretoken < tokenizer/normalize
tokenizer/pretoken, tokenizer/bpe, tokenizer/normalize, tokenizer/pattern < tokenizer < tokenizer/internal/benchmark

# What the operating system says of the process and of addresses.
internal/cgroup < inference/ort
internal/cgroup < cmd/sluice/internal/memory < cmd/sluice/internal/models
internal/loopback < clients/go, cmd/sluice/internal/hub, cmd/sluice

# What a panic becomes.
internal/panics < inference/engine, server/interceptor, server/compat/oip, server

# Pure leaves and the loop that owns them.
inference/kvcache < inference/sched < inference/runner
inference/speculate, inference/grammar < inference/engine
inference/runner, inference/sampling, inference/stop, inference/semconv < inference/engine

# Models on disk. The session reads the folder that it runs.
inference/model/quant, inference/model/internal/mmap < inference/model/gguf, inference/model/safetensors < inference/model
inference/model/onnx < inference/model
inference/model/onnx, inference/model, inference/model/builder/internal/matrix < inference/model/builder
inference/runner, inference/model, inference/model/onnx, inference/ort/kernels < inference/ort

# The façade knows no session factory: cmd injects it.
inference/model, inference/chat, inference/answer, tokenizer, inference/engine < inference
inference/grammar < inference, server
inference, proto/sluice/v1, server/auth < server/status < server/interceptor < server

# Only the command knows all, and of it the package that puts the server together.
proto/sluice/v1 < clients/go
server/gateway, proto/sluice/v1 < clients/conformance/servers
clients/go, server, inference, inference/ort, inference/model/builder < cmd/sluice
server/auth < server/certificates < cmd/sluice/internal/access < cmd/sluice/internal/serve
server/auth < server/handshake < server/interceptor
server/handshake < server, cmd/sluice
server/status, server/handshake, server/gateway/playground < server/gateway < cmd/sluice
server/requestid < server, server/gateway
proto/sluice/v1 < server/compat/local
proto/inference, server/compat/local, server/status < server/compat/oip < server
proto/vllm, server/compat/local, inference < server/compat/vllm < server
inference/model < cmd/sluice/internal/setup < cmd/sluice
cmd/sluice/internal/setup < cmd/sluice/internal/hub < cmd/sluice/internal/conversion
proto/sluice/v1, clients/go < cmd/sluice/internal/bench < cmd/sluice
proto/sluice/v1, clients/go < cmd/sluice/internal/conversation < cmd/sluice
cmd/sluice/internal/calibration, inference/model/builder < cmd/sluice/internal/conversion < cmd/sluice
inference/model, tokenizer < cmd/sluice/internal/tokenizerfile < cmd/sluice/internal/conversion
cmd/sluice/internal/usage, cmd/sluice/internal/cleanup, cmd/sluice/internal/buildinfo < cmd/sluice/internal/telemetry < cmd/sluice/internal/serve
cmd/sluice/internal/logging, internal/loopback < cmd/sluice/internal/httpserver < cmd/sluice/internal/serve
server, internal/loopback, cmd/sluice/internal/usage < cmd/sluice/internal/access < cmd/sluice/internal/serve
inference/engine < cmd/sluice/internal/telemetry
cmd/sluice/internal/usage < cmd/sluice/internal/setup
inference, inference/ort, cmd/sluice/internal/cleanup, cmd/sluice/internal/usage < cmd/sluice/internal/models
cmd/sluice/internal/models, cmd/sluice/internal/setup, server, server/gateway < cmd/sluice/internal/serve < cmd/sluice
inference/ort, tokenizer, cmd/sluice/internal/setup, cmd/sluice/internal/memory < cmd/sluice/internal/eval < cmd/sluice/internal/conversion

# Helpers of tests.
inference/runner < inference/inferencetest
inference, inference/inferencetest, server < server/servertest
`

// restricted says which packages may import a foreign package, by prefix of its path; "" allows none of ours.
// Test files are exempt.
var restricted = map[string][]string{
	"C":                                 {"inference/ort"},
	"github.com/yalue/onnxruntime_go":   {"inference/ort"},
	"google.golang.org/grpc":            {"server", "clients/", "cmd/", "proto/"},
	"google.golang.org/genproto":        {"server", "clients/", "cmd/", "proto/"},
	"go.opentelemetry.io/otel/sdk":      {"cmd/"},
	"go.opentelemetry.io/otel/exporter": {"cmd/"},
	"github.com/alecthomas/kong":        {"cmd/"},
	"github.com/ardanlabs/jinja":        {"inference/chat"},
}

// pure are the packages that decide and must stay free of clocks, goroutines' contexts, logs and I/O.
var pure = []string{
	"inference/sched", "inference/kvcache", "inference/speculate", "inference/sampling", "inference/stop", "inference/runner", "inference/grammar",
	"inference/answer",
	"tokenizer", "tokenizer/bpe", "tokenizer/pretoken", "tokenizer/normalize", "tokenizer/pattern",
}

// impure are what a pure package must not import. The tokenizer reads its file, so os is not among them; it may take the
// time, because a regular expression of a model's file must come to an end.
var impure = []string{"time", "context", "log", "log/slog", "net", "net/http", "go.opentelemetry.io"}

type listed struct {
	ImportPath string   `json:"ImportPath"`
	Imports    []string `json:"Imports"`
}

func TestDependencyLaw(t *testing.T) {
	t.Parallel()
	allowed := parseLattice(t)
	packages := list(t)
	if len(packages) < 10 {
		t.Fatalf("go list found only %d packages", len(packages))
	}
	for _, p := range packages {
		path := strings.TrimPrefix(p.ImportPath, module)
		for _, imported := range p.Imports {
			if ours, ok := strings.CutPrefix(imported, module); ok {
				if !reaches(allowed, ours, path) {
					t.Errorf("%s must not import %s", path, ours)
				}
				continue
			}
			for prefix, holders := range restricted {
				if hasPath(imported, prefix) && !slices.ContainsFunc(holders, func(h string) bool { return strings.HasPrefix(path, h) }) {
					t.Errorf("%s must not import %s: only %v may", path, imported, holders)
				}
			}
			if imported == "time" && (path == "tokenizer" || path == "tokenizer/pattern") {
				continue
			}
			if slices.Contains(pure, path) && slices.ContainsFunc(impure, func(i string) bool { return hasPath(imported, i) }) {
				t.Errorf("%s is pure and must not import %s", path, imported)
			}
		}
	}
}

// hasPath reports whether the import path is prefix or lies below it. A prefix that ends inside an element ("sdk",
// "exporter") covers the elements that begin with it.
func hasPath(imported, prefix string) bool {
	if !strings.Contains(prefix, ".") {
		return imported == prefix
	}
	return strings.HasPrefix(imported, prefix)
}

// parseLattice returns, for each package, those that stand directly above it.
func parseLattice(t *testing.T) map[string][]string {
	t.Helper()
	above := map[string][]string{}
	for line := range strings.Lines(lattice) {
		line, _, _ = strings.Cut(strings.TrimSpace(line), "#")
		if line == "" {
			continue
		}
		var previous []string
		for level := range strings.SplitSeq(line, "<") {
			var current []string
			for name := range strings.SplitSeq(level, ",") {
				current = append(current, strings.TrimSpace(name))
			}
			for _, low := range previous {
				above[low] = append(above[low], current...)
			}
			previous = current
		}
	}
	return above
}

// reaches reports whether high stands above low.
func reaches(above map[string][]string, low, high string) bool {
	seen := map[string]bool{}
	queue := []string{low}
	for len(queue) > 0 {
		next := queue[0]
		queue = queue[1:]
		for _, name := range above[next] {
			if name == high {
				return true
			}
			if !seen[name] {
				seen[name] = true
				queue = append(queue, name)
			}
		}
	}
	return false
}

func list(t *testing.T) []listed {
	t.Helper()
	command := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports", "./...")
	var stderr bytes.Buffer
	command.Stderr = &stderr
	output, err := command.Output()
	if err != nil {
		t.Fatalf("go list: %v: %s", err, stderr.String())
	}
	var packages []listed
	decoder := json.NewDecoder(bytes.NewReader(output))
	for {
		var p listed
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
}
