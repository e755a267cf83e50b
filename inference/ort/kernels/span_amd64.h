// Attention of a few queries over one span of keys.
#ifndef SLUICE_SPAN_H
#define SLUICE_SPAN_H

#include "variant.h"

enum {
	key_group = 16,  // positions that lie together in the keys
	most_rows = 6,   // queries that share what is loaded of keys and values
	most_size = 256, // of a head
};

// Queries that share a head of keys and values, and what becomes of them over a span of keys. Scores are to the base of 2.
typedef struct {
	const uint32_t *query[most_rows];    // rotated, scaled and rounded: pairs of values
	int low[most_rows], end[most_rows];  // the keys that each may see: from low to before end
	float *sum[most_rows];               // of values, each times 2^(score - most)
	float most[most_rows], weight[most_rows]; // the largest score, and the sum of 2^(score - most)
	float cap;                           // of scores; 0: none
} rows;

// The keys of a span that are computed, and their values: from `from`, the first of a group, to before `to`.
typedef struct {
	const uint16_t *keys, *values; // of the head
	const uint16_t *next;          // keys that are needed after them; NULL: all that is needed is in the cache
	int size, from, to;
} span;

// attend_span computes n queries over a span. bf16 says whether by AVX512_BF16.
void VARIANT(attend_span)(const span *of, rows *q, int n, int bf16);

#endif
