// The head of a model in two planes: of each code of 8 bits the high half lies in one, in tiles with their scales, and the low
// half in another. A row of which only the best logit is read is multiplied by the high halves, as if each low one were what
// they are in the mean, and then by both halves where a logit may be the best. So it reads little more than half of the bytes,
// which are most of a step of one row where the vocabulary is large.
//
// What the first product leaves out of a logit is a sum of hundreds of parts that know nothing of each other: low halves of
// codes, which are spread evenly whatever the weights are, times inputs. Such a sum has a normal distribution. Its variance is
// summed up with the logit, group of blocks by group, of the squares of the inputs, of the largest scale and of what low halves are
// off: one block may have nearly all of the inputs, and a scale far from the others. (A sum for each block would be a ninth of what
// many rows take.) (If one input has nearly all, the distribution is
// that of a low half, which is narrower.) The logit lies within `deviations` of what the high halves gave, its margin. The row's
// bound is the most that a logit is at least, by these margins. Tiles with one that may come up to the bound are computed from the
// integers, and in the order, from which a head in one plane is. The other logits are left at the upper ends of their margins,
// below the bound.
//
// A margin may be wrong, if what low halves are does depend on the inputs. If a bound is too high, no logit reaches it: then all of
// the row is computed by both planes. So what is left below the bound is below the best, but for a logit that is above its own
// margin, once in 10^9.
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

// Of 30 million logits of two models the furthest was 5.6 deviations off: as far as a normal distribution has it. For a best logit to
// be left out unseen, it must be more than 6 above what the high halves gave, once in 10^9, and the one that made the bound be off
// as far the other way, but for what lies between the two.
static const float deviations = 6;

// What rows are multiplied by: those from one on, `pitch` blocks apart.
typedef struct {
	const int8_t *codes;
	const float *scales, *squares;
	const block_sum *sums;
	size_t pitch;
} inputs;

// head_tile multiplies one tile with R rows, as tile of matmul_amd64.c does: by both planes, or by the high one. Then it gives
// the variances of what is left out, too, for low halves of variance 1 and a margin of 1.
INLINE void head_tile(const uint8_t *high, const uint8_t *low, int blocks, const inputs *x, floats *sum, floats *variance, const int R, const int half,
                      const int both_planes) {
	const int block_size = half_block + tile_columns * (half ? 2 : 4);
	const size_t pitch = x->pitch;
	const int8_t *codes = x->codes;
	const float *scales = x->scales, *squares = x->squares;
	const block_sum *sums = x->sums;
	floats acc[row_tile], left[row_tile], most = broadcast(0); // of the squares of a group's scales
#pragma GCC unroll 8
	for (int r = 0; r < R; r++) acc[r] = left[r] = broadcast(0);
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
		if (both_planes) continue;
		most = larger(most, times(d, d));
		if ((b + 1) % group_blocks != 0 && b + 1 < blocks) continue;
#pragma GCC unroll 8
		for (int r = 0; r < R; r++) left[r] = multiply_add(most, broadcast(squares[r * pitch + b / group_blocks]), left[r]);
		most = broadcast(0);
	}
#pragma GCC unroll 8
	for (int r = 0; r < R; r++) {
		sum[r] = acc[r];
		if (!both_planes) variance[r] = left[r];
	}
}

typedef void (*head_function)(const uint8_t *, const uint8_t *, int, const inputs *, floats *, floats *);

