// Vectors of 16 lanes, and what the kernels do with them. All vector instructions are here and in the headers below, one
// for each kind of processor: a source of the kernels says what is computed, and a header by which instructions. Results
// are the same bits on all.
//
//	floats, ints           16 lanes of float32, and of int32. shorts: 16 of 16 bits
//	broadcast              all lanes the same
//	load_halves            binary16 numbers as floats
//	store_first            the first n lanes, 1 to 16
//	store_bytes            saturated to int8
//	store_every_other      16 of 32 places: the even ones, or the odd ones. The others are not touched: another thread may write them
//	multiply_add           a·b + c, rounded once; subtract_product: c - a·b so
//	smaller, larger        of NaN and a number the second operand
//	nearest_integer        of two the even one. to_ints: too, and -2^31 of what is no int32
//	times_power            v·2^n, rounded once, for v from 1/2 to 2 and integers n from -200 to 127. NaN if v is NaN
//	magnitude_bits         of |v|, as integers: these have the order of the magnitudes, NaN above infinity
//	where_below            v where a < b as unsigned integers, elsewhere other
//	all_below, none_above  whether each of a is below the one of b, and whether none is above it: NaN is neither
//	bfloat16               rounds to bfloat16, to the nearest and of two to the even one. NaN stays NaN
//	sum_lanes, largest_lane of lanes 8 apart first, then 4, 2 and 1 apart
//	multiply_block         adds to R rows' sums the products of a block of 16 outputs' codes with the rows' codes, which are
//	                       pitch apart: of length inputs, in the order in which sluice_pack_row has put them
//	multiply_halves        the same by the high halves of 8-bit codes, the low ones 0, or by both: of 32 inputs
//	add_pairs              adds products of 16 pairs of bfloat16 numbers with one pair: the odd ones first. bf16: by AVX512_BF16
//	pairs_of               rounds 32 values to bfloat16, as pairs
#ifndef SLUICE_VECTOR_H
#define SLUICE_VECTOR_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

// A product and a sum are rounded one after the other unless the source says multiply_add: which of the copies of a function
// computes a row must not show in its bits.
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#else
#pragma GCC optimize("fp-contract=off")
#endif

// sum_of_8 and largest_of_8 end what sum_lanes and largest_lane begin.
static inline __attribute__((always_inline, target("avx2"))) float sum_of_8(__m256 v) {
	const __m128 four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
	const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
	return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

static inline __attribute__((always_inline, target("avx2"))) float largest_of_8(__m256 v) {
	const __m128 four = _mm_max_ps(_mm256_extractf128_ps(v, 1), _mm256_castps256_ps128(v));
	const __m128 two = _mm_max_ps(_mm_movehl_ps(four, four), four);
	return _mm_cvtss_f32(_mm_max_ss(_mm_movehdup_ps(two), two));
}

// float_of is the number with these bits.
static inline __attribute__((always_inline, target("avx2"))) float float_of(int32_t bits) {
	return _mm_cvtss_f32(_mm_castsi128_ps(_mm_cvtsi32_si128(bits)));
}

#ifdef SLUICE_AVX2
#include "vector_avx2.h"
#else
#include "vector_avx512.h"
#endif

// exponential is exp(x) for x ≤ 88, to 2 units in the last place; 0 far below the smallest float. Cody and Waite's reduction
// to |r| ≤ ln(2)/2 and a polynomial of degree 6 (coefficients of the Taylor series, whose next term is below 1.2e-7).
// exp(0) is exactly 1, and exp(NaN) is NaN.
INLINE floats exponential(floats x) {
	x = larger(broadcast(-104), x);
	const floats n = nearest_integer(times(x, broadcast(1.44269504f)));
	floats r = subtract_product(x, n, broadcast(0.693359375f));
	r = subtract_product(r, n, broadcast(-2.12194440e-4f));
	floats p = broadcast(1.0f / 720);
	p = multiply_add(p, r, broadcast(1.0f / 120));
	p = multiply_add(p, r, broadcast(1.0f / 24));
	p = multiply_add(p, r, broadcast(1.0f / 6));
	p = multiply_add(p, r, broadcast(0.5f));
	p = multiply_add(p, r, broadcast(1));
	p = multiply_add(p, r, broadcast(1));
	return times_power(p, n);
}

// bounded is cap·tanh(x/cap), for cap > 0. NaN stays NaN.
INLINE floats bounded(floats v, float cap) {
	const floats x = exponential(larger(broadcast(-40), smaller(broadcast(40), times(v, broadcast(2 / cap)))));
	return times(broadcast(cap), minus(broadcast(1), divided(broadcast(2), plus(x, broadcast(1)))));
}

#endif
