// The head of a model in two planes: of each code of 8 bits the high half lies in one, in tiles with their scales, and the low
// half in another. A row of which only the best logit is read is multiplied by the high halves, as if each low one were what
// they are in the mean, and then by both halves where a logit may be the best. So it reads little more than half of the bytes,
// which are most of a step of one row where the vocabulary is large.
//
// What the first product leaves out of a logit is a sum of hundreds of parts that know nothing of each other: low halves of
// codes, which are spread evenly whatever the weights are, times inputs. Such a sum has a normal distribution, whose deviation
// follows from the input's norm and from the low halves' own. Tiles with a logit that may be the best at `deviations` of it are
// computed from the integers, and in the order, from which a head in one plane is. The other logits keep what the high halves gave,
// and are below the best.
//
// All of that depends on the row alone.
#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "tile_amd64.h"
#include "variant.h"

enum {
	scan_tiles = 64, // of which it is seen at once, in so many rows, whether they have the best logit
	scan_rows = 64,
};

// Of 30 million logits of two models the furthest was 5.6 deviations off: as far as a normal distribution has it. 6 of them leave
// out the best logit of a row once in some 10^9 rows.
static const float deviations = 6;

// head_tile multiplies one tile with R rows, as tile of matmul_amd64.c does: by both planes, or by the high one.
INLINE void head_tile(const uint8_t *high, const uint8_t *low, int blocks, size_t pitch, const int8_t *codes, const float *scales, const block_sum *sums,
                      floats *sum, const int R, const int half, const int both_planes) {
	const int block_size = half_block + tile_columns * (half ? 2 : 4);
	floats acc[row_tile];
#pragma GCC unroll 8
	for (int r = 0; r < R; r++) acc[r] = broadcast(0);
	for (int b = 0; b < blocks; b++, high += block_size, low += half_block) {
		fetch_ahead(high, block_size, R);
		if (both_planes) fetch_ahead(low, half_block, R);
		const uint8_t *at = high + half_block;
		const floats d = half ? load_halves((const uint16_t *)at) : load((const float *)at);
		ints product[row_tile];
#pragma GCC unroll 8
		for (int r = 0; r < R; r++) {
			// What centres codes is -128 times the sum of the inputs'. Low halves are 7.5 in the mean: then it is -120.5 times.
			const int32_t centring = sums[r * pitch + b].centring;
			product[r] = broadcast_int(both_planes ? centring : (int32_t)((int64_t)centring * 241 >> 8));
		}
		multiply_halves(high, low, codes + b * long_block, pitch * short_block, R, both_planes, product);
#pragma GCC unroll 8
		for (int r = 0; r < R; r++) acc[r] = multiply_add(to_floats(product[r]), times(d, broadcast(scales[r * pitch + b])), acc[r]);
	}
#pragma GCC unroll 8
	for (int r = 0; r < R; r++) sum[r] = acc[r];
}

typedef void (*head_function)(const uint8_t *, const uint8_t *, int, size_t, const int8_t *, const float *, const block_sum *, floats *);

#define HEAD(R, half, both_planes)                                                                                                          \
	VECTOR static void head_##R##_##half##_##both_planes(const uint8_t *high, const uint8_t *low, int blocks, size_t pitch, const int8_t *codes, \
	                                                     const float *scales, const block_sum *sums, floats *sum) {                          \
		head_tile(high, low, blocks, pitch, codes, scales, sums, sum, R, half, both_planes);                                                   \
	}
EACH_COUNT(HEAD, 0, 0) EACH_COUNT(HEAD, 0, 1) EACH_COUNT(HEAD, 1, 0) EACH_COUNT(HEAD, 1, 1)

#define ENTRY(R, half, both_planes) head_##R##_##half##_##both_planes,
#define ROWS(half, both_planes) {NULL, EACH_COUNT(ENTRY, half, both_planes)}
// By half, by whether both planes are read, by the number of rows.
static const head_function heads[2][2][row_tile + 1] = {{ROWS(0, 0), ROWS(0, 1)}, {ROWS(1, 0), ROWS(1, 1)}};

static int columns_of(const matrix *m, size_t tile) {
	const int left = m->out - (int)tile * tile_columns;
	return left < tile_columns ? left : tile_columns;
}

// raise lets a row's bound be at least v. The greatest of all values is the same in any order.
static void raise(float *bound, float v) {
	_Atomic(uint32_t) *at = (_Atomic(uint32_t) *)bound;
	uint32_t bits, old = atomic_load_explicit(at, memory_order_relaxed);
	memcpy(&bits, &v, sizeof bits);
	for (float now;;) {
		memcpy(&now, &old, sizeof now);
		if (!(v > now) || atomic_compare_exchange_weak_explicit(at, &old, bits, memory_order_relaxed, memory_order_relaxed)) return;
	}
}

static float bound_of(const float *bound) {
	const uint32_t bits = atomic_load_explicit((_Atomic(uint32_t) *)bound, memory_order_relaxed);
	float v;
	memcpy(&v, &bits, sizeof v);
	return v;
}

