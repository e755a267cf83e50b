// Package e2e holds the tests of the whole: the built binary as a process, the real ONNX Runtime and the real model,
// real gRPC on loopback, and foreign clients such as grpcurl. They need what `make setup` and `make test-tools`
// provide and do not run under -short.
package e2e
