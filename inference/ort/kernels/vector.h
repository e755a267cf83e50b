// Vectors of 16 floats.
#ifndef SLUICE_VECTOR_H
#define SLUICE_VECTOR_H

#include <immintrin.h>

// A product and a sum are rounded one after the other unless the source says fma: which of the copies of a function
// computes a row must not show in its bits.
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#else
#pragma GCC optimize("fp-contract=off")
#endif

#define VECTOR __attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")))
#define INLINE static inline __attribute__((always_inline)) VECTOR

// exp(x) for x ≤ 88, to 2 units in the last place; 0 far below the smallest float. Cody and Waite's reduction to
// |r| ≤ ln(2)/2 and a polynomial of degree 6 (coefficients of the Taylor series, whose next term is below 1.2e-7).
// exp(0) is exactly 1, and exp(NaN) is NaN: of NaN and a number, max and min give their second operand.
INLINE __m512 exponential(__m512 x) {
	x = _mm512_max_ps(_mm512_set1_ps(-104), x);
	__m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(1.44269504f)), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
	__m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0.693359375f), x);
	r = _mm512_fnmadd_ps(n, _mm512_set1_ps(-2.12194440e-4f), r);
	__m512 p = _mm512_set1_ps(1.0f / 720);
	p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f / 120));
	p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f / 24));
	p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f / 6));
	p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.5f));
	p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1));
	p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1));
	return _mm512_scalef_ps(p, n);
}

// bounded is cap·tanh(x/cap), for cap > 0. NaN stays NaN.
INLINE __m512 bounded(__m512 v, float cap) {
	const __m512 most = _mm512_set1_ps(40), one = _mm512_set1_ps(1), two = _mm512_set1_ps(2);
	__m512 x = _mm512_mul_ps(v, _mm512_set1_ps(2 / cap));
	x = exponential(_mm512_max_ps(_mm512_sub_ps(_mm512_setzero_ps(), most), _mm512_min_ps(most, x)));
	return _mm512_mul_ps(_mm512_set1_ps(cap), _mm512_sub_ps(one, _mm512_div_ps(two, _mm512_add_ps(x, one))));
}

// bfloat16 rounds 16 values to bfloat16, to the nearest and of two to the even one. NaN stays NaN.
INLINE __m256i bfloat16(__m512 v) {
	const __m512i bits = _mm512_castps_si512(v), odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
	const __m512i up = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), odd);
	const __m512i y = _mm512_mask_mov_epi32(up, _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q), _mm512_set1_epi32(0x7fc00000));
	return _mm512_cvtepi32_epi16(_mm512_srli_epi32(y, 16));
}

// 16 halves as floats.
INLINE __m512 halves(const uint16_t *p) { return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p)); }

#endif
