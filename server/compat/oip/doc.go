// Package oip serves the Open Inference Protocol, with Triton's stream, on top of the native services, so that the
// protocol's limits, rights and results are theirs. What Triton's backends for language models call their tensors and
// parameters is taken as they call it.
package oip
