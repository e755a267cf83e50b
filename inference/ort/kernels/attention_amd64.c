// Causal attention over keys and values in binary16, for any number of tokens of any number of sequences. Softmax is
// computed block by block of keys as in FlashAttention (Dao et al. 2022), on a grid of absolute positions: a token's
// result depends on its own sequence only, bit by bit, however its prompt was cut.
#include <math.h>
#include <string.h>

#include "kernels.h"
#include "vector.h"

enum {
	key_group = 16,  // positions that lie together in the keys
	key_groups = key_block / key_group,
	most_rows = 6,   // queries that share what is loaded of keys and values
	group_tokens = 2, // tokens of a run that are taken together
	most_size = 256, // of a head
};

// rotate turns pairs (i, i + size/2) of x by the angles of a position, and multiplies by scale.
VECTOR static void rotate(const state *s, int position, const float *restrict x, float *restrict y, float scale) {
	const int half = s->head_size / 2;
	const float *restrict c = s->cosines + (size_t)position * half, *restrict n = s->sines + (size_t)position * half;
	for (int i = 0; i < half; i++) {
		const float a = x[i], b = x[i + half];
		y[i] = (a * c[i] - b * n[i]) * scale;
		y[i + half] = (b * c[i] + a * n[i]) * scale;
	}
}

// round_halves rounds 16 values to binary16, without infinities.
INLINE __m256i round_halves(const float *x) {
	const __m512 most = _mm512_set1_ps(65504), v = _mm512_loadu_ps(x);
	return _mm512_cvtps_ph(_mm512_max_ps(_mm512_min_ps(most, v), _mm512_sub_ps(_mm512_setzero_ps(), most)), _MM_FROUND_TO_NEAREST_INT);
}

// One call of sluice_attend.
typedef struct {
	const state *s;
	int layer;
	const float *qkv;
	float *y;
	int tokens;
	size_t items, parts;
} attention;

// run_of finds a token's run.
static const run *run_of(const state *s, int token) {
	int i = 0;
	while (token >= s->runs[i].first + s->runs[i].tokens) i++;
	return &s->runs[i];
}

// store_part stores the keys and values of one part of the tokens.
VECTOR static void store_part(void *data, size_t part) {
	const attention *a = data;
	const state *s = a->s;
	const int size = s->head_size, width = (s->heads + 2 * s->kv_heads) * size;
	for (int t = part * a->tokens / a->parts; t < (int)((part + 1) * a->tokens / a->parts); t++) {
		const run *r = run_of(s, t);
		const int position = r->past + t - r->first;
		for (int h = 0; h < s->kv_heads; h++) {
			const size_t head = ((size_t)r->slot * s->kv_heads + h) * s->max_length * size;
			const float *key = a->qkv + (size_t)t * width + (s->heads + h) * size, *value = key + s->kv_heads * size;
			float rotated[most_size];
			uint16_t rounded[16];
			rotate(s, position, key, rotated, 1);
			uint16_t *k = s->keys[a->layer] + head + (size_t)(position / key_group) * key_group * size + position % key_group;
			uint16_t *v = s->values[a->layer] + head + (size_t)position * size;
			for (int i = 0; i < size; i += 16) {
				_mm256_storeu_si256((__m256i *)(v + i), round_halves(value + i));
				_mm256_storeu_si256((__m256i *)rounded, round_halves(rotated + i));
				for (int j = 0; j < 16; j++) k[(i + j) * key_group] = rounded[j];
			}
		}
	}
}

// Queries that share a head of keys and values.
typedef struct {
	const float *query[most_rows]; // rotated and scaled
	float *y[most_rows];
	int length[most_rows]; // keys that each may see
	const uint16_t *next;  // the first keys of what is computed after them
} rows;

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

