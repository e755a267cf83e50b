// Products with weights in blocks, on AVX-512 VNNI. The way of computing is that of llama.cpp's Q4_1 and of ONNX
// Runtime's accuracy level 4: inputs are rounded to 8 bits by block, integers are multiplied exactly, and the blocks are
// added in order in float32, so that a row gives the same bits in any company.
#include "kernels.h"
#include "vector.h"

enum {
	row_tile = 8, // rows that share what was unpacked of a block
};

int sluice_supported(void) {
	__builtin_cpu_init();
	return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
	       __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("fma");
}

// round_row rounds a row to codes, scales and sums. A matrix without minima wants the sums of codes times what centres
// its codes, as integers.
VECTOR static void round_row(const matrix *m, const float *x, int8_t *codes, float *scales, block_sum *sums) {
	const int blocks = m->blocks, centre = -(1 << (m->bits - 1));
	for (int b = 0; b < blocks; b++, x += block_length, codes += block_length) {
		__m512 x0 = _mm512_loadu_ps(x), x1 = _mm512_loadu_ps(x + 16);
		float most = _mm512_reduce_max_ps(_mm512_max_ps(_mm512_abs_ps(x0), _mm512_abs_ps(x1)));
		__m512 inverse = _mm512_set1_ps(most > 0 ? 127 / most : 0);
		__m512i q0 = _mm512_cvtps_epi32(_mm512_mul_ps(x0, inverse)), q1 = _mm512_cvtps_epi32(_mm512_mul_ps(x1, inverse));
		_mm_storeu_si128((__m128i *)codes, _mm512_cvtsepi32_epi8(q0));
		_mm_storeu_si128((__m128i *)(codes + 16), _mm512_cvtsepi32_epi8(q1));
		scales[b] = most / 127;
		const int sum = _mm512_reduce_add_epi32(_mm512_add_epi32(q0, q1));
		if (m->minima) {
			sums[b].scaled = scales[b] * (float)sum;
		} else {
			sums[b].centring = centre * sum;
		}
	}
}

// unpack gives the codes of a block as eight vectors, each of four inputs of the tile's outputs.
INLINE void unpack(const uint8_t *block, int bits, __m512i w[8]) {
	const __m512i low = _mm512_set1_epi8(15);
	for (int i = 0; i < (bits == 4 ? 4 : 8); i++) {
		__m512i v = _mm512_loadu_si512(block + 64 * i);
		if (bits == 4) {
			w[2 * i] = _mm512_and_si512(v, low);
			w[2 * i + 1] = _mm512_and_si512(_mm512_srli_epi16(v, 4), low);
		} else {
			w[i] = v;
		}
	}
}

// add_products adds products of four codes of inputs with those of 16 outputs. Compilers load the four into a register and
// spread them from there, which takes a third of the time of the whole.
INLINE __m512i add_products(__m512i sum, __m512i w, const int8_t *codes) {
	__asm__("vpdpbusd %2%{1to16%}, %1, %0" : "+v"(sum) : "v"(w), "m"(*(const int32_t(*)[1])codes));
	return sum;
}

// fetch_ahead asks for the weights that come soon: the next tiles follow in memory, and what lies behind the last does not
// fault. A product of few rows waits for memory, and has it best brought close; with many, the second level of the cache
// is close enough, and what the rows need in the first stays there.
INLINE void fetch_ahead(const uint8_t *block, const int size, const int R) {
#pragma GCC unroll 10
	for (int i = 0; i < size; i += 64) {
		if (R <= 2) {
			_mm_prefetch((const char *)block + 4096 + i, _MM_HINT_T0);
		} else {
			_mm_prefetch((const char *)block + 8192 + i, _MM_HINT_T1);
		}
	}
}

// tile multiplies one tile with R rows. Everything but the pointers is a constant where it is called.
INLINE void tile(const uint8_t *block, int blocks, size_t block_size, const int8_t *codes, const float *scales,
                 const block_sum *sums, __m512 *sum, const int R, const int bits, const int half, const int minima) {
	const int codes_size = tile_columns * block_length * bits / 8, vector = half ? 32 : 64;
	__m512 acc[row_tile];
#pragma GCC unroll 8
	for (int r = 0; r < R; r++) acc[r] = _mm512_setzero_ps();
	for (int b = 0; b < blocks; b++, block += block_size) {
		__m512i w[8];
		unpack(block, bits, w);
		fetch_ahead(block, codes_size + vector * (1 + minima), R);
		const uint8_t *at = block + codes_size;
		__m512 d = half ? halves((const uint16_t *)at) : _mm512_loadu_ps((const float *)at), m;
		if (minima) m = half ? halves((const uint16_t *)(at + vector)) : _mm512_loadu_ps((const float *)(at + vector));
		__m512i product[row_tile];
#pragma GCC unroll 8
		for (int r = 0; r < R; r++) product[r] = _mm512_set1_epi32(minima ? 0 : sums[(size_t)r * blocks + b].centring);
#pragma GCC unroll 8
		for (int i = 0; i < 8; i++)
#pragma GCC unroll 8
			for (int r = 0; r < R; r++) product[r] = add_products(product[r], w[i], codes + ((size_t)r * blocks + b) * block_length + 4 * i);
#pragma GCC unroll 8
		for (int r = 0; r < R; r++) {
			__m512 scale = _mm512_mul_ps(d, _mm512_set1_ps(scales[(size_t)r * blocks + b]));
			acc[r] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(product[r]), scale, acc[r]);
			if (minima) acc[r] = _mm512_fmadd_ps(m, _mm512_set1_ps(sums[(size_t)r * blocks + b].scaled), acc[r]);
		}
	}
