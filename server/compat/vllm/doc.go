// Package vllm serves the gRPC services of vLLM's own server, Inference and the part of Control that reads, on top of the
// native services, so that limits, rights and results are theirs. What Sluice cannot do as asked is refused by the name of
// its field.
package vllm