// attend_rows computes R queries. R is a constant where it is called.
INLINE void attend_rows(const uint16_t *keys, const uint16_t *values, int size, const rows *q, const int R) {
	float most[most_rows], p[most_rows][key_block];
	__m512 sum[most_rows];
	int longest = 0;
	for (int r = 0; r < R; r++) {
		most[r] = -INFINITY;
		sum[r] = _mm512_setzero_ps();
		memset(q->y[r], 0, sizeof(float) * size);
		longest = q->length[r] > longest ? q->length[r] : longest;
	}
	for (int start = 0; start < longest; start += key_block) {
		const uint16_t *k = keys + (size_t)start * size, *of = values + (size_t)start * size;
		const uint16_t *next = start + key_block < longest ? k + key_block * size : q->next;
		__m512 score[most_rows][key_groups];
#pragma GCC unroll 6
		for (int r = 0; r < R; r++)
#pragma GCC unroll 4
			for (int g = 0; g < key_groups; g++) score[r][g] = _mm512_setzero_ps();
		switch ((longest - start + key_group - 1) / key_group) {
		case 1: multiply_keys(k, of, next, size, q, score, R, 1); break;
		case 2: multiply_keys(k, of, next, size, q, score, R, 2); break;
		case 3: multiply_keys(k, of, next, size, q, score, R, 3); break;
		default: multiply_keys(k, of, next, size, q, score, R, 4);
		}
		float old[most_rows];
#pragma GCC unroll 6
		for (int r = 0; r < R; r++) {
			const int left = q->length[r] - start;
			__mmask16 mask[key_groups];
			__m512 top = _mm512_set1_ps(-INFINITY);
#pragma GCC unroll 4
			for (int g = 0; g < key_groups; g++) {
				const int n = left - g * key_group;
				mask[g] = n >= key_group ? 0xffff : n <= 0 ? 0 : (__mmask16)((1 << n) - 1);
				top = _mm512_mask_max_ps(top, mask[g], top, score[r][g]);
			}
			const float block_most = _mm512_reduce_max_ps(top);
			const float now = block_most > most[r] ? block_most : most[r];
			old[r] = _mm512_cvtss_f32(exponential(_mm512_set1_ps(most[r] - now)));
			most[r] = now;
			sum[r] = _mm512_mul_ps(sum[r], _mm512_set1_ps(old[r]));
#pragma GCC unroll 4
			for (int g = 0; g < key_groups; g++) {
				const __m512 e = _mm512_maskz_mov_ps(mask[g], exponential(_mm512_sub_ps(score[r][g], _mm512_set1_ps(now))));
				sum[r] = _mm512_add_ps(sum[r], e);
				_mm512_storeu_ps(p[r] + g * key_group, e);
			}
		}
		const int count = longest - start < key_block ? longest - start : key_block;
		for (int d = 0; d < size; d += 64) {
			const int vectors = (size - d) / 16 < 4 ? (size - d) / 16 : 4;
			const uint16_t *v = values + (size_t)start * size + d;
			__m512 acc[most_rows][4];
#pragma GCC unroll 6
			for (int r = 0; r < R; r++)
#pragma GCC unroll 4
				for (int i = 0; i < 4; i++)
					acc[r][i] = i < vectors ? _mm512_mul_ps(_mm512_loadu_ps(q->y[r] + d + 16 * i), _mm512_set1_ps(old[r])) : _mm512_setzero_ps();
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
				for (int i = 0; i < vectors; i++) _mm512_storeu_ps(q->y[r] + d + 16 * i, acc[r][i]);
		}
	}
	for (int r = 0; r < R; r++) {
		const __m512 inverse = _mm512_set1_ps(1 / _mm512_reduce_add_ps(sum[r]));
		for (int d = 0; d < size; d += 16) _mm512_storeu_ps(q->y[r] + d, _mm512_mul_ps(_mm512_loadu_ps(q->y[r] + d), inverse));
	}
}

#define ATTEND(R)                                                                                            \
	VECTOR static void attend_##R(const uint16_t *keys, const uint16_t *values, int size, const rows *q) { \
		attend_rows(keys, values, size, q, R);                                                               \
	}
