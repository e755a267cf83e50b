// Items of attention: a few tokens of a run and a head of keys, so that what is loaded of them serves several queries. With few
// tokens, each span of keys is an item of its own.
#include "items_amd64.h"

enum { group_tokens = 2 }; // tokens of a run that are taken together

const run *sluice_run_of(const state *s, int token) {
	int i = 0;
	while (token >= s->runs[i].first + s->runs[i].tokens) i++;
	return &s->runs[i];
}

static int groups_of(const run *r) { return (r->tokens + group_tokens - 1) / group_tokens; }

// group_of gives the tokens and spans of one of a run's groups of tokens.
static item group_of(const layer *of, const run *r, int group) {
	const int first = group * group_tokens, left = r->tokens - first;
	item it = {.run = r, .first = r->first + first, .tokens = left < group_tokens ? left : group_tokens};
	it.from = low_of(of, r->past + first) / key_span;
	it.to = (r->past + first + it.tokens - 1) / key_span + 1;
	return it;
}

size_t sluice_attention_items(const state *s, const layer *of, int divided) {
	size_t n = 0;
	for (int i = 0; i < s->run_count; i++) {
		const int groups = groups_of(&s->runs[i]);
		if (!divided) n += groups;
		for (int g = 0; divided && g < groups; g++) {
			const item it = group_of(of, &s->runs[i], g);
			n += it.to - it.from;
		}
	}
	return n * s->kv_heads;
}

item sluice_item(const attention *a, int divided, size_t place) {
	const state *s = a->s;
	for (int i = s->run_count - 1; i >= 0; i--) {
		const run *r = &s->runs[i];
		size_t groups = groups_of(r);
		if (!divided) {
			if (place < groups * s->kv_heads) {
				item it = group_of(a->of, r, groups - 1 - place / s->kv_heads);
				it.kv_head = place % s->kv_heads;
				return it;
			}
			place -= groups * s->kv_heads;
			continue;
		}
		while (groups-- > 0) {
			item it = group_of(a->of, r, groups);
			const size_t spans = it.to - it.from;
			if (place < spans * s->kv_heads) {
				it.kv_head = place / spans;
				it.from += place % spans;
				it.to = it.from + 1;
				return it;
			}
			place -= spans * s->kv_heads;
		}
	}
	return (item){0}; // there is none
}

// spans is how many a head of partial results has: they are [token, head, span].
static int spans(const state *s) { return (s->max_length + key_span - 1) / key_span; }

size_t sluice_partials(const state *s) { return (size_t)most_divided * s->heads * spans(s) * (partial_head + s->head_size); }

float *sluice_partial(const state *s, int token, int head, int span) {
	return s->partials + (((size_t)token * s->heads + head) * spans(s) + span) * (partial_head + s->head_size);
}

int sluice_attention_divided(const state *s, int tokens) {
	if (s->threads == 1 || tokens > most_divided) return 0;
	size_t items = 0;
	for (int i = 0; i < s->run_count; i++) items += groups_of(&s->runs[i]);
	return items * s->kv_heads < 8 * (size_t)s->threads;
}
