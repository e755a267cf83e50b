// Both products of attention are of pairs of bfloat16 numbers: of two values of a query and a key, and of two weights and
// the values at their positions. AVX512_BF16 adds them to 16 sums at once. Elsewhere two multiplications of floats do the
// same: the odd ones of the pairs first, as the instruction does, so that the bits are the same, but where a number or a sum is
// denormal: the instructions take that for 0, and floats keep it. One session uses one of the two.
#include "span_amd64.h"

#include <math.h>

#include "variant.h"
#include "vector.h"

enum {
	span_groups = key_span / key_group,
	fetched = most_groups * key_group * 2 * 2, // bytes of them for a pair of a query's values
};

// weight_of is 2^x for x ≤ 127, to 1.1e-4 of it: a twentieth of what rounding it to bfloat16 may take. The polynomial is
// the best of degree 3 on [0, 1] with 2^0 = 1 and 2^1 = 2. 2^-∞ is 0, and 2^NaN NaN.
INLINE floats weight_of(floats x) {
	x = larger(broadcast(-200), x);
	const floats whole = rounded_down(x), part = minus(x, whole); // not by VREDUCEPS, which rounds the difference down
	floats p = broadcast(0.0782679692f);
	p = multiply_add(p, part, broadcast(0.226307675f));
	p = multiply_add(p, part, broadcast(0.695424318f));
	p = multiply_add(p, part, broadcast(1));
	return times_power(p, whole);
}

// multiply_keys gives the scores of R queries for G groups of keys. While it works on them, what is needed next is on its
// way: their values, and the keys that follow.
INLINE void multiply_keys(const span *of, int start, const uint16_t *next, const rows *q, floats (*score)[span_groups], const int R, const int G,
                          const int bf16) {
	const int pairs = of->size / 2, group = (start - of->from) / key_group;
	const uint16_t *keys = of->keys + (size_t)start * of->size;
	const char *values = (const char *)(of->values + (size_t)start * of->size), *following = (const char *)next;
	floats sum[most_rows][most_groups];
#pragma GCC unroll 6
	for (int r = 0; r < R; r++)
#pragma GCC unroll 4
		for (int g = 0; g < G; g++) sum[r][g] = broadcast(0);
	for (int i = 0; i < pairs; i++) {
		if (next) {
			for (int line = 0; line < fetched; line += 64) {
				_mm_prefetch(values + (size_t)i * fetched + line, _MM_HINT_T1);
				_mm_prefetch(following + (size_t)i * fetched + line, _MM_HINT_T1);
			}
		}
		ints key[most_groups];
#pragma GCC unroll 4
		for (int g = 0; g < G; g++) key[g] = load_ints(keys + (size_t)(g * pairs + i) * key_group * 2);
#pragma GCC unroll 6
		for (int r = 0; r < R; r++)
#pragma GCC unroll 4
			for (int g = 0; g < G; g++) sum[r][g] = add_pairs(sum[r][g], key[g], q->query[r] + i, bf16);
	}
#pragma GCC unroll 6
	for (int r = 0; r < R; r++)
#pragma GCC unroll 4
		for (int g = 0; g < G; g++) score[r][group + g] = sum[r][g];
}

// hide makes the scores -∞ of keys that a query does not see: those before low and from end on, of groups that begin at a
// position.
INLINE void hide(floats *score, int groups, int position, int low, int end) {
	const ints lanes = lane_numbers(), count = broadcast_int(end - low);
	for (int g = 0; g < groups; g++, position += key_group) {
		score[g] = where_below(plus_ints(lanes, broadcast_int(position - low)), count, score[g], broadcast(-INFINITY));
	}
}

