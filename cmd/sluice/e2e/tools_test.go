package e2e_test

import (
	"os/exec"
	"strings"
	"testing"
)

// TestGRPCurl drives the server as a person with grpcurl would.
func TestGRPCurl(t *testing.T) {
	s := serve(t, nil)
	grpcurl := func(wantError bool, arguments ...string) string {
		t.Helper()
		output, err := exec.CommandContext(deadline(t), tool(t, "grpcurl"), append([]string{"-plaintext"}, arguments...)...).CombinedOutput()
		if (err != nil) != wantError {
			t.Fatalf("grpcurl %q: %v\n%s", arguments, err, output)
		}
		return string(output)
	}
	expect := func(output string, parts ...string) {
		t.Helper()
		for _, part := range parts {
			if !strings.Contains(output, part) {
				t.Errorf("%q is not in:\n%s", part, output)
			}
		}
	}
	expect(grpcurl(false, s.grpc, "list"), "sluice.v1.InferenceService", "sluice.v1.ModelService", "sluice.v1.TokenizerService", "grpc.health.v1.Health")
	expect(grpcurl(false, s.grpc, "describe", "sluice.v1.GenerateRequest"), "Sampling sampling", "oneof input")
	expect(grpcurl(false, "-d", `{"prompt":"The capital of France is","sampling":{"temperature":0,"max_tokens":8}}`, s.grpc, "sluice.v1.InferenceService/Generate"),
		"Paris", `"finishReason": "FINISH_REASON_LENGTH"`, `"completionTokens": 8`)
	expect(grpcurl(false, "-d", `{"chat":{"messages":[{"role":"user","content":"What is the capital of France?"}]},"sampling":{"temperature":0,"max_tokens":32}}`,
		s.grpc, "sluice.v1.InferenceService/GenerateStream"), `"started"`, `"delta"`, `"text": "`, `"finished"`, `"summary"`)
	expect(grpcurl(true, "-d", `{"prompt":"x","sampling":{"top_p":1.5,"temperature":-1}}`, s.grpc, "sluice.v1.InferenceService/Generate"),
		"InvalidArgument", "sampling.top_p", "sampling.temperature")
	expect(grpcurl(false, "-d", `{"text":"Hello <|im_end|>"}`, s.grpc, "sluice.v1.TokenizerService/Tokenize"), `"special": true`)
	expect(grpcurl(false, s.grpc, "sluice.v1.ModelService/ListModels"), "smollm2-135m-instruct", "MODEL_STATE_READY", `"default"`)
}

// TestHealthProbe asks for the health of the server, the service and the model, as Kubernetes would.
func TestHealthProbe(t *testing.T) {
	s := serve(t, nil)
	for _, service := range []string{"", "sluice.v1.InferenceService", "model/smollm2-135m-instruct"} {
		output, err := exec.CommandContext(deadline(t), tool(t, "grpc-health-probe"), "-addr", s.grpc, "-service", service).CombinedOutput()
		if err != nil || !strings.Contains(string(output), "SERVING") {
			t.Errorf("service %q: %v %s", service, err, output)
		}
	}
	if output, err := exec.CommandContext(deadline(t), tool(t, "grpc-health-probe"), "-addr", s.grpc, "-service", "model/none").CombinedOutput(); err == nil {
		t.Errorf("an unknown model is healthy: %s", output)
	}
}
