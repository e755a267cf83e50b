// Both products of attention are of pairs of bfloat16 numbers: of two values of a query and a key, and of two weights and
// the values at their positions. AVX512_BF16 adds them to 16 sums at once. Elsewhere two multiplications of floats do the
// same: the odd ones of the pairs first, as the instruction does, so that the bits are the same, but where a number or a sum is
// denormal: the instructions take that for 0, and floats keep it. One session uses one of the two.
#include "span_amd64.h"

#include <math.h>

#include "vector.h"

enum {
	span_groups = key_span / key_group,
	most_groups = 4,                          // of keys, that are multiplied at a time: 24 sums for six queries
	fetched = most_groups * key_group * 2 * 2, // bytes of them for a pair of a query's values
};

// add_products adds products of 16 pairs with one. Compilers load the one into a register and spread it from there.
INLINE __m512 add_products(__m512 sum, __m512i pairs, const uint32_t *one, const int bf16) {
	if (bf16) {
		__asm__("vdpbf16ps %2%{1to16%}, %1, %0" : "+v"(sum) : "v"(pairs), "m"(*one));
		return sum;
	}
	const __m512i x = _mm512_set1_epi32((int)*one), high = _mm512_set1_epi32((int)0xffff0000);
	sum = _mm512_fmadd_ps(_mm512_castsi512_ps(_mm512_and_si512(pairs, high)), _mm512_castsi512_ps(_mm512_and_si512(x, high)), sum);
	return _mm512_fmadd_ps(_mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16)), _mm512_castsi512_ps(_mm512_slli_epi32(x, 16)), sum);
}

// pairs_of rounds 32 values to bfloat16.
INLINE __m512i pairs_of(__m512 low, __m512 high, const int bf16) {
	if (bf16) {
		__m512i pairs;
		__asm__("vcvtne2ps2bf16 %2, %1, %0" : "=v"(pairs) : "v"(high), "v"(low));
		return pairs;
	}
	return _mm512_inserti64x4(_mm512_castsi256_si512(bfloat16(low)), bfloat16(high), 1);
}

// weight_of is 2^x for x ≤ 127, to 1.1e-4 of it: a twentieth of what rounding it to bfloat16 may take. The polynomial is
// the best of degree 3 on [0, 1] with 2^0 = 1 and 2^1 = 2. 2^-∞ is 0, and 2^NaN NaN.
INLINE __m512 weight_of(__m512 x) {
	const __m512 part = _mm512_reduce_ps(x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC); // x - ⌊x⌋; _mm512_scalef_ps takes ⌊x⌋
	__m512 p = _mm512_set1_ps(0.0782679692f);
	p = _mm512_fmadd_ps(p, part, _mm512_set1_ps(0.226307675f));
	p = _mm512_fmadd_ps(p, part, _mm512_set1_ps(0.695424318f));
	p = _mm512_fmadd_ps(p, part, _mm512_set1_ps(1));
	return _mm512_scalef_ps(p, x);
}

// multiply_keys gives the scores of R queries for G groups of keys. While it works on them, what is needed next is on its
// way: their values, and the keys that follow.
INLINE void multiply_keys(const span *of, int start, const uint16_t *next, const rows *q, __m512 (*score)[span_groups], const int R, const int G,
                          const int bf16) {
	const int pairs = of->size / 2, group = (start - of->from) / key_group;
	const uint16_t *keys = of->keys + (size_t)start * of->size;
	const char *values = (const char *)(of->values + (size_t)start * of->size), *following = (const char *)next;
	__m512 sum[most_rows][most_groups];
#pragma GCC unroll 6
	for (int r = 0; r < R; r++)
#pragma GCC unroll 4
		for (int g = 0; g < G; g++) sum[r][g] = _mm512_setzero_ps();
	for (int i = 0; i < pairs; i++) {
		if (next) {
			for (int line = 0; line < fetched; line += 64) {
				_mm_prefetch(values + (size_t)i * fetched + line, _MM_HINT_T1);
				_mm_prefetch(following + (size_t)i * fetched + line, _MM_HINT_T1);
			}
		}
		__m512i key[most_groups];
#pragma GCC unroll 4
		for (int g = 0; g < G; g++) key[g] = _mm512_loadu_si512(keys + (size_t)(g * pairs + i) * key_group * 2);
#pragma GCC unroll 6
		for (int r = 0; r < R; r++)
#pragma GCC unroll 4
			for (int g = 0; g < G; g++) sum[r][g] = add_products(sum[r][g], key[g], q->query[r] + i, bf16);
	}
#pragma GCC unroll 6
	for (int r = 0; r < R; r++)
#pragma GCC unroll 4
		for (int g = 0; g < G; g++) score[r][group + g] = sum[r][g];
}

// hide makes the scores -∞ of keys that a query does not see: those before low and from end on, of groups that begin at a
// position.
INLINE void hide(__m512 *score, int groups, int position, int low, int end) {
	const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15), count = _mm512_set1_epi32(end - low);
	for (int g = 0; g < groups; g++, position += key_group) {
		const __mmask16 seen = _mm512_cmplt_epu32_mask(_mm512_add_epi32(lane, _mm512_set1_epi32(position - low)), count);
		score[g] = _mm512_mask_mov_ps(_mm512_set1_ps(-INFINITY), seen, score[g]);
	}
}

