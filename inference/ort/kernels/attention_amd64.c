// Causal attention over keys and values in bfloat16, for any number of tokens of any number of sequences. Softmax is
// computed block by block of keys as in FlashAttention (Dao et al. 2022), and each span of blocks by itself, as in
// Flash-Decoding: spans are put together in order, by whoever computed them. Both lie on a grid of absolute positions: a
// token's result depends on its own sequence only, bit by bit, however its prompt was cut and its keys were divided. (NaN
// among a token's values may reach the token before it too, if both are taken together: no weight makes it 0.)
#include <math.h>
#include <string.h>

#include "items_amd64.h"
#include "span_amd64.h"
#include "variant.h"
#include "vector.h"

static const float ln2 = 0.69314718f, log2_e = 1.44269504f;

// rotate turns pairs (i, i + pairs) of x by the angles of a position, and multiplies all of x by scale.
VECTOR static void rotate(const state *s, const layer *of, int position, const float *restrict x, float *restrict y, float scale) {
	const int pairs = of->pairs;
	const float *restrict c = of->cosines + (size_t)position * pairs, *restrict n = of->sines + (size_t)position * pairs;
	for (int i = 0; i < pairs; i++) {
		const float a = x[i], b = x[i + pairs];
		y[i] = (a * c[i] - b * n[i]) * scale;
		y[i + pairs] = (b * c[i] + a * n[i]) * scale;
	}
	for (int i = 2 * pairs; i < s->head_size; i++) y[i] = x[i] * scale;
}

// inverse_rms is what an RMS norm multiplies n values by, beside its weight.
VECTOR static float inverse_rms(const float *x, int n, float epsilon) {
	floats square = broadcast(0);
	for (int i = 0; i < n; i += 16) {
		const floats v = load(x + i);
		square = multiply_add(v, v, square);
	}
	const floats mean = broadcast(sum_lanes(square) / (float)n + epsilon);
	return first_lane(divided(broadcast(1), square_root(mean)));
}

// head_of_row gives one of a token's heads, by its norm if that has a weight: then in room. A norm of all heads is computed again
// for each, which is little beside the product that made them.
VECTOR static const float *head_of_row(const state *s, const layer *of, const float *weight, const float *heads, int count, int h, float *room) {
	const int size = s->head_size;
	const float *x = heads + (size_t)h * size;
	if (!weight) return x;
	const floats scale = broadcast(of->norm_whole ? inverse_rms(heads, count * size, of->norm_epsilon) : inverse_rms(x, size, of->norm_epsilon));
	if (of->norm_whole) weight += (size_t)h * size;
	for (int i = 0; i < size; i += 16) store(room + i, times(times(load(x + i), scale), load(weight + i)));
	return room;
}

// round_finite rounds 16 values to bfloat16, those beyond 2^96 to 2^96: any sum of them is finite. NaN stays NaN: max and
// min give their second operand.
INLINE shorts round_finite(const float *x) {
	const floats most = broadcast(0x1p96f), least = broadcast(-0x1p96f);
	return bfloat16(larger(least, smaller(most, load(x))));
}

// fetch asks for n values.
INLINE void fetch(const float *x, int n) {
	for (int i = 0; i < n; i += 16) _mm_prefetch((const char *)(x + i), _MM_HINT_T0);
}

// fetch_angles asks for those of a position.
INLINE void fetch_angles(const layer *of, int position) {
	fetch(of->cosines + (size_t)position * of->pairs, of->pairs);
	fetch(of->sines + (size_t)position * of->pairs, of->pairs);
}

