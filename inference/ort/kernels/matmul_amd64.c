// Products with weights in blocks. The way of computing is that of llama.cpp's Q4_1 and of ONNX
// Runtime's accuracy level 4: inputs are rounded to 8 bits by block, integers are multiplied exactly, and the blocks are
// added in order in float32, so that a row gives the same bits in any company. Of weights that have one scale for each output (the
// form row8), inputs share a scale, and integers a sum, over four blocks.
#include "tile_amd64.h"
#include "variant.h"

// centring_of is what centres the codes of weights, times a sum of codes.
INLINE int32_t centring_of(const matrix *m, int32_t sum) { return -sum * (1 << (m->bits - 1)); }

// codes_of rounds values, times what makes the largest 127. What is no number then, as of infinite values and those so small
// that 127 / most is infinite, has the code -127, too: there is no -128, which AVX2 could not multiply exactly.
INLINE ints codes_of(floats x, floats inverse) { return larger_ints(to_ints(times(x, inverse)), broadcast_int(-127)); }

// round_row rounds a row to codes, scales and sums. A matrix without minima wants the sums of codes times what centres
// its codes, as integers. A block with NaN has the scale NaN, so that all that the row is multiplied to is NaN.
VECTOR static void round_row(const matrix *m, const float *x, int8_t *codes, float *scales, block_sum *sums) {
	const int blocks = m->blocks, length = m->length;
	for (int b = 0; b < blocks; b++, x += length, codes += length) {
		floats x0 = load(x), x1 = length == short_block ? broadcast(0) : load(x + 16);
		// Magnitudes have the order of their bits as integers, with NaN above infinity. As floats, max may lose NaN.
		const ints bits0 = magnitude_bits(x0), bits1 = magnitude_bits(x1);
		const int bits = largest_int_lane(larger_ints(bits0, bits1));
		const float most = float_of(bits);
		floats inverse = broadcast(most > 0 ? 127 / most : 0);
		const ints q0 = codes_of(x0, inverse), q1 = length == short_block ? broadcast_int(0) : codes_of(x1, inverse);
		store_bytes(codes, q0);
		if (length != short_block) store_bytes(codes + 16, q1);
		scales[b] = most / 127;
		const int sum = sum_int_lanes(plus_ints(q0, q1));
		if (m->minima) {
			sums[b].scaled = scales[b] * (float)sum;
		} else {
			sums[b].centring = centring_of(m, sum);
		}
	}
}

// round_groups rounds a row for weights that have a scale for each output: blocks share one, group_blocks at a time.
VECTOR static void round_groups(const matrix *m, const float *x, int8_t *codes, float *scales, block_sum *sums) {
	for (int left = m->in; left > 0; left -= group_blocks * long_block) {
		const int n = left < group_blocks * long_block ? left : group_blocks * long_block;
		ints largest = broadcast_int(0), sum = broadcast_int(0);
		for (int i = 0; i < n; i += 16) largest = larger_ints(largest, magnitude_bits(load(x + i))); // as above
		const float most = float_of(largest_int_lane(largest));
		const floats inverse = broadcast(most > 0 ? 127 / most : 0);
		for (int i = 0; i < n; i += 16) {
			const ints q = codes_of(load(x + i), inverse);
			store_bytes(codes + i, q);
			sum = plus_ints(sum, q);
		}
		*scales++ = most / 127;
		(sums++)->centring = centring_of(m, sum_int_lanes(sum));
		x += n, codes += n;
	}
}