#define HEAD(R, half, both_planes)                                                                                                          \
	VECTOR static void head_##R##_##half##_##both_planes(const uint8_t *high, const uint8_t *low, int blocks, const inputs *x, floats *sum,   \
	                                                     floats *variance) {                                                               \
		head_tile(high, low, blocks, x, sum, variance, R, half, both_planes);                                                                  \
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

static float value_of(const uint32_t *bits) {
	const uint32_t now = atomic_load_explicit((_Atomic(uint32_t) *)bits, memory_order_relaxed);
	float v;
	memcpy(&v, &now, sizeof v);
	return v;
}

// raise_to lets a row's value be at least the largest of v. The greatest of all values is the same in any order.
INLINE void raise_to(uint32_t *value, floats v) {
	if (none_above(v, broadcast(value_of(value)))) return;
	_Atomic(uint32_t) *at = (_Atomic(uint32_t) *)value;
	const float most = largest_lane(v);
	uint32_t bits, old = atomic_load_explicit(at, memory_order_relaxed);
	memcpy(&bits, &most, sizeof bits);
	for (float now;;) {
		memcpy(&now, &old, sizeof now);
		if (!(most > now) || atomic_compare_exchange_weak_explicit(at, &old, bits, memory_order_relaxed, memory_order_relaxed)) return;
	}
}

// first_of is v where the last tile has outputs, and the least elsewhere.
INLINE floats first_of(floats v, int columns) {
	return columns == tile_columns ? v : where_below(lane_numbers(), broadcast_int(columns), v, broadcast(-INFINITY));
}

// tile_of loads a row's logits of a tile.
INLINE floats tile_of(const float *y, int columns) {
	if (columns == tile_columns) return load(y);
	float padded[tile_columns] = {0};
	memcpy(padded, y, columns * sizeof *y);
	return first_of(load(padded), columns);
}

// How rows are multiplied: by both planes; by the high one, to upper ends of margins, and what is at least the best raises the
// bound; by both, and the best is noted.
typedef enum { whole, bounding, refining } way;

// multiply_rows makes a tile of some rows.
VECTOR static void multiply_rows(const matrix *m, const state *s, float *y, int pitch, int first, int end, size_t tile, way by) {
	const uint8_t *high = m->tiles + tile * m->blocks * m->block_size, *low = m->low + tile * m->blocks * half_block;
	const float *bias = m->bias ? m->bias + tile * tile_columns : NULL;
	const int columns = columns_of(m, tile);
	for (int r = first; r < end;) {
		const int n = end - r < row_tile ? end - r : row_tile;
		const size_t row = (size_t)r * s->max_blocks;
		const inputs x = {s->codes + row * short_block, s->scales + row, s->squares + row, s->sums + row, s->max_blocks};
		floats v[row_tile], variance[row_tile];
		heads[m->half][by != bounding][n](high, low, m->blocks, &x, v, variance);
		for (int i = 0; i < n; i++, r++) {
			v[i] = ended(v[i], bias, m->cap);
			if (by == bounding) {
				const floats margin = times(times(broadcast(s->margins[r]), load(m->spread + tile * tile_columns)), square_root(variance[i]));
				raise_to(&s->bounds[r], first_of(minus(v[i], margin), columns));
				v[i] = plus(v[i], margin);
			} else if (by == refining) {
				raise_to(&s->bests[r], first_of(v[i], columns));
			}
			store_first(y + (size_t)r * pitch + tile * tile_columns, v[i], columns);
		}
	}
}

void VARIANT(multiply_head)(const matrix *m, const state *s, float *y, int pitch, int first_row, int end_row, size_t first_tile, size_t end_tile) {
	for (size_t t = first_tile; t < end_tile; t++) {
		for (int r = first_row, next; r < end_row; r = next) {
			for (next = r + 1; next < end_row && s->greedy[next] == s->greedy[r]; next++) {}
			multiply_rows(m, s, y, pitch, r, next, t, s->greedy[r] ? bounding : whole);
		}
	}
}

void VARIANT(begin_head)(const matrix *m, const state *s, int first_row, int end_row) {
	static const float least = -INFINITY;
	for (int r = first_row; r < end_row; r++) {
		const size_t at = (size_t)r * s->max_blocks;
		const int8_t *codes = s->codes + at * short_block;
		const float *scales = s->scales + at;
		float most = 0; // the squares of small scales would be 0. Without numbers, or with zeros alone, squares are NaN
		for (int b = 0; b < m->blocks; b++) most = scales[b] > most ? scales[b] : most;
		for (int b = 0; b < m->blocks; b++, codes += long_block) {
			int32_t sum = 0;
			for (int i = 0; i < long_block; i++) sum += codes[i] * codes[i];
			const float scale = scales[b] / most, square = scale * scale * (float)sum;
			float *group = &s->squares[at + b / group_blocks];
			*group = b % group_blocks == 0 ? square : *group + square;
		}
		s->margins[r] = deviations * most;
		memcpy(&s->bounds[r], &least, sizeof least);
		memcpy(&s->bests[r], &least, sizeof least);
	}
}

// candidates are those of at most scan_tiles tiles, from the first on, of which a logit may be a row's best: a bit each. A logit
// that is no number may be.
INLINE uint64_t candidates(const matrix *m, const state *s, const float *y, int row, size_t first, size_t end) {
	uint64_t found = 0;
	if (!s->greedy[row]) return found; // all have been computed
	const floats bound = broadcast(value_of(&s->bounds[row]));
	for (size_t t = first; t < end; t++) {
		if (!all_below(tile_of(y + t * tile_columns, columns_of(m, t)), bound)) found |= (uint64_t)1 << (t - first);
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
			if (next > i) multiply_rows(m, s, y, pitch, first_row + i, first_row + next, first + t, refining);
		}
	}
}

void VARIANT(refine_head)(const matrix *m, const state *s, float *y, int pitch, int first_row, int end_row, size_t first_tile, size_t end_tile) {
	for (size_t t = first_tile; t < end_tile; t += scan_tiles) {
		const size_t end = end_tile - t < scan_tiles ? end_tile : t + scan_tiles;
		for (int r = first_row; r < end_row; r += scan_rows) refine(m, s, y, pitch, r, end_row - r < scan_rows ? end_row : r + scan_rows, t, end);
	}
}

// missed says whether a row's best logit is below its bound: then another may be the best.
static int missed(const state *s, int row) { return s->greedy[row] && !(value_of(&s->bests[row]) >= value_of(&s->bounds[row])); }

void VARIANT(complete_head)(const matrix *m, const state *s, float *y, int pitch, int first_row, int end_row, size_t first_tile, size_t end_tile) {
	for (int r = first_row, next; r < end_row; r = next + 1) {
		for (next = r; next < end_row && missed(s, next); next++) {}
		for (size_t t = first_tile; next > r && t < end_tile; t++) multiply_rows(m, s, y, pitch, r, next, t, whole);
	}
}