VECTOR void VARIANT(store)(const attention *a, int first, int end) {
	const state *s = a->s;
	const int size = s->head_size, width = (s->heads + 2 * s->kv_heads) * size;
	for (int t = first; t < end; t++) {
		const run *r = sluice_run_of(s, t);
		const int position = r->past + t - r->first;
		if (t + 1 < end) {
			fetch(a->qkv + (size_t)(t + 1) * width + s->heads * size, 2 * s->kv_heads * size);
			fetch_angles(a->of, position + 1);
		}
		for (int h = 0; h < s->kv_heads; h++) {
			const size_t head = ((size_t)r->slot * s->kv_heads + h) * s->max_length * size;
			const float *keys = a->qkv + (size_t)t * width + s->heads * size, *value = keys + (s->kv_heads + h) * size;
			float normed[most_size], rotated[most_size];
			uint16_t key[most_size];
			rotate(s, a->of, position, head_of_row(s, a->of, a->of->key_norm, keys, s->kv_heads, h, normed), rotated, 1);
			uint16_t *k = a->of->keys + head + (size_t)(position / key_group) * key_group * size + 2 * (position % key_group);
			uint16_t *v = a->of->values + head + (size_t)(position / 2) * 2 * size;
			for (int i = 0; i < size; i += 16) {
				store_shorts(key + i, round_finite(rotated + i));
				// Another thread may be writing the other position of the pairs.
				store_every_other(v + 2 * i, round_finite(value + i), position % 2);
			}
			for (int i = 0; i < size; i += 2) memcpy(k + i * key_group, key + i, 2 * sizeof *k);
		}
	}
}

// What the spans of a query's keys came to so far.
typedef struct {
	float *y;
	float most, weight;
	int spans;
} total;

// add_span adds what the next span came to. The first one's sum may lie in y already.
VECTOR static void add_span(total *t, const float *sum, float most, float weight, int size) {
	if (t->spans++ == 0) {
		for (int d = 0; d < size && sum != t->y; d += 16) store(t->y + d, load(sum + d));
		t->most = most;
		t->weight = weight;
		return;
	}
	if (most == -INFINITY) { // it sees none of these keys; and -∞ less -∞ is no number
		t->weight += weight; // 0, or NaN, which the largest score may have lost
		return;
	}
	const int greater = most > t->most;
	const floats one = broadcast(1), less = exponential(broadcast((greater ? t->most - most : most - t->most) * ln2));
	const floats old = greater ? less : one, new = greater ? one : less;
	for (int d = 0; d < size; d += 16) {
		store(t->y + d, multiply_add(load(sum + d), new, times(load(t->y + d), old)));
	}
	t->weight = t->weight * first_lane(old) + weight * first_lane(new);
	if (greater) t->most = most;
}

VECTOR static void finish(const total *t, int size) {
	const floats inverse = broadcast(1 / t->weight);
	for (int d = 0; d < size; d += 16) store(t->y + d, times(load(t->y + d), inverse));
}

// head_of is where the keys, and the values, of an item begin.
static size_t head_of(const state *s, const item *it) {
	return ((size_t)it->run->slot * s->kv_heads + it->kv_head) * s->max_length * s->head_size;
}

// attend_queries computes some queries of an item, span by span. heads and tokens are theirs.
VECTOR static void attend_queries(const attention *a, const item *it, int divided, rows *q, int n, const int *token, const int *head, const uint16_t *next) {
	const state *s = a->s;
	const int size = s->head_size;
	span of = {.keys = a->of->keys + head_of(s, it), .values = a->of->values + head_of(s, it), .size = size};
	float sums[most_rows][most_size];
	total totals[most_rows];
	int low = q->low[0], end = 0;
	for (int r = 0; r < n; r++) {
		low = q->low[r] < low ? q->low[r] : low;
		end = q->end[r] > end ? q->end[r] : end;
		if (!divided) totals[r] = (total){.y = a->y + ((size_t)token[r] * s->heads + head[r]) * size};
	}
	for (int i = it->from; i < it->to; i++) {
		const int first = i * key_span, last = first + key_span;
		of.from = low > first ? low / key_group * key_group : first;
		of.to = end < last ? end : last;
		if (of.from >= of.to) continue;
		for (int r = 0; r < n; r++) {
			q->sum[r] = divided ? sluice_partial(s, token[r], head[r], i) + partial_head : totals[r].spans ? sums[r] : totals[r].y;
		}
		if (next) of.next = i + 1 < it->to ? of.keys + (size_t)last * size : next;
		VARIANT(attend_span)(&of, q, n, s->bf16);
		for (int r = 0; r < n; r++) {
			if (divided) {
				q->sum[r][-partial_head] = q->most[r];
				q->sum[r][1 - partial_head] = q->weight[r];
			} else if (q->low[r] < last && q->end[r] > first) {
				add_span(&totals[r], q->sum[r], q->most[r], q->weight[r], size);
			}
		}
	}
	for (int r = 0; !divided && r < n; r++) finish(&totals[r], size);
}