#pragma GCC unroll 8
	for (int r = 0; r < R; r++) sum[r] = acc[r];
}

typedef void (*tile_function)(const uint8_t *, int, size_t, const int8_t *, const float *, const block_sum *, __m512 *);

#define TILE(R, bits, half, minima)                                                                                              \
	VECTOR static void tile_##R##_##bits##_##half##_##minima(const uint8_t *block, int blocks, size_t block_size,                 \
	                                                        const int8_t *codes, const float *scales, const block_sum *sums,    \
	                                                        __m512 *sum) {                                                      \
		tile(block, blocks, block_size, codes, scales, sums, sum, R, bits, half, minima);                                         \
	}
#define TILES(bits, half, minima)                                                                                     \
	TILE(1, bits, half, minima) TILE(2, bits, half, minima) TILE(3, bits, half, minima) TILE(4, bits, half, minima) \
	TILE(5, bits, half, minima) TILE(6, bits, half, minima) TILE(7, bits, half, minima) TILE(8, bits, half, minima)
TILES(4, 0, 0) TILES(4, 0, 1) TILES(4, 1, 0) TILES(4, 1, 1) TILES(8, 0, 0) TILES(8, 0, 1) TILES(8, 1, 0) TILES(8, 1, 1)

#define NAME(R, bits, half, minima) tile_##R##_##bits##_##half##_##minima
#define ROWS(bits, half, minima)                                                                                            \
	{ NULL, NAME(1, bits, half, minima), NAME(2, bits, half, minima), NAME(3, bits, half, minima), NAME(4, bits, half, minima), \
	  NAME(5, bits, half, minima), NAME(6, bits, half, minima), NAME(7, bits, half, minima), NAME(8, bits, half, minima) }
// By whether codes have 8 bits, by half, by minima, by the number of rows.
static const tile_function tiles[2][2][2][row_tile + 1] = {
	{{ROWS(4, 0, 0), ROWS(4, 0, 1)}, {ROWS(4, 1, 0), ROWS(4, 1, 1)}},
	{{ROWS(8, 0, 0), ROWS(8, 0, 1)}, {ROWS(8, 1, 0), ROWS(8, 1, 1)}},
};

// One call of sluice_multiply.
typedef struct {
	const matrix *m;
	const state *s;
	const float *x;
	float *y;
	int rows, parts;
} product;

static void round_rows(const product *p, int first, int end) {
	const matrix *m = p->m;
	for (size_t r = first; r < (size_t)end; r++) {
		round_row(m, p->x + r * m->in, p->s->codes + r * m->in, p->s->scales + r * m->blocks, p->s->sums + r * m->blocks);
	}
}

// store writes one row of a tile's results. gate is that of the tile of gates before, if the matrix is gated.
INLINE void store(float *y, __mmask16 mask, __m512 v, const float *bias) {
	if (bias) v = _mm512_add_ps(v, _mm512_loadu_ps(bias));
	_mm512_mask_storeu_ps(y, mask, v);
}

INLINE __m512 gate(__m512 g, __m512 v, const float *bias) {
	if (bias) {
		g = _mm512_add_ps(g, _mm512_loadu_ps(bias));
		v = _mm512_add_ps(v, _mm512_loadu_ps(bias + tile_columns));
	}
	__m512 one = _mm512_set1_ps(1), e = exponential(_mm512_min_ps(_mm512_sub_ps(_mm512_setzero_ps(), g), _mm512_set1_ps(88)));
	return _mm512_mul_ps(_mm512_div_ps(g, _mm512_add_ps(one, e)), v);
}

