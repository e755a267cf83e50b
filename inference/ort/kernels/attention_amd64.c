// Causal attention over keys and values in binary16, for any number of tokens of any number of sequences. Softmax is
// computed block by block of keys as in FlashAttention (Dao et al. 2022), on a grid of absolute positions: a token's
// result depends on its own sequence only, bit by bit, however its prompt was cut.
#include <math.h>
#include <string.h>

#include "kernels.h"
#include "vector.h"

enum {
	key_group = 16,  // positions that lie together in the keys
	most_rows = 6,   // queries that share what is loaded of keys and values
	group_tokens = 2, // tokens of a run that are taken together
	most_size = 256, // of a head
};

// rotate turns pairs (i, i + size/2) of x by the angles of a position.
VECTOR static void rotate(const state *s, int position, const float *x, float *y) {
	const int half = s->head_size / 2;
	const float *c = s->cosines + (size_t)position * half, *n = s->sines + (size_t)position * half;
	for (int i = 0; i < half; i++) {
		const float a = x[i], b = x[i + half];
		y[i] = a * c[i] - b * n[i];
		y[i + half] = b * c[i] + a * n[i];
	}
}

// half_of rounds to binary16, without infinities.
VECTOR static inline uint16_t half_of(float v) {
	v = v > 65504 ? 65504 : v < -65504 ? -65504 : v;
	return _cvtss_sh(v, _MM_FROUND_TO_NEAREST_INT);
}

// One call of sluice_attend.
typedef struct {
	const state *s;
	int layer;
	const float *qkv;
	float *y;
	int tokens, parts;
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
			rotate(s, position, key, rotated);
			uint16_t *k = s->keys[a->layer] + head + (size_t)(position / key_group) * key_group * size + position % key_group;
			uint16_t *v = s->values[a->layer] + head + (size_t)position * size;
			for (int i = 0; i < size; i++) {
				k[i * key_group] = half_of(rotated[i]);
				v[i] = half_of(value[i]);
			}
		}
	}
}

// Queries that share a head of keys and values.
typedef struct {
	const float *query[most_rows]; // rotated and scaled
	float *y[most_rows];
	int length[most_rows]; // keys that each may see
} rows;

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
		const int groups = (longest - start + key_group - 1) / key_group < key_block / key_group
		                       ? (longest - start + key_group - 1) / key_group : key_block / key_group;
		__m512 score[most_rows][key_block / key_group];
#pragma GCC unroll 6
		for (int r = 0; r < R; r++)
#pragma GCC unroll 4
			for (int g = 0; g < key_block / key_group; g++) score[r][g] = _mm512_setzero_ps();
		const uint16_t *k = keys + (size_t)start * size;
		// Keys behind the last group are not there; the last group stands in for them.
		const uint16_t *group[key_block / key_group];
		for (int g = 0; g < key_block / key_group; g++) group[g] = k + (size_t)(g < groups ? g : groups - 1) * key_group * size;
		for (int i = 0; i < size; i++) {
			__m512 key[key_block / key_group];
#pragma GCC unroll 4
			for (int g = 0; g < key_block / key_group; g++) key[g] = halves(group[g] + i * key_group);
#pragma GCC unroll 6
			for (int r = 0; r < R; r++) {
				const __m512 x = _mm512_set1_ps(q->query[r][i]);
#pragma GCC unroll 4
				for (int g = 0; g < key_block / key_group; g++) score[r][g] = _mm512_fmadd_ps(x, key[g], score[r][g]);
			}
		}
		float old[most_rows];
#pragma GCC unroll 6
		for (int r = 0; r < R; r++) {
			const int left = q->length[r] - start;
			__mmask16 mask[key_block / key_group];
			__m512 top = _mm512_set1_ps(-INFINITY);
#pragma GCC unroll 4
			for (int g = 0; g < key_block / key_group; g++) {
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
			for (int g = 0; g < key_block / key_group; g++) {
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

// attend_group computes a few consecutive tokens of a run for one head of keys and values.
VECTOR static void attend_group(const attention *a, const run *r, int first, int tokens, int kv_head) {
	const state *s = a->s;
	const int size = s->head_size, group = s->heads / s->kv_heads, width = (s->heads + 2 * s->kv_heads) * size;
	const size_t head = ((size_t)r->slot * s->kv_heads + kv_head) * s->max_length * size;
	float queries[most_rows][most_size];
	rows q;
	int n = 0;
	for (int i = 0; i < tokens * group; i++) {
		const int t = first + i / group, h = kv_head * group + i % group, position = r->past + t - r->first;
		rotate(s, position, a->qkv + (size_t)t * width + h * size, queries[n]);
		for (int d = 0; d < size; d++) queries[n][d] *= s->scale;
		q.query[n] = queries[n];
		q.y[n] = a->y + ((size_t)t * s->heads + h) * size;
		q.length[n] = position + 1;
		if (++n == most_rows || i == tokens * group - 1) {
			attend[n](s->keys[a->layer] + head, s->values[a->layer] + head, size, &q);
			n = 0;
		}
	}
}

// attend_part computes one group of tokens for one head; the last ones, which see most, come first.
static void attend_part(void *data, size_t part) {
	const attention *a = data;
	const state *s = a->s;
	const int kv_head = part % s->kv_heads;
	int place = part / s->kv_heads;
	for (int i = s->run_count - 1; i >= 0; i--) {
		const run *r = &s->runs[i];
		const int groups = (r->tokens + group_tokens - 1) / group_tokens;
		if (place < groups) {
			const int first = (groups - 1 - place) * group_tokens;
			const int tokens = r->tokens - first < group_tokens ? r->tokens - first : group_tokens;
			attend_group(a, r, r->first + first, tokens, kv_head);
			return;
		}
		place -= groups;
	}
}

void sluice_attend(const state *s, int layer, const float *qkv, float *y, const parallel *p) {
	attention a = {.s = s, .layer = layer, .qkv = qkv, .y = y};
	int groups = 0;
	for (int i = 0; i < s->run_count; i++) {
		a.tokens += s->runs[i].tokens;
		groups += (s->runs[i].tokens + group_tokens - 1) / group_tokens;
	}
	a.parts = a.tokens < 32 ? 1 : p->threads;
	if (a.parts == 1) {
		store_part(&a, 0);
	} else {
		p->call(p->context, store_part, a.parts, &a);
	}
	p->call(p->context, attend_part, (size_t)groups * s->kv_heads, &a);
}
