// How a step's attention is divided into items.
#ifndef SLUICE_ITEMS_H
#define SLUICE_ITEMS_H

#include "kernels.h"

enum {
	most_divided = 8,  // tokens of a step whose keys may be divided
	partial_head = 16, // floats before the sum of a partial result: a vector, of which two are used
};

// A few consecutive tokens of a run, for one head of keys and values, and one span of them, or all.
typedef struct {
	const run *run;
	int first, tokens, kv_head; // first: among the step's tokens
	int from, to;               // spans
} item;

// sluice_item finds an item by its place. The tokens of a run that see most come first.
item sluice_item(const attention *a, int divided, size_t place);

// sluice_run_of finds a token's run.
const run *sluice_run_of(const state *s, int token);

// low_of is the first position that a token sees.
static inline int low_of(const layer *of, int position) {
	return of->window > 0 && position >= of->window ? position - of->window + 1 : 0;
}

// sluice_partial is where the result of a span of a token's head goes that is divided: [most, weight, …], partial_head floats,
// and the sum of values.
float *sluice_partial(const state *s, int token, int head, int span);

#endif
