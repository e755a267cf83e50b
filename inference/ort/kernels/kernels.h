// Operators for ONNX Runtime on the CPU. See doc.go.
#ifndef SLUICE_KERNELS_H
#define SLUICE_KERNELS_H

#include <stddef.h>
#include <stdint.h>

enum {
	tile_columns = 16, // outputs of a tile: the lanes of a vector
	block_length = 32, // inputs that share a scale
	key_block = 64,    // keys that attention takes at a time
};

// A matrix of weights w = d·q + m, with one d and m for each block_length inputs of an output. It is cut into tiles of
// tile_columns outputs; a tile is a run of blocks, each the codes q of its weights, the tile's scales d, and, if
// minima is set, its minima m. Without minima codes are centred: 2^(bits-1) is taken off them.
typedef struct {
	int in, out; // out counts what a product gives: half of the rows of a gated matrix
	int blocks;  // in / block_length
	int bits;    // of a code: 4 or 8
	int half;    // scales and minima are binary16, else binary32
	int minima;
	int gated;         // tiles alternate between gates and what they gate; the product gives silu(gate)·other
	size_t block_size; // bytes
	const float *bias; // of each row of weights in the tiles' order, padded to whole tiles; NULL: none
	uint8_t *tiles;
} matrix;

// One run of consecutive tokens of a sequence.
typedef struct {
	int32_t slot;
	int32_t past;   // positions before them
	int32_t tokens; // how many
	int32_t first;  // the place of the first among the step's tokens
} run;

// The sum of a block's codes, as the matrix wants it: with minima, times their scale; without, times what centres the
// codes of weights.
typedef union {
	float scaled;
	int32_t centring;
} block_sum;

// What the operators of a session share: where keys and values lie, what the next step is made of, and room to work in.
// Keys and values are binary16. A layer's values lie as [slot, kv_head, position, head_size]; its keys likewise, but
// 16 positions at a time with the positions innermost: [slot, kv_head, position/16, head_size, 16].
typedef struct {
	int heads, kv_heads, head_size, max_length, threads;
	int max_tokens; // of a step
	float scale;    // of the products of queries and keys
	const float *cosines, *sines; // [max_length, head_size/2]
	uint16_t **keys, **values;    // by layer
	run *runs;
	int run_count;

	int8_t *codes; // of a product's inputs, [max_tokens, in]
	float *scales; // [max_tokens, in/block_length]
	block_sum *sums;
} state;

// parallel calls f(data, i) for i from 0 to n-1, on several threads.
typedef struct {
	void (*call)(void *context, void (*f)(void *, size_t), size_t n, void *data);
	void *context;
	int threads;
} parallel;

int sluice_supported(void);

// Rows of inputs are rounded to 8 bits, block by block, and multiplied. x is [rows, in], y [rows, out].
void sluice_multiply(const matrix *m, const state *s, const float *x, float *y, int rows, const parallel *p);

// Rotates queries and keys, stores keys and values, and attends. qkv is [tokens, heads + 2·kv_heads, head_size], y
// [tokens, heads, head_size].
void sluice_attend(const state *s, int layer, const float *qkv, float *y, const parallel *p);

// Codes of weights as MatMulNBits has them, [rows, blocks, block_length·bits/8], go to row `to` of the tiles.
void sluice_pack_row(matrix *m, int to, const uint8_t *codes, const float *scales, const float *minima);

// The bytes of a matrix's tiles, given everything else.
size_t sluice_tiles_size(matrix *m);

// Makes the operators known to sessions made with options. table is ONNX Runtime's C API. Returns a status, NULL if
// all is well. The domain must be released after the sessions.
void *sluice_register(const void *const *table, void *options, void **domain);

#endif
