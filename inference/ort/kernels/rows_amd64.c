// What is computed of single rows.
#include "variant.h"
#include "vector.h"

// norm writes x/sqrt(mean(x²) + epsilon)·weight, of x plus a branch if there is one.
VECTOR void VARIANT(norm)(const action *a, const float *x, const float *branch, float *sum, float *y) {
	floats square = broadcast(0);
	for (int i = 0; i < a->width; i += 16) {
		floats v = load(x + i);
		if (branch) v = plus(v, load(branch + i));
		if (sum) store(sum + i, v);
		square = multiply_add(v, v, square);
		store(y + i, v);
	}
	const float mean = sum_lanes(square) / (float)a->width + a->epsilon;
	const floats scale = divided(broadcast(1), square_root(broadcast(mean)));
	for (int i = 0; i < a->width; i += 16) {
		store(y + i, times(times(load(y + i), scale), load(a->weight + i)));
	}
}

VECTOR void VARIANT(add)(const float *x, const float *branch, float *y, size_t n) {
	for (size_t i = 0; i < n; i += 16) store(y + i, plus(load(x + i), load(branch + i)));
}
