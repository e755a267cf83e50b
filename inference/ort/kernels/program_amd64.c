// Programs: what lies between a model's embeddings and its logits, action by action.
//
// Actions that make a row from the same row of others need not wait for each other. Of many rows, a thread takes its own
// through all of them up to the next attention, each product with all weights: what it makes stays in its cache. Of few rows,
// it takes its own tiles of a product through all rows: then each of the weights is read by one thread only.
#include <string.h>

#include "kernels.h"
#include "team_amd64.h"

enum {
	divided_rows = 8, // of a thread; from these on, rows are divided. Each thread reads all weights for that
	part_rows = 128,  // at most, of a part
	large = 1 << 22,  // multiplications of a product that is worth several parts for each thread
};

// One run of a program.
typedef struct {
	const program *p;
	const state *s;
	const float *x;
	float *y;
	const int64_t *index;
	int tokens, wanted, divided;
	state chosen; // s, but for its runs: those of the tokens that are wanted
} call;

static const float *from_buffer(const call *c, int buffer) { return buffer == buffer_input ? c->x : buffer == buffer_output ? c->y : c->s->buffers[buffer]; }

static float *to_buffer(const call *c, int buffer) { return buffer == buffer_output ? c->y : c->s->buffers[buffer]; }

// choose finds the runs of the tokens that are wanted. Without a token's neighbours, its attention has the same bits.
static void choose(call *c) {
	c->chosen = *c->s;
	c->chosen.runs = c->s->chosen;
	c->chosen.run_count = 0;
	if (c->wanted == 0) return;
	uint8_t *marks = c->s->marks;
	memset(marks, 0, c->tokens);
	for (int i = 0; i < c->wanted; i++) marks[c->index[i]] = 1;
	for (int i = 0; i < c->s->run_count; i++) {
		const run *r = &c->s->runs[i];
		run *to = NULL; // which the last token belongs to
		for (int t = r->first; t < r->first + r->tokens; t++) {
			if (!marks[t]) {
				to = NULL;
				continue;
			}
			if (!to) {
				to = &c->chosen.runs[c->chosen.run_count++];
				*to = (run){.slot = r->slot, .past = r->past + t - r->first, .first = t};
			}
			to->tokens++;
		}
	}
}

static attention attention_of(const call *c, const action *a) {
	return (attention){.s = a->chosen ? &c->chosen : c->s, .of = &c->s->layers[a->layer], .qkv = from_buffer(c, a->x), .y = a->y < 0 ? NULL : to_buffer(c, a->y)};
}

// multiply makes some tiles of a product, of rows from first to end-1.
static void multiply(const call *c, const action *a, int first, int end, size_t first_tile, size_t end_tile) {
	float *y = to_buffer(c, a->y) + a->column;
	if (a->matrix->split) {
		const variant *by = c->s->by;
		(a->kind == do_multiply ? by->multiply_head : a->kind == do_refine ? by->refine_head : by->complete_head)(
			a->matrix, c->s, y, a->pitch, first, end, first_tile, end_tile);
		return;
	}
	const size_t all = a->chosen; // the first tile of all rows
	if (end_tile > all) c->s->by->multiply(a->matrix, c->s, y, a->pitch, first, end, first_tile > all ? first_tile : all, end_tile);
	if (first_tile >= all || c->wanted == 0) return;
	for (int r = first, next; r < end; r = next + 1) {
		for (next = r; next < end && c->s->marks[next]; next++) {}
		if (next > r) c->s->by->multiply(a->matrix, c->s, y, a->pitch, r, next, first_tile, end_tile < all ? end_tile : all);
	}
}

// merge ends divided attention of those tokens from first to end-1 that it is of.
static void merge(const attention *of, int first, int end) {
	for (int i = 0; i < of->s->run_count; i++) {
		const run *r = &of->s->runs[i];
		const int last = r->first + r->tokens;
		of->s->by->merge(of, first > r->first ? first : r->first, end < last ? end : last);
	}
}

// act does an action for rows from first to end-1.
static void act(const call *c, const action *a, int first, int end) {
	const size_t at = (size_t)first * a->width, n = (size_t)(end - first) * a->width;
	switch (a->kind) {
	case do_norm:
		for (size_t r = at; r < at + n; r += a->width) {
			c->s->by->norm(a, from_buffer(c, a->x) + r, a->branch < 0 ? NULL : from_buffer(c, a->branch) + r,
			               a->sum < 0 ? NULL : to_buffer(c, a->sum) + r, to_buffer(c, a->y) + r);
		}
		break;
	case do_add: c->s->by->add(from_buffer(c, a->x) + at, from_buffer(c, a->branch) + at, to_buffer(c, a->y) + at, n); break;
	case do_select:
		for (size_t r = first; r < (size_t)end; r++) {
			memcpy(to_buffer(c, a->y) + r * a->width, from_buffer(c, a->x) + c->index[r] * a->width, a->width * sizeof(float));
		}
		break;
	case do_round:
		c->s->by->round(a->matrix, c->s, from_buffer(c, a->x), first, end);
		if (a->matrix->split) c->s->by->begin_head(a->matrix, c->s, first, end);
		break;
	case do_multiply:
	case do_refine:
	case do_complete: multiply(c, a, first, end, 0, sluice_tile_count(a->matrix)); break;
	case do_store: {
		const attention of = attention_of(c, a);
		c->s->by->store(&of, first, end);
		break;
	}
	case do_merge: {
		const attention of = attention_of(c, a);
		if (c->divided) merge(&of, first, end);
		break;
	}
	}
}

