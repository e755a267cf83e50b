// Attention of a few queries over one span of keys.
#ifndef SLUICE_SPAN_H
#define SLUICE_SPAN_H

#include "kernels.h"

enum {
	key_group = 16,  // positions that lie together in the keys
	most_rows = 6,   // queries that share what is loaded of keys and values
	most_size = 256, // of a head
};

// Queries that share a head of keys and values, and what becomes of them over a span of keys.
typedef struct {
	const float *query[most_rows];       // rotated and scaled
	int low[most_rows], end[most_rows];  // the keys that each may see: from low to before end
	float *sum[most_rows];               // of values, each times exp(score - most)
	float most[most_rows], weight[most_rows]; // the largest score, and the sum of exp(score - most)
	float cap;                           // of scores; 0: none
} rows;

// sluice_attend_span computes n queries over the keys from `from`, the first of a block, to before `to`. next are the keys
// that are needed after them.
void sluice_attend_span(const uint16_t *keys, const uint16_t *values, const uint16_t *next, int size, int from, int to, rows *q, int n);

#endif