// tile_of loads a row's logits of a tile. Where the last tile has none, they are the least.
INLINE floats tile_of(const float *y, int columns) {
	if (columns == tile_columns) return load(y);
	float padded[tile_columns];
	store(padded, broadcast(-INFINITY));
	memcpy(padded, y, columns * sizeof *y);
	return load(padded);
}

// multiply_rows makes a tile of some rows. By the high plane alone, it sees how high their best logits are at least.
VECTOR static void multiply_rows(const matrix *m, const state *s, float *y, int pitch, int first, int end, size_t tile, int both_planes) {
	const uint8_t *high = m->tiles + tile * m->blocks * m->block_size, *low = m->low + tile * m->blocks * half_block;
	const float *bias = m->bias ? m->bias + tile * tile_columns : NULL;
	const int columns = columns_of(m, tile);
	for (int r = first; r < end;) {
		const int n = end - r < row_tile ? end - r : row_tile;
		const size_t row = (size_t)r * s->max_blocks;
		floats v[row_tile];
		heads[m->half][both_planes][n](high, low, m->blocks, s->max_blocks, s->codes + row * short_block, s->scales + row, s->sums + row, v);
		for (int i = 0; i < n; i++, r++) {
			float *at = y + (size_t)r * pitch + tile * tile_columns;
			v[i] = ended(v[i], bias, m->cap);
			store_first(at, v[i], columns);
			if (both_planes) continue;
			if (columns < tile_columns) v[i] = tile_of(at, columns);
			const floats least = subtract_product(v[i], broadcast(s->margins[r]), load(m->spread + tile * tile_columns));
			if (!none_above(least, broadcast(bound_of(&s->bounds[r])))) raise(&s->bounds[r], largest_lane(least));
		}
	}
}

void VARIANT(multiply_head)(const matrix *m, const state *s, float *y, int pitch, int first_row, int end_row, size_t first_tile, size_t end_tile) {
	for (size_t t = first_tile; t < end_tile; t++) {
		for (int r = first_row, next; r < end_row; r = next) {
			for (next = r + 1; next < end_row && s->greedy[next] == s->greedy[r]; next++) {}
			multiply_rows(m, s, y, pitch, r, next, t, !s->greedy[r]);
		}
	}
}

// norm_of is that of a row as it was rounded; NaN where there are no numbers, or zeros alone. Squares of small scales would be 0.
VECTOR static float norm_of(const matrix *m, const int8_t *codes, const float *scales) {
	float most = 0, square = 0;
	for (int b = 0; b < m->blocks; b++) most = scales[b] > most ? scales[b] : most;
	for (int b = 0; b < m->blocks; b++, codes += long_block) {
		int32_t sum = 0;
		for (int i = 0; i < long_block; i++) sum += codes[i] * codes[i];
		const float scale = scales[b] / most;
		square += scale * scale * (float)sum;
	}
	return most * first_lane(square_root(broadcast(square)));
}

void VARIANT(begin_head)(const matrix *m, const state *s, int first_row, int end_row) {
	for (int r = first_row; r < end_row; r++) {
		const size_t at = (size_t)r * s->max_blocks;
		s->margins[r] = deviations * norm_of(m, s->codes + at * short_block, s->scales + at);
		s->bounds[r] = -INFINITY;
	}
}

// candidates are those of at most scan_tiles tiles, from the first on, of which a logit may be a row's best: a bit each. A logit
// that is no number may be.
INLINE uint64_t candidates(const matrix *m, const state *s, const float *y, int row, size_t first, size_t end) {
	uint64_t found = 0;
	if (!s->greedy[row]) return found; // all have been computed
	const floats margin = broadcast(s->margins[row]), bound = broadcast(s->bounds[row]);
	for (size_t t = first; t < end; t++) {
		const floats v = tile_of(y + t * tile_columns, columns_of(m, t));
		if (!all_below(multiply_add(margin, load(m->spread + t * tile_columns), v), bound)) found |= (uint64_t)1 << (t - first);
	}
	return found;
}

// refine makes the tiles of some rows that may have the best logit. Rows of logits are far apart: it reads some of each at once.
VECTOR static void refine(const matrix *m, const state *s, float *y, int pitch, int first_row, int end_row, size_t first, size_t end) {
	uint64_t found[scan_rows + 1], any = 0;
	const int rows = end_row - first_row;
	for (int i = 0; i < rows; i++) any |= found[i] = candidates(m, s, y + (size_t)(first_row + i) * pitch, first_row + i, first, end);
	found[rows] = 0;
	for (; any; any &= any - 1) {
		const int t = __builtin_ctzll(any);
		for (int i = 0, next; i < rows; i = next + 1) {
			for (next = i; found[next] >> t & 1; next++) {}
			if (next > i) multiply_rows(m, s, y, pitch, first_row + i, first_row + next, first + t, 1);
		}
	}
}

void VARIANT(refine_head)(const matrix *m, const state *s, float *y, int pitch, int first_row, int end_row, size_t first_tile, size_t end_tile) {
	for (size_t t = first_tile; t < end_tile; t += scan_tiles) {
		const size_t end = end_tile - t < scan_tiles ? end_tile : t + scan_tiles;
		for (int r = first_row; r < end_row; r += scan_rows) refine(m, s, y, pitch, r, end_row - r < scan_rows ? end_row : r + scan_rows, t, end);
	}
}