// add_values adds a query's values times its weights, R queries and V vectors of values at a time. Of an odd number of positions, the
// last one's pair is not the sequence's.
INLINE void add_values(const uint16_t *values, int size, int count, const uint32_t (*weight)[key_span / 2], rows *q, int at, const int R, const int V,
                       const int bf16) {
	__m512 sum[most_rows][4];
#pragma GCC unroll 6
	for (int r = 0; r < R; r++)
#pragma GCC unroll 4
		for (int i = 0; i < V; i++) sum[r][i] = _mm512_setzero_ps();
	values += 2 * at;
	for (int j = 0; j < count / 2; j++, values += 2 * size) {
		__m512i value[4];
#pragma GCC unroll 4
		for (int i = 0; i < V; i++) value[i] = _mm512_loadu_si512(values + 32 * i);
#pragma GCC unroll 6
		for (int r = 0; r < R; r++)
#pragma GCC unroll 4
			for (int i = 0; i < V; i++) sum[r][i] = add_products(sum[r][i], value[i], &weight[r][j], bf16);
	}
	if (count % 2) {
		const __m512i even = _mm512_set1_epi32(0xffff);
#pragma GCC unroll 4
		for (int i = 0; i < V; i++) {
			const __m512i value = _mm512_and_si512(_mm512_loadu_si512(values + 32 * i), even);
#pragma GCC unroll 6
			for (int r = 0; r < R; r++) sum[r][i] = add_products(sum[r][i], value, &weight[r][count / 2], bf16);
		}
	}
#pragma GCC unroll 6
	for (int r = 0; r < R; r++)
#pragma GCC unroll 4
		for (int i = 0; i < V; i++) _mm512_storeu_ps(q->sum[r] + at + 16 * i, sum[r][i]);
}

// attend_rows computes R queries. R and bf16 are constants where it is called.
INLINE void attend_rows(const span *of, rows *q, const int R, const int bf16) {
	static const uint32_t ones = 0x3f803f80;
	const int count = of->to - of->from, groups = (count + key_group - 1) / key_group;
	__m512 score[most_rows][span_groups];
	uint32_t weight[most_rows][key_span / 2] __attribute__((aligned(64)));
	for (int g = 0; g < groups; g += most_groups) {
		const int start = of->from + g * key_group;
		const uint16_t *next = of->next && g + most_groups < groups ? of->keys + (size_t)(start + most_groups * key_group) * of->size : of->next;
		switch (groups - g) {
		case 1: multiply_keys(of, start, next, q, score, R, 1, bf16); break;
		case 2: multiply_keys(of, start, next, q, score, R, 2, bf16); break;
		case 3: multiply_keys(of, start, next, q, score, R, 3, bf16); break;
		default: multiply_keys(of, start, next, q, score, R, 4, bf16);
		}
	}
	for (int r = 0; r < R; r++) {
		__m512 *x = score[r], top = _mm512_set1_ps(-INFINITY), sum = _mm512_setzero_ps();
		if (groups % 2) x[groups] = top; // weights are made of two groups at a time
		for (int g = 0; q->cap > 0 && g < groups; g++) x[g] = bounded(x[g], q->cap);
		if (q->low[r] > of->from || q->end[r] < of->from + groups * key_group) hide(x, groups, of->from, q->low[r], q->end[r]);
		for (int g = 0; g < groups; g++) top = _mm512_max_ps(top, x[g]);
		q->most[r] = _mm512_reduce_max_ps(top);
		const __m512 base = _mm512_set1_ps(q->most[r] == -INFINITY ? 0 : q->most[r]); // it sees none of these keys
		for (int g = 0; g < groups; g += 2) {
			const __m512i pairs = pairs_of(weight_of(_mm512_sub_ps(x[g], base)), weight_of(_mm512_sub_ps(x[g + 1], base)), bf16);
			sum = add_products(sum, pairs, &ones, bf16); // of what was rounded: what values are multiplied by adds up to 1
			_mm512_store_si512(weight[r] + g * key_group / 2, pairs);
		}
		q->weight[r] = _mm512_reduce_add_ps(sum);
	}
	const uint16_t *values = of->values + (size_t)of->from * of->size;
	int at = 0;
	for (; at + 64 <= of->size; at += 64) add_values(values, of->size, count, weight, q, at, R, 4, bf16);
	for (; at < of->size; at += 16) add_values(values, of->size, count, weight, q, at, R, 1, bf16);
}

#define ATTEND(R, bf16) \
	VECTOR static void attend_##R##_##bf16(const span *of, rows *q) { attend_rows(of, q, R, bf16); }
#define ALL(bf16) ATTEND(1, bf16) ATTEND(2, bf16) ATTEND(3, bf16) ATTEND(4, bf16) ATTEND(5, bf16) ATTEND(6, bf16)
ALL(0) ALL(1)

static void (*const attend[2][most_rows + 1])(const span *, rows *) = {
	{NULL, attend_1_0, attend_2_0, attend_3_0, attend_4_0, attend_5_0, attend_6_0},
	{NULL, attend_1_1, attend_2_1, attend_3_1, attend_4_1, attend_5_1, attend_6_1},
};

int sluice_bf16(void) {
	__builtin_cpu_init();
	return __builtin_cpu_supports("avx512bf16") != 0;
}

void sluice_attend_span(const span *of, rows *q, int n, int bf16) { attend[bf16][n](of, q); }
