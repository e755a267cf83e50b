// Package kernels computes what ONNX Runtime's own CPU operators are slow at: products with weights in blocks of 4 or 8
// bits, attention of several sequences in one step, and, as one node, all of a decoder that is made of these. They are
// custom operators, written in C for AVX-512 VNNI and for AVX2; where the processor has neither, nothing of this package is used and ONNX
// Runtime's operators do the work.
//
// Two promises hold them together. A token's result depends on its own sequence only, bit by bit: not on what else is in
// the step, not on how its prompt was cut into chunks, not on the number of threads. And weights are those of the model:
// a block's scale and minimum are carried over exactly, so that only activations and what attention multiplies (bfloat16) are
// rounded. Activations have 8 bits, by block, as ONNX Runtime's accuracy level 4 rounds them, or by groups of four blocks where weights
// have one scale for each output (the form row8).
//
// The nodes of a graph name matrices and states by address, so that what they work on lies outside ONNX Runtime: a
// matrix is packed once for all sessions of a model, and a step's sequences need no tensors.
package kernels