// multiply_tiles multiplies some rows with some tiles.
VECTOR static void multiply_tiles(const product *p, int first_row, int end_row, size_t first_tile, size_t end_tile) {
	const matrix *m = p->m;
	const tile_function *functions = tiles[m->bits == 8][m->half][m->minima];
	const size_t tile_size = m->blocks * m->block_size;
	for (size_t t = first_tile; t < end_tile; t++) {
		const int left = m->out - (int)t * tile_columns;
		const __mmask16 mask = left >= tile_columns ? 0xffff : (__mmask16)((1 << left) - 1);
		for (int r = first_row; r < end_row;) {
			const int n = end_row - r < row_tile ? end_row - r : row_tile;
			const int8_t *codes = p->s->codes + (size_t)r * m->in;
			const float *scales = p->s->scales + (size_t)r * m->blocks;
			const block_sum *sums = p->s->sums + (size_t)r * m->blocks;
			__m512 v[row_tile], g[row_tile];
			const uint8_t *block = m->tiles + t * tile_size * (m->gated ? 2 : 1);
			if (m->gated) {
				functions[n](block, m->blocks, m->block_size, codes, scales, sums, g);
				block += tile_size;
			}
			functions[n](block, m->blocks, m->block_size, codes, scales, sums, v);
			float *y = p->y + (size_t)r * m->out + t * tile_columns;
			for (int i = 0; i < n; i++, y += m->out) {
				if (m->gated) {
					store(y, mask, gate(g[i], v[i], m->bias ? m->bias + 2 * t * tile_columns : NULL), NULL);
				} else {
					store(y, mask, v[i], m->bias ? m->bias + t * tile_columns : NULL);
				}
			}
			r += n;
		}
	}
}

static size_t tile_count(const matrix *m) { return (m->out + tile_columns - 1) / tile_columns; }

// round_part rounds one part of the rows.
static void round_part(void *data, size_t part) {
	const product *p = data;
	round_rows(p, part * p->rows / p->parts, (part + 1) * p->rows / p->parts);
}

// columns_part multiplies one part of the tiles with all rows.
static void columns_part(void *data, size_t part) {
	const product *p = data;
	const size_t count = tile_count(p->m);
	multiply_tiles(p, 0, p->rows, part * count / p->parts, (part + 1) * count / p->parts);
}

// rows_part rounds one part of the rows and multiplies it with all tiles.
static void rows_part(void *data, size_t part) {
	const product *p = data;
	const int tiles = (p->rows + row_tile - 1) / row_tile;
	const int first = part * tiles / p->parts * row_tile, end = (part + 1) * tiles / p->parts * row_tile;
	round_rows(p, first, end < p->rows ? end : p->rows);
	multiply_tiles(p, first, end < p->rows ? end : p->rows, 0, tile_count(p->m));
}

// Rows that are divided between threads, in place of tiles: then what a thread rounds, it multiplies itself, and the next
// node often finds its rows in the same thread's cache. Each thread reads all weights for it, which fewer rows would
// wait for.
enum { divided_rows = 8 };

void sluice_multiply(const matrix *m, const state *s, const float *x, float *y, int rows, const parallel *p) {
	if (rows == 0) return;
	product all = {.m = m, .s = s, .x = x, .y = y, .rows = rows};
	if (p->threads > 1 && rows >= divided_rows * p->threads) {
		all.parts = p->threads;
		p->call(p->context, rows_part, all.parts, &all);
		return;
	}
	all.parts = rows * (size_t)m->in < 1 << 15 ? 1 : p->threads;
	if (all.parts == 1) {
		round_part(&all, 0);
	} else {
		p->call(p->context, round_part, all.parts, &all);
	}
	// Several parts for each thread of a long product, for the threads to end together.
	const size_t work = (size_t)m->in * m->out * rows;
	all.parts = p->threads * (work < 1 << 22 ? 1 : 4);
	p->call(p->context, columns_part, all.parts, &all);
}

size_t sluice_tiles_size(matrix *m) {
	const size_t columns = (m->out + tile_columns - 1) / tile_columns * (m->gated ? 2 : 1);
	m->block_size = tile_columns * ((size_t)block_length * m->bits / 8 + (m->half ? 2 : 4) * (m->minima ? 2 : 1));
	return columns * m->blocks * m->block_size;
}

VECTOR static void put(const matrix *m, uint8_t *at, int column, float v) {
	if (m->half) {
		((uint16_t *)at)[column] = _cvtss_sh(v, _MM_FROUND_TO_NEAREST_INT);
	} else {
		((float *)at)[column] = v;
	}
}

void sluice_pack_row(matrix *m, int to, const uint8_t *codes, const float *scales, const float *minima) {
	const int column = to % tile_columns, bytes = block_length * m->bits / 8;
	uint8_t *block = m->tiles + (size_t)(to / tile_columns) * m->blocks * m->block_size;
	for (int b = 0; b < m->blocks; b++, block += m->block_size, codes += bytes) {
		for (int i = 0; i < block_length; i++) {
			// Vectors of four inputs for each column; of 4-bit codes two share one, the second in the high bits.
			const int vector = i / 4, lane = 4 * column + i % 4;
			if (m->bits == 8) {
				block[64 * vector + lane] = codes[i];
			} else {
				const uint8_t code = codes[i / 2] >> (i % 2 * 4) & 15;
				block[64 * (vector / 2) + lane] |= code << (vector % 2 * 4);
			}
		}
		uint8_t *at = block + (size_t)tile_columns * bytes;
		put(m, at, column, scales[b]);
		if (m->minima) put(m, at + tile_columns * (m->half ? 2 : 4), column, minima[b]);
	}
}
