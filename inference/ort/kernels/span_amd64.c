#include "span_amd64.h"

#include <math.h>
#include <string.h>

#include "vector.h"

enum { key_groups = key_block / key_group };

// multiply_keys gives the products of R queries with G groups of keys. While it works on a block, what is needed next is
// on its way: the block's values, and the keys that follow.
INLINE void multiply_keys(const uint16_t *keys, const uint16_t *values, const uint16_t *next, int size, const rows *q,
                          __m512 score[most_rows][key_groups], const int R, const int G) {
	for (int i = 0; i < size; i++) {
		for (int line = 0; line < key_block * 2; line += 64) {
			_mm_prefetch((const char *)values + (size_t)i * key_block * 2 + line, _MM_HINT_T1);
			_mm_prefetch((const char *)next + (size_t)i * key_block * 2 + line, _MM_HINT_T1);
		}
		__m512 key[key_groups];
#pragma GCC unroll 4
		for (int g = 0; g < G; g++) key[g] = halves(keys + (g * size + i) * key_group);
#pragma GCC unroll 6
		for (int r = 0; r < R; r++) {
			const __m512 x = _mm512_set1_ps(q->query[r][i]);
#pragma GCC unroll 4
			for (int g = 0; g < G; g++) score[r][g] = _mm512_fmadd_ps(x, key[g], score[r][g]);
		}
	}
}

// seen says which of 16 keys, the first of which is at a position, are from low to before end.
INLINE __mmask16 seen(int position, int low, int end) {
	const int from = low - position, n = end - position;
	const unsigned before = from <= 0 ? 0 : from >= key_group ? 0xffff : (1u << from) - 1;
	const unsigned to = n >= key_group ? 0xffff : n <= 0 ? 0 : (1u << n) - 1;
	return (__mmask16)(to & ~before);
}

// attend_rows computes R queries. R is a constant where it is called.
INLINE void attend_rows(const uint16_t *keys, const uint16_t *values, const uint16_t *next_keys, int size, int from, int to, rows *q, const int R) {
	float most[most_rows], p[most_rows][key_block];
	__m512 sum[most_rows];
	for (int r = 0; r < R; r++) {
		most[r] = -INFINITY;
		sum[r] = _mm512_setzero_ps();
		memset(q->sum[r], 0, sizeof(float) * size);
	}
	for (int start = from; start < to; start += key_block) {
		const uint16_t *k = keys + (size_t)start * size, *of = values + (size_t)start * size;
		const uint16_t *next = start + key_block < to ? k + key_block * size : next_keys;
		__m512 score[most_rows][key_groups];
#pragma GCC unroll 6
		for (int r = 0; r < R; r++)
#pragma GCC unroll 4
			for (int g = 0; g < key_groups; g++) score[r][g] = _mm512_setzero_ps();
		switch ((to - start + key_group - 1) / key_group) {
		case 1: multiply_keys(k, of, next, size, q, score, R, 1); break;
		case 2: multiply_keys(k, of, next, size, q, score, R, 2); break;
		case 3: multiply_keys(k, of, next, size, q, score, R, 3); break;
		default: multiply_keys(k, of, next, size, q, score, R, 4);
		}
		if (q->cap > 0) {
#pragma GCC unroll 6
			for (int r = 0; r < R; r++)
#pragma GCC unroll 4
				for (int g = 0; g < key_groups; g++) score[r][g] = bounded(score[r][g], q->cap);
		}
		float old[most_rows];
#pragma GCC unroll 6
		for (int r = 0; r < R; r++) {
			__mmask16 mask[key_groups];
			__m512 top = _mm512_set1_ps(-INFINITY);
#pragma GCC unroll 4
			for (int g = 0; g < key_groups; g++) {
				mask[g] = seen(start + g * key_group, q->low[r], q->end[r]);
				top = _mm512_mask_max_ps(top, mask[g], top, score[r][g]);
			}
			const float block_most = _mm512_reduce_max_ps(top);
			const float now = block_most > most[r] ? block_most : most[r];
			const float base = now == -INFINITY ? 0 : now; // it sees none of these keys, nor of those before
			old[r] = _mm512_cvtss_f32(exponential(_mm512_set1_ps(most[r] - base)));
			most[r] = now;
			sum[r] = _mm512_mul_ps(sum[r], _mm512_set1_ps(old[r]));
#pragma GCC unroll 4
			for (int g = 0; g < key_groups; g++) {
				const __m512 e = _mm512_maskz_mov_ps(mask[g], exponential(_mm512_sub_ps(score[r][g], _mm512_set1_ps(base))));
				sum[r] = _mm512_add_ps(sum[r], e);
				_mm512_storeu_ps(p[r] + g * key_group, e);
			}
		}
		const int count = to - start < key_block ? to - start : key_block;
		for (int d = 0; d < size; d += 64) {
			const int vectors = (size - d) / 16 < 4 ? (size - d) / 16 : 4;
			const uint16_t *v = values + (size_t)start * size + d;
			__m512 acc[most_rows][4];
#pragma GCC unroll 6
			for (int r = 0; r < R; r++)
#pragma GCC unroll 4
				for (int i = 0; i < 4; i++)
					acc[r][i] = i < vectors ? _mm512_mul_ps(_mm512_loadu_ps(q->sum[r] + d + 16 * i), _mm512_set1_ps(old[r])) : _mm512_setzero_ps();
			if (vectors == 4) {
				for (int j = 0; j < count; j++, v += size) {
					__m512 value[4];
#pragma GCC unroll 4
					for (int i = 0; i < 4; i++) value[i] = halves(v + 16 * i);
#pragma GCC unroll 6
					for (int r = 0; r < R; r++) {
						const __m512 x = _mm512_set1_ps(p[r][j]);
#pragma GCC unroll 4
						for (int i = 0; i < 4; i++) acc[r][i] = _mm512_fmadd_ps(x, value[i], acc[r][i]);
					}
				}
			} else {
				for (int j = 0; j < count; j++, v += size) {
					for (int i = 0; i < vectors; i++) {
						const __m512 value = halves(v + 16 * i);
#pragma GCC unroll 6
						for (int r = 0; r < R; r++) acc[r][i] = _mm512_fmadd_ps(_mm512_set1_ps(p[r][j]), value, acc[r][i]);
					}
				}
			}
#pragma GCC unroll 6
			for (int r = 0; r < R; r++)
				for (int i = 0; i < vectors; i++) _mm512_storeu_ps(q->sum[r] + d + 16 * i, acc[r][i]);
		}
	}
	for (int r = 0; r < R; r++) {
		q->most[r] = most[r];
		q->weight[r] = _mm512_reduce_add_ps(sum[r]);
	}
}

#define ATTEND(R)                                                                                                               \
	VECTOR static void attend_##R(const uint16_t *keys, const uint16_t *values, const uint16_t *next, int size, int from, int to, \
	                              rows *q) {                                                                                      \
		attend_rows(keys, values, next, size, from, to, q, R);                                                                     \
	}
ATTEND(1) ATTEND(2) ATTEND(3) ATTEND(4) ATTEND(5) ATTEND(6)

static void (*const attend[most_rows + 1])(const uint16_t *, const uint16_t *, const uint16_t *, int, int, int, rows *) = {
	NULL, attend_1, attend_2, attend_3, attend_4, attend_5, attend_6,
};

void sluice_attend_span(const uint16_t *keys, const uint16_t *values, const uint16_t *next, int size, int from, int to, rows *q, int n) {
	attend[n](keys, values, next, size, from, to, q);
}