VECTOR static void attend_item(const attention *a, const item *it, int divided, const uint16_t *next) {
	const state *s = a->s;
	const int size = s->head_size, group = s->heads / s->kv_heads, width = (s->heads + 2 * s->kv_heads) * size, all = it->tokens * group;
	float normed[most_size], rotated[most_size];
	uint32_t queries[most_rows][most_size / 2];
	int token[most_rows], head[most_rows], n = 0;
	rows q = {.cap = a->of->cap * log2_e};
	for (int i = 0; i < all; i++) {
		token[n] = it->first + i / group;
		head[n] = it->kv_head * group + i % group;
		const int position = it->run->past + token[n] - it->run->first;
		const float *query = head_of_row(s, a->of, a->of->query_norm, a->qkv + (size_t)token[n] * width, s->heads, head[n], normed);
		rotate(s, a->of, position, query, rotated, a->of->scale * log2_e);
		for (int d = 0; d < size; d += 16) store_shorts((uint16_t *)queries[n] + d, bfloat16(load(rotated + d)));
		q.query[n] = queries[n];
		q.low[n] = low_of(a->of, position);
		q.end[n] = position + 1;
		if (++n == most_rows || i == all - 1) {
			attend_queries(a, it, divided, &q, n, token, head, next && i < all - 1 ? a->of->keys + head_of(s, it) : next);
			n = 0;
		}
	}
}

// fetch_queries asks for what an item begins with.
VECTOR static void fetch_queries(const attention *a, const item *it) {
	const state *s = a->s;
	const int group = s->heads / s->kv_heads * s->head_size, width = (s->heads + 2 * s->kv_heads) * s->head_size;
	for (int t = it->first; t < it->first + it->tokens; t++) {
		fetch(a->qkv + (size_t)t * width + it->kv_head * group, group);
		fetch_angles(a->of, it->run->past + t - it->run->first);
	}
}

void VARIANT(attend)(const attention *a, int divided, size_t first, size_t end) {
	const size_t items = sluice_attention_items(a->s, a->of, divided);
	item it = sluice_item(a, divided, first);
	for (size_t i = first; i < end; i++) {
		const item following = i + 1 < items ? sluice_item(a, divided, i + 1) : it;
		const uint16_t *next = a->of->keys + head_of(a->s, &following) + (size_t)following.from * key_span * a->s->head_size;
		if (i + 1 < end) fetch_queries(a, &following);
		attend_item(a, &it, divided, it.run->tokens > most_divided ? NULL : next); // those of many find the keys of those before
		it = following;
	}
}

void VARIANT(merge)(const attention *a, int first, int end) {
	const state *s = a->s;
	for (int t = first; t < end; t++) {
		const run *r = sluice_run_of(s, t);
		const int position = r->past + t - r->first;
		for (int h = 0; h < s->heads; h++) {
			total all = {.y = a->y + ((size_t)t * s->heads + h) * s->head_size};
			for (int span = low_of(a->of, position) / key_span; span <= position / key_span; span++) {
				const float *of = sluice_partial(s, t, h, span);
				add_span(&all, of + partial_head, of[0], of[1], s->head_size);
			}
			finish(&all, s->head_size);
		}
	}
}