ATTEND(1) ATTEND(2) ATTEND(3) ATTEND(4) ATTEND(5) ATTEND(6)

static void (*const attend[most_rows + 1])(const uint16_t *, const uint16_t *, int, const rows *) = {
	NULL, attend_1, attend_2, attend_3, attend_4, attend_5, attend_6,
};

// A few consecutive tokens of a run, for one head of keys and values.
typedef struct {
	const run *run;
	int first, tokens, kv_head; // first: among the step's tokens
} item;

// item_at finds an item by its place. The tokens of a run that see most come first.
static item item_at(const attention *a, size_t place) {
	const state *s = a->s;
	item it = {.kv_head = place % s->kv_heads};
	int left = place / s->kv_heads;
	for (int i = s->run_count - 1; i >= 0; i--) {
		const run *r = &s->runs[i];
		const int groups = (r->tokens + group_tokens - 1) / group_tokens;
		if (left < groups) {
			const int first = (groups - 1 - left) * group_tokens;
			it.run = r;
			it.first = r->first + first;
			it.tokens = r->tokens - first < group_tokens ? r->tokens - first : group_tokens;
			break;
		}
		left -= groups;
	}
	return it;
}

// head_of is where the keys, and the values, of an item begin.
static size_t head_of(const state *s, const item *it) {
	return ((size_t)it->run->slot * s->kv_heads + it->kv_head) * s->max_length * s->head_size;
}

VECTOR static void attend_item(const attention *a, const item *it, const uint16_t *next) {
	const state *s = a->s;
	const int size = s->head_size, group = s->heads / s->kv_heads, width = (s->heads + 2 * s->kv_heads) * size;
	const uint16_t *keys = s->keys[a->layer] + head_of(s, it), *values = s->values[a->layer] + head_of(s, it);
	float queries[most_rows][most_size];
	rows q;
	int n = 0;
	for (int i = 0; i < it->tokens * group; i++) {
		const int t = it->first + i / group, h = it->kv_head * group + i % group, position = it->run->past + t - it->run->first;
		rotate(s, position, a->qkv + (size_t)t * width + h * size, queries[n], s->scale);
		q.query[n] = queries[n];
		q.y[n] = a->y + ((size_t)t * s->heads + h) * size;
		q.length[n] = position + 1;
		if (++n == most_rows || i == it->tokens * group - 1) {
			q.next = i == it->tokens * group - 1 ? next : keys;
			attend[n](keys, values, size, &q);
			n = 0;
		}
	}
}

// attend_part computes one part of the items.
static void attend_part(void *data, size_t part) {
	const attention *a = data;
	const size_t last = (part + 1) * a->items / a->parts;
	item it = item_at(a, part * a->items / a->parts);
	for (size_t i = part * a->items / a->parts; i < last; i++) {
		const item following = i + 1 < a->items ? item_at(a, i + 1) : it;
		attend_item(a, &it, a->s->keys[a->layer] + head_of(a->s, &following));
		it = following;
	}
}

void sluice_attend(const state *s, int layer, const float *qkv, float *y, const parallel *p) {
	attention a = {.s = s, .layer = layer, .qkv = qkv, .y = y};
	size_t groups = 0;
	for (int i = 0; i < s->run_count; i++) {
		a.tokens += s->runs[i].tokens;
		groups += (s->runs[i].tokens + group_tokens - 1) / group_tokens;
	}
	a.items = groups * s->kv_heads;
	a.parts = a.tokens < 32 ? 1 : p->threads;
	if (a.parts == 1) {
		store_part(&a, 0);
	} else {
		p->call(p->context, store_part, a.parts, &a);
	}
	// Parts enough for the threads to end together, though some items see more than others.
	a.parts = a.items < 16 * (size_t)p->threads ? a.items : 16 * (size_t)p->threads;
	p->call(p->context, attend_part, a.parts, &a);
}
