// What products have in common.
#ifndef SLUICE_TILE_H
#define SLUICE_TILE_H

#include "vector.h"

// fetch_ahead asks for the weights that come soon: the next tiles follow in memory, and what lies behind the last does not
// fault. A product of few rows waits for memory, and has it best brought close; with many, the second level of the cache
// is close enough, and what the rows need in the first stays there.
INLINE void fetch_ahead(const uint8_t *block, const int size, const int R) {
#pragma GCC unroll 10
	for (int i = 0; i < size; i += 64) {
		if (R <= 2) {
			_mm_prefetch((const char *)block + 4096 + i, _MM_HINT_T0);
		} else {
			_mm_prefetch((const char *)block + 8192 + i, _MM_HINT_T1);
		}
	}
}

// ended is what a row of a tile's results is, but for gates.
INLINE floats ended(floats v, const float *bias, float cap) {
	if (bias) v = plus(v, load(bias));
	return cap > 0 ? bounded(v, cap) : v;
}

#endif