// add_values adds a query's values times its weights, R queries and V vectors of values at a time. Of an odd number of positions, the
// last one's pair is not the sequence's.
INLINE void add_values(const uint16_t *values, int size, int count, const uint32_t (*weight)[key_span / 2], rows *q, int at, const int R, const int V,
                       const int bf16) {
	floats sum[most_rows][most_values];
#pragma GCC unroll 6
	for (int r = 0; r < R; r++)
#pragma GCC unroll 4
		for (int i = 0; i < V; i++) sum[r][i] = broadcast(0);
	values += 2 * at;
	for (int j = 0; j < count / 2; j++, values += 2 * size) {
		ints value[most_values];
#pragma GCC unroll 4
		for (int i = 0; i < V; i++) value[i] = load_ints(values + 32 * i);
#pragma GCC unroll 6
		for (int r = 0; r < R; r++)
#pragma GCC unroll 4
			for (int i = 0; i < V; i++) sum[r][i] = add_pairs(sum[r][i], value[i], &weight[r][j], bf16);
	}
	if (count % 2) {
		const ints even = broadcast_int(0xffff);
#pragma GCC unroll 4
		for (int i = 0; i < V; i++) {
			const ints value = both(load_ints(values + 32 * i), even);
#pragma GCC unroll 6
			for (int r = 0; r < R; r++) sum[r][i] = add_pairs(sum[r][i], value, &weight[r][count / 2], bf16);
		}
	}
#pragma GCC unroll 6
	for (int r = 0; r < R; r++)
#pragma GCC unroll 4
		for (int i = 0; i < V; i++) store(q->sum[r] + at + 16 * i, sum[r][i]);
}

// attend_rows computes R queries. R and bf16 are constants where it is called.
INLINE void attend_rows(const span *of, rows *q, const int R, const int bf16) {
	static const uint32_t ones = 0x3f803f80;
	const int count = of->to - of->from, groups = (count + key_group - 1) / key_group;
	floats score[most_rows][span_groups];
	uint32_t weight[most_rows][key_span / 2] __attribute__((aligned(64)));
	for (int g = 0; g < groups; g += most_groups) {
		const int start = of->from + g * key_group;
		const uint16_t *next = of->next && g + most_groups < groups ? of->keys + (size_t)(start + most_groups * key_group) * of->size : of->next;
		switch (most_groups == 1 ? 1 : groups - g) {
		case 1: multiply_keys(of, start, next, q, score, R, 1, bf16); break;
		case 2: multiply_keys(of, start, next, q, score, R, 2, bf16); break;
		case 3: multiply_keys(of, start, next, q, score, R, 3, bf16); break;
		default: multiply_keys(of, start, next, q, score, R, 4, bf16);
		}
	}
	for (int r = 0; r < R; r++) {
		floats *x = score[r], top = broadcast(-INFINITY), sum = broadcast(0);
		if (groups % 2) x[groups] = top; // weights are made of two groups at a time
		for (int g = 0; q->cap > 0 && g < groups; g++) x[g] = bounded(x[g], q->cap);
		if (q->low[r] > of->from || q->end[r] < of->from + groups * key_group) hide(x, groups, of->from, q->low[r], q->end[r]);
		for (int g = 0; g < groups; g++) top = larger(top, x[g]);
		q->most[r] = largest_lane(top);
		const floats base = broadcast(q->most[r] == -INFINITY ? 0 : q->most[r]); // it sees none of these keys
		for (int g = 0; g < groups; g += 2) {
			const ints pairs = pairs_of(weight_of(minus(x[g], base)), weight_of(minus(x[g + 1], base)), bf16);
			sum = add_pairs(sum, pairs, &ones, bf16); // of what was rounded: what values are multiplied by adds up to 1
			store_ints(weight[r] + g * key_group / 2, pairs);
		}
		q->weight[r] = sum_lanes(sum);
	}
	const uint16_t *values = of->values + (size_t)of->from * of->size;
	int at = 0;
	for (; at + 16 * most_values <= of->size; at += 16 * most_values) add_values(values, of->size, count, weight, q, at, R, most_values, bf16);
	for (; at < of->size; at += 16) add_values(values, of->size, count, weight, q, at, R, 1, bf16);
}

#define ATTEND(R, bf16) \
	VECTOR static void attend_##R##_##bf16(const span *of, rows *q) { attend_rows(of, q, R, bf16); }
#define ALL(bf16) ATTEND(1, bf16) ATTEND(2, bf16) ATTEND(3, bf16) ATTEND(4, bf16) ATTEND(5, bf16) ATTEND(6, bf16)
ALL(0)
#ifndef SLUICE_AVX2 // which has no AVX512_BF16
ALL(1)
#endif

static void (*const attend[2][most_rows + 1])(const span *, rows *) = {
	{NULL, attend_1_0, attend_2_0, attend_3_0, attend_4_0, attend_5_0, attend_6_0},
#ifndef SLUICE_AVX2
	{NULL, attend_1_1, attend_2_1, attend_3_1, attend_4_1, attend_5_1, attend_6_1},
#endif
};

void VARIANT(attend_span)(const span *of, rows *q, int n, int bf16) { attend[bf16][n](of, q); }