// tile multiplies one tile with R rows, each of room for `pitch` blocks. All but the pointers are constants where it is
// called.
INLINE void tile(const uint8_t *block, int blocks, size_t pitch, size_t block_size, const int8_t *codes, const float *scales,
                 const block_sum *sums, floats *sum, const int R, const int bits, const int half, const int minima, const int length) {
	const int codes_size = tile_columns * length * bits / 8, vector = half ? 32 : 64;
	floats acc[row_tile];
#pragma GCC unroll 8
	for (int r = 0; r < R; r++) acc[r] = broadcast(0);
	for (int b = 0; b < blocks; b++, block += block_size) {
		fetch_ahead(block, codes_size + vector * (1 + minima), R);
		const uint8_t *at = block + codes_size;
		floats d = half ? load_halves((const uint16_t *)at) : load((const float *)at), m;
		if (minima) m = half ? load_halves((const uint16_t *)(at + vector)) : load((const float *)(at + vector));
		ints product[row_tile];
#pragma GCC unroll 8
		for (int r = 0; r < R; r++) product[r] = broadcast_int(minima ? 0 : sums[r * pitch + b].centring);
		multiply_block(block, bits, length, codes + b * length, pitch * short_block, R, product);
#pragma GCC unroll 8
		for (int r = 0; r < R; r++) {
			floats scale = times(d, broadcast(scales[r * pitch + b]));
			acc[r] = multiply_add(to_floats(product[r]), scale, acc[r]);
			if (minima) acc[r] = multiply_add(m, broadcast(sums[r * pitch + b].scaled), acc[r]);
		}
	}
#pragma GCC unroll 8
	for (int r = 0; r < R; r++) sum[r] = acc[r];
}

// tile_by_output multiplies one tile whose outputs have a scale each: sums of integers are converted once a group.
INLINE void tile_by_output(const uint8_t *block, int blocks, size_t pitch, size_t block_size, const int8_t *codes, const float *scales,
                           const block_sum *sums, floats *sum, const int R) {
	floats acc[row_tile];
#pragma GCC unroll 8
	for (int r = 0; r < R; r++) acc[r] = broadcast(0);
	for (int b = 0, g = 0; b < blocks; g++) {
		ints product[row_tile];
#pragma GCC unroll 8
		for (int r = 0; r < R; r++) product[r] = broadcast_int(sums[r * pitch + g].centring);
		for (const int end = b + group_blocks < blocks ? b + group_blocks : blocks; b < end; b++, block += block_size) {
			fetch_ahead(block, tile_columns * long_block, R);
			multiply_block(block, 8, long_block, codes + b * long_block, pitch * short_block, R, product);
		}
#pragma GCC unroll 8
		for (int r = 0; r < R; r++) acc[r] = multiply_add(to_floats(product[r]), broadcast(scales[r * pitch + g]), acc[r]);
	}
	const floats d = load((const float *)block);
#pragma GCC unroll 8
	for (int r = 0; r < R; r++) sum[r] = times(acc[r], d);
}

typedef void (*tile_function)(const uint8_t *, int, size_t, size_t, const int8_t *, const float *, const block_sum *, floats *);

#define NAME(R, bits, half, minima, length) tile_##R##_##bits##_##half##_##minima##_##length
#define TILE(R, bits, half, minima, length)                                                                                   \
	VECTOR static void NAME(R, bits, half, minima, length)(const uint8_t *block, int blocks, size_t pitch, size_t block_size,  \
	                                                      const int8_t *codes, const float *scales, const block_sum *sums,   \
	                                                      floats *sum) {                                                     \
		tile(block, blocks, pitch, block_size, codes, scales, sums, sum, R, bits, half, minima, length);                       \
	}
#define TILES(bits, half, minima, length) EACH_COUNT(TILE, bits, half, minima, length)
#define KINDS(length)                                                                                     \
	TILES(4, 0, 0, length) TILES(4, 0, 1, length) TILES(4, 1, 0, length) TILES(4, 1, 1, length)             \
	TILES(8, 0, 0, length) TILES(8, 0, 1, length) TILES(8, 1, 0, length) TILES(8, 1, 1, length)
KINDS(32) KINDS(16)

#define TILE_BY_OUTPUT(R, ...)                                                                                             \
	VECTOR static void tile_by_output_##R(const uint8_t *block, int blocks, size_t pitch, size_t block_size,                 \
	                                      const int8_t *codes, const float *scales, const block_sum *sums, floats *sum) {    \
		tile_by_output(block, blocks, pitch, block_size, codes, scales, sums, sum, R);                                         \
	}