// run_part does one part of a phase.
static void run_part(const void *context, const phase *p, int part) {
	const call *c = context;
	const action *a = &c->p->actions[p->from];
	if (p->by == by_rows) {
		const int units = (p->rows + p->unit - 1) / p->unit;
		const int first = (int)((int64_t)units * part / p->parts) * p->unit, last = (int)((int64_t)units * (part + 1) / p->parts) * p->unit;
		const int end = last < p->rows ? last : p->rows;
		for (int i = p->from; i < p->to; i++, a++) act(c, a, first, end);
	} else if (p->by == by_tiles) {
		const int64_t tiles = sluice_tile_count(a->matrix);
		multiply(c, a, 0, p->rows, tiles * part / p->parts, tiles * (part + 1) / p->parts);
	} else {
		const attention of = attention_of(c, a);
		c->s->by->attend(&of, c->divided, p->items * part / p->parts, p->items * (part + 1) / p->parts);
	}
}

static int least(int64_t a, int64_t b) { return (int)(a < b ? a : b); }

// plan divides a program into phases. It gives their number.
static int plan(const call *c, phase *phases) {
	const int threads = c->s->threads, count = c->p->actions_count;
	int n = 0;
	phase *open = NULL; // of rows, to which actions are added
	for (int i = 0; i < count; i++) {
		const action *a = &c->p->actions[i];
		const int rows = a->wanted ? c->wanted : c->tokens, many = threads > 1 && rows >= divided_rows * threads;
		if (rows == 0) {
			open = NULL; // a phase runs all actions from its first to its last: none may be skipped among them
			continue;
		}
		if (a->kind == do_attend) {
			const attention of = attention_of(c, a);
			const size_t items = sluice_attention_items(of.s, of.of, c->divided);
			open = NULL;
			if (items == 0) continue;
			// Parts enough for the threads to end together, though some items see more than others.
			phases[n++] = (phase){.by = by_items, .from = i, .to = i + 1, .items = (int64_t)items, .parts = least((int64_t)items, 16 * (int64_t)threads)};
		} else if ((a->kind == do_multiply || a->kind == do_refine || a->kind == do_complete) && !many) {
			const int64_t work = (int64_t)a->matrix->in * a->matrix->out * rows, tiles = sluice_tile_count(a->matrix);
			phases[n++] = (phase){.by = by_tiles, .from = i, .to = i + 1, .rows = rows, .parts = least(tiles, threads * (work < large ? 1 : 4))};
			open = NULL;
		} else if (open && c->p->actions[open->from].wanted == a->wanted) {
			open->to = i + 1;
		} else {
			open = &phases[n++];
			*open = (phase){.by = by_rows, .from = i, .to = i + 1, .rows = rows, .unit = many ? divided_rows : 1};
			open->parts = many ? threads * ((rows + threads * part_rows - 1) / (threads * part_rows)) : least(rows, threads);
		}
	}
	return n;
}

void sluice_run(const program *p, const state *s, const float *x, float *y, const int64_t *index, int tokens, int wanted, const parallel *by) {
	call c = {.p = p, .s = s, .x = x, .y = y, .index = index, .tokens = tokens, .wanted = wanted};
	if (tokens == 0) return;
	choose(&c);
	c.divided = sluice_attention_divided(s, tokens);
	work w = {.phases = s->phases, .counters = s->counters, .threads = s->threads, .run = run_part, .context = &c};
	w.count = plan(&c, s->phases);
	sluice_work(&w, by);
}

int sluice_product_actions(const matrix *m, action *a) {
	a[0] = (action){.kind = do_round, .x = buffer_input, .branch = -1, .sum = -1, .y = -1, .width = m->in, .matrix = m};
	a[1] = (action){.kind = do_multiply, .x = -1, .branch = -1, .sum = -1, .y = buffer_output, .width = m->in, .matrix = m, .pitch = m->out};
	if (!m->split) return 2;
	a[2] = a[3] = a[1];
	a[2].kind = do_refine;
	a[3].kind = do_complete;
	return 4;
}

int sluice_attention_actions(int layer, action *a) {
	a[0] = (action){.kind = do_store, .x = buffer_input, .branch = -1, .sum = -1, .y = -1, .layer = layer};
	a[1] = (action){.kind = do_attend, .x = buffer_input, .branch = -1, .sum = -1, .y = buffer_output, .layer = layer};
	a[2] = (action){.kind = do_merge, .x = buffer_input, .branch = -1, .sum = -1, .y = buffer_output, .layer = layer};
	return 3;
}
