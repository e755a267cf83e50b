// Package builder turns a checkpoint into an ONNX model that Sluice's engine runs: a graph (model.onnx), its weights
// (model.onnx.data) and a description of both (sluice.json).
//
// # The graph
//
// It runs one step of a decoder on a batch of B rows with S new tokens each, over a key-value cache that the caller
// owns and that is input and output at the same address. Inside, the B·S tokens are rows of a matrix [tokens, hidden].
//
//	input_ids              int64   [B, S]
//	seqlens_k              int32   [B]       tokens of each row after this step, less one
//	total_sequence_length  int32   []        the largest of those lengths
//	logits_idx             int64   [n]       which of the B·S tokens logits are wanted for
//	past_key_values.L.key  float32 [B, KV heads, P, head size]   and .value; P is the length of the buffer
//	logits                 float32 [n, vocabulary]
//	present.L.key          float32 [B, KV heads, P, head size]   and .value
//
// What a layer is made of, attention.go, feedforward.go and norm.go have; a file for each architecture puts it together, and
// the Spec has the numbers. Where a model needs a token's position outside attention (learned positions; rotary tables that
// GroupQueryAttention does not take), the graph derives it from seqlens_k.
//
// GroupQueryAttention takes either one new token per row, or one row with any past, or several rows with no past and
// S tokens each. In the last layer everything after attention is computed for the n tokens of logits_idx alone.
//
// # The weights
//
// A matrix is stored as float32 or binary16, or in blocks of 32 (or 16, 64, 128) values along its rows. A block has a
// float32 scale and codes of 4 or 8 bits, symmetric about 2^(bits-1), and is multiplied by MatMulNBits. A GGUF's 4-bit
// blocks with a minimum m besides the scale d are d·q + m = d·(q-8) + (m+8d): the first term is such a block, the second is
// a small second product of the sums of the activations over each block with m+8d. The values are then exactly the GGUF's.
// (Zero points that are floats would say the same and leave all of ONNX Runtime's fast kernels; rounding the values again
// costs a quarter of the model's perplexity.)
//
// In the form row8 the layers' weights are 8-bit numbers with a scale for each output, and activations are rounded to 8
// bits with a scale for each token, so that integers are multiplied (row8.go); Sluice's kernels, where there are any, take the
// weights as they are and round activations in groups of 128. Smoothing (smooth.go) first moves large
// channels from the activations into the weights. Values become 4-bit codes by GPTQ (gptq.go), or each the nearest one.
//
// Smoothing, GPTQ and pruning (prune.go) need to see activations, so the package runs the model over calibration texts by
// itself, in float32 and in Go: it follows the graph of the form none (forward.go), for every architecture.
//
// The embedding is 8-bit blocks too (GatherBlockQuantized looks rows up and dequantises them). If the head is tied to
// it, both name the same bytes of the data file.
package builder