EACH_COUNT(TILE_BY_OUTPUT, )

#define ENTRY(R, ...) NAME(R, __VA_ARGS__),
#define ROWS(bits, half, minima, length) {NULL, EACH_COUNT(ENTRY, bits, half, minima, length)}
#define ALL(length)                                                                                                   \
	{                                                                                                                   \
		{{ROWS(4, 0, 0, length), ROWS(4, 0, 1, length)}, {ROWS(4, 1, 0, length), ROWS(4, 1, 1, length)}},                 \
		{{ROWS(8, 0, 0, length), ROWS(8, 0, 1, length)}, {ROWS(8, 1, 0, length), ROWS(8, 1, 1, length)}},                 \
	}
// By whether blocks are short, by whether codes have 8 bits, by half, by minima, by the number of rows.
static const tile_function tiles[2][2][2][2][row_tile + 1] = {ALL(32), ALL(16)};
#define ENTRY_BY_OUTPUT(R, ...) tile_by_output_##R,
static const tile_function tiles_by_output[row_tile + 1] = {NULL, EACH_COUNT(ENTRY_BY_OUTPUT, )};

void VARIANT(round)(const matrix *m, const state *s, const float *x, int first, int end) {
	for (size_t r = first; r < (size_t)end; r++) {
		const size_t at = r * s->max_blocks;
		(m->by_output ? round_groups : round_row)(m, x + r * m->in, s->codes + at * short_block, s->scales + at, s->sums + at);
	}
}

// gate gives act(g)·v. Both activations are x·sigmoid(f(x)): of GELU's approximation by a tanh, f(x) = sqrt(8/π)·(x +
// 0.044715·x³). NaN stays NaN, since x is a factor.
INLINE floats gate(floats g, floats v, const float *bias, const int kind) {
	if (bias) {
		g = plus(g, load(bias));
		v = plus(v, load(bias + tile_columns));
	}
	floats f = g;
	if (kind == gate_gelu_tanh) {
		const floats cube = times(times(g, g), times(g, broadcast(0.044715f)));
		f = times(broadcast(1.59576912f), plus(g, cube));
	}
	floats one = broadcast(1), e = exponential(smaller(minus(broadcast(0), f), broadcast(88)));
	return times(divided(g, plus(one, e)), v);
}

VECTOR void VARIANT(multiply)(const matrix *m, const state *s, float *y, int pitch, int first_row, int end_row, size_t first_tile, size_t end_tile) {
	const tile_function *functions = m->by_output ? tiles_by_output : tiles[m->length == short_block][m->bits == 8][m->half][m->minima];
	const size_t tile_size = sluice_tile_size(m);
	for (size_t t = first_tile; t < end_tile; t++) {
		const int left = m->out - (int)t * tile_columns, columns = left < tile_columns ? left : tile_columns;
		for (int r = first_row; r < end_row;) {
			const int n = end_row - r < row_tile ? end_row - r : row_tile;
			const size_t row = (size_t)r * s->max_blocks;
			const int8_t *codes = s->codes + row * short_block;
			const float *scales = s->scales + row;
			const block_sum *sums = s->sums + row;
			floats v[row_tile], g[row_tile];
			const uint8_t *block = m->tiles + t * tile_size * (m->gated ? 2 : 1);
			if (m->gated) {
				functions[n](block, m->blocks, s->max_blocks, m->block_size, codes, scales, sums, g);
				block += tile_size;
			}
			functions[n](block, m->blocks, s->max_blocks, m->block_size, codes, scales, sums, v);
			float *at = y + (size_t)r * pitch + t * tile_columns;
			for (int i = 0; i < n; i++, at += pitch) {
				if (m->gated) {
					store_first(at, gate(g[i], v[i], m->bias ? m->bias + 2 * t * tile_columns : NULL, m->gated), columns);
				} else {
					store_first(at, ended(v[i], m->bias ? m->bias + t * tile_columns : NULL, m->cap), columns);
				}
			}
			r += n;
		}
	}
}
