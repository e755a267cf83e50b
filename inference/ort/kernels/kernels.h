// Operators for ONNX Runtime on the CPU. See doc.go.
#ifndef SLUICE_KERNELS_H
#define SLUICE_KERNELS_H

#include <stddef.h>
#include <stdint.h>

enum {
	tile_columns = 16, // outputs of a tile: the lanes of a vector
	short_block = 16,  // inputs that share a scale: of a matrix with short blocks,
	long_block = 32,   // and of others
	group_blocks = 4,  // long blocks that share a scale of inputs where weights have one for each output
	half_block = tile_columns * long_block / 2, // bytes of codes of a head's block in one plane
	key_span = 128,    // keys whose sum of values is made by itself
};

// What a gated product makes of its gates.
typedef enum { gate_none, gate_silu, gate_gelu_tanh } gate_kind;

// A matrix of weights w = d·q + m, with one d and m for each block of inputs of an output. It is cut into tiles of
// tile_columns outputs; a tile is a run of blocks, each the codes q of its weights, the tile's scales d, and, if
// minima is set, its minima m. Without minima codes are centred: 2^(bits-1) is taken off them. Where by_output is set an
// output has one d, in float32, and the tile's come behind its blocks, which are codes of 8 bits without minima.
typedef struct {
	int in, out; // out counts what a product gives: half of the rows of a gated matrix
	int length;  // of a block: short_block or long_block
	int blocks;  // in / length
	int bits;    // of a code: 4 or 8
	int half;    // scales and minima are binary16, else binary32
	int minima;
	int by_output;
	int gated;         // a gate_kind: tiles alternate between gates and what they gate; the product gives act(gate)·other
	float cap;         // what bounds the product's values softly, unless it is gated; 0: nothing
	size_t block_size; // bytes
	const float *bias; // of each row of weights in the tiles' order, padded to whole tiles; NULL: none
	uint8_t *tiles;
	// Of a head in two planes (see head_amd64.c), of codes of 8 bits in long blocks without minima: the high halves are the
	// codes of tiles, the low ones lie behind these, and spread is the deviation of an output's low halves from 7.5, padded to
	// whole tiles.
	int split;
	uint8_t *low;
	float *spread;
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

// A layer's attention. Keys and values are bfloat16, in the pairs that they are multiplied in: keys of two values of a
// position, 16 positions side by side, [slot, kv_head, position/16, head_size/2, 16, 2]; values of two positions,
// [slot, kv_head, position/2, head_size, 2].
typedef struct {
	uint16_t *keys, *values;
	const float *cosines, *sines; // [max_length, pairs]
	int pairs;                    // of a head's values that are turned
	float scale;                  // of the products of queries and keys
	float cap;                    // what bounds them softly; 0: nothing
	int window;                   // how many positions a token sees, its own among them; 0: all
	// Of RMS norms of queries and keys, before they are turned: weights, NULL for no norm, and whether a norm is of all of a
	// token's heads together, [heads, head_size], or of each by itself, [head_size].
	const float *query_norm, *key_norm;
	float norm_epsilon;
	int norm_whole;
} layer;

// Counts the parts of a phase that a thread has taken.
typedef struct {
	_Alignas(64) uint64_t next; // the number of the phase in the high half, the next part in the low one
} counter;

// How a phase is divided into parts.
typedef enum { by_rows, by_tiles, by_items } division;

// A phase is some actions of a program, in parts. It ends when all its parts are done, and the next one begins.
typedef struct {
	int by;       // a division
	int from, to; // actions
	int rows, unit; // unit rows stay together
	int64_t items;  // of attention
	int parts;
} phase;

typedef struct variant variant;

// What the operators of a session share: where keys and values lie, what the next step is made of, and room to work in.
typedef struct {
	const variant *by; // what computes
	int heads, kv_heads, head_size, max_length, threads;
	int max_tokens; // of a step
	int bf16;       // whether attention multiplies by AVX512_BF16; of AVX-512 only
	layer *layers;
	run *runs;
	int run_count;
	uint8_t *marks; // [max_tokens], of a program's run: which tokens are wanted
	run *chosen;    // the runs of these

	int max_blocks; // of a product's inputs, were they short
	int8_t *codes;  // of them, [max_tokens, max_blocks, short_block]: the same rows for all products, some ahead of others
	float *scales;  // [max_tokens, max_blocks]
	block_sum *sums;
	// Of the rows of a head in two planes, [max_tokens]: whether only the best logit is read; how far a logit may be from what the
	// high plane gives, for a deviation of 1; and as the bits of floats, what the best logit is at least, and what the best
	// of those is that both planes have made.
	uint8_t *greedy;
	float *margins;
	uint32_t *bounds, *bests;
	float *squares;    // of the rounded inputs of such a row, where the largest scale is 1, by groups of blocks, [max_tokens, max_blocks]
	float *partials;   // of attention that is divided by keys: see items_amd64.h
	float **buffers;   // of a program
	phase *phases;     // of its run
	counter *counters; // by thread
} state;

// What an action does.
typedef enum {
	do_norm,     // y = the RMS norm of x; with a branch, of x + branch, which goes to sum
	do_add,      // y = x + branch
	do_select,   // y = the wanted rows of x
	do_round,    // rounds x to 8 bits
	do_multiply, // y, from a column on, = what was rounded times the matrix
	do_refine,   // of a head in two planes: computes again what may be the best of y
	do_complete, // of it, too: computes again rows of y whose best may have been missed
	do_store,    // stores the keys and values of x
	do_attend,   // y = attention
	do_merge,    // ends attention that is divided by keys
} action_kind;

// An action of a program, on numbered buffers of [rows, width].
typedef struct {
	int kind;
	int wanted; // whether its results' rows are those that were wanted, else those of all tokens
	int x, branch, sum, y; // buffers; -1: none
	int width;             // of a row of x, but for attention
	const float *weight;   // of a norm
	float epsilon;
	const matrix *matrix;
	int column, pitch; // of a product: where its values go in a row of y, and how long such a row is
	int layer;
	// What is left out of rows of all tokens where a token is not wanted: of attention, unless this is 0, the result; of a
	// product, its first tiles, so many.
	int chosen;
} action;

// The buffers that the caller of a program has.
enum { buffer_input, buffer_output, buffer_own };

// A program takes [tokens, in] and gives [tokens that are wanted, out].
typedef struct {
	int in, out;
	int actions_count;
	action *actions;
} program;

// parallel calls f(data, i) for i from 0 to n-1, on several threads, and returns after the last has returned.
typedef struct {
	void (*call)(void *context, void (*f)(void *, size_t), size_t n, void *data);
	void *context;
} parallel;

// Attention of the tokens of a step's runs. qkv is [tokens, heads + 2·kv_heads, head_size], y [tokens, heads, head_size].
typedef struct {
	const state *s;
	const layer *of;
	const float *qkv;
	float *y;
} attention;

// The functions that work on vectors. There are some of each for every kind of processor, of the same sources, and all give the same bits.
struct variant {
	// Rounds rows from first to end-1 of x, [rows, in], to 8 bits for a product: by block, or by groups of blocks where weights have
	// a scale for each output.
	void (*round)(const matrix *m, const state *s, const float *x, int first, int end);
	// Multiplies rounded rows with tiles: those from the first to before the end. The rows of y are pitch values apart.
	void (*multiply)(const matrix *m, const state *s, float *y, int pitch, int first_row, int end_row, size_t first_tile, size_t end_tile);
	// Of a head in two planes, prepares rounded rows, and multiplies them: by the high plane alone where only the best logit is
	// read. When all tiles have been, refine_head makes those where it may be, by both planes, and then complete_head all tiles of
	// rows where it may be elsewhere nevertheless.
	void (*begin_head)(const matrix *m, const state *s, int first_row, int end_row);
	void (*multiply_head)(const matrix *m, const state *s, float *y, int pitch, int first_row, int end_row, size_t first_tile, size_t end_tile);
	void (*refine_head)(const matrix *m, const state *s, float *y, int pitch, int first_row, int end_row, size_t first_tile, size_t end_tile);
	void (*complete_head)(const matrix *m, const state *s, float *y, int pitch, int first_row, int end_row, size_t first_tile, size_t end_tile);
	// Makes y the RMS norm of a row, as an action of that kind has it.
	void (*norm)(const action *a, const float *x, const float *branch, float *sum, float *y);
	// Adds n values.
	void (*add)(const float *x, const float *branch, float *y, size_t n);
	// Stores the keys and values of tokens from first to end-1, keys turned by their positions.
	void (*store)(const attention *a, int first, int end);
	// Computes items of attention from first to end-1.
	void (*attend)(const attention *a, int divided, size_t first, size_t end);
	// Ends the attention of tokens from first to end-1.
	void (*merge)(const attention *a, int first, int end);
};

// The kinds of processors that there are variants for, each with all that the one before has.
enum {
	variant_none,
	variant_avx2,   // with FMA and F16C
	variant_avx512, // F, BW, DQ, VL and VNNI
};

// The best kind that this processor is of.
int sluice_best(void);

// The variant for a kind; NULL for none.
const variant *sluice_variant(int kind);

// Whether the processor has AVX512_BF16.
int sluice_bf16(void);

// The actions of a product, and of attention, alone: of all tokens. They give their number, own_actions at most.
enum { own_actions = 4 };
int sluice_product_actions(const matrix *m, action *a);
int sluice_attention_actions(int layer, action *a);

// Runs a program. x is [tokens, width], y the last action's result, and index says which rows do_select takes.
void sluice_run(const program *p, const state *s, const float *x, float *y, const int64_t *index, int tokens, int wanted, const parallel *by);

// The number of a matrix's tiles; of a gated one, of pairs.
size_t sluice_tile_count(const matrix *m);

// Whether the attention of a step is divided by keys, too: then merge makes the results.
int sluice_attention_divided(const state *s, int tokens);

// The number of items that a layer's attention is made of.
size_t sluice_attention_items(const state *s, const layer *of, int divided);

// The floats of room that divided attention takes.
size_t sluice_partials(const state *s);

// Codes of weights as MatMulNBits has them, [rows, blocks, length·bits/8], go to row `to` of the tiles.
void sluice_pack_row(matrix *m, int to, const uint8_t *codes, const float *scales, const float *minima);

// The same of weights that have a scale for each output, whose signed codes lie `stride` apart.
void sluice_pack_output(matrix *m, int to, const int8_t *codes, size_t stride, float scale);

// The same of a head in two planes, from whose tiles on the low one begins at so many bytes.
void sluice_pack_head(matrix *m, int to, const uint8_t *codes, const float *scales);
size_t sluice_low_plane(const matrix *m);

// The bytes of one tile of a matrix; of its high plane.
size_t sluice_tile_size(const matrix *m);

// The bytes of a matrix's tiles, given everything else.
size_t sluice_tiles_size(matrix *m);

// Makes the operators known to sessions made with options. table is ONNX Runtime's C API. Returns a status, NULL if
// all is well. The domain must be released after the sessions.
void *sluice_register(const void *const *table, void *options, void **domain);

#endif
