// Package ort runs models on ONNX Runtime: it implements runner.Session. It is the only package that imports cgo.
//
// # Use
//
// A process opens one [Environment], which loads the ONNX Runtime library, and from it any number of [Session] values,
// each a model on a [Device] with the memory of its keys and values. Sessions close before the environment does.
//
// # The graph
//
// A model takes, per run, B rows of S tokens: input_ids int64 [B, S], seqlens_k int32 [B] (the positions that each row
// holds after the run, minus one), total_sequence_length int32 (the largest of them), logits_idx int64 [n] (which of
// the B·S tokens, flattened, are wanted logits of), and past_key_values.L.key and .value float32
// [B, kv_heads, max_length, head_size]. It gives logits float32 [n, vocabulary] and present.L.key and .value.
//
// # Memory
//
// Past and present are bound to the same memory, so that GroupQueryAttention appends in place. One buffer per layer,
// for keys and for values, holds all slots one after the other; a run over rows 0 to B-1 sees the first B slots of it,
// a run over a prompt's chunk sees one slot. The buffers are reserved address space: a page costs memory from its first
// touch until its slot is released. The prefix store beside them keeps blocks of positions, each with everything that a
// slot holds of them, in memory of its own that is committed as blocks are first written. Everything that ONNX Runtime
// keeps a pointer to lies outside Go's heap.
//
// # Batch invariance
//
// On the CPU a row's logits are bitwise the same whoever shares its run and however its prompt was cut into chunks: the
// kernels treat rows apart. They do depend on whether a token was run as part of a prompt or as a decode row: attention
// over one new token adds up in another order than over several. A chunk of one token is therefore run as two, except
// in the last position of a slot, where there is no room for it.
//
// GroupQueryAttention takes no more than one new token per row when there are several rows and a past, so a step with
// decode rows and a chunk is two runs. Two of its traps are closed here: no rows at all kills the process, and
// positions beyond the buffer are written past its end.
package ort
