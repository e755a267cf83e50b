// Vectors of 16 lanes for AVX2: each two registers. What the functions do, vector.h says.
#ifndef SLUICE_VECTOR_AVX2_H
#define SLUICE_VECTOR_AVX2_H

#define VECTOR __attribute__((target("avx2,fma,f16c")))
#define INLINE static inline __attribute__((always_inline)) VECTOR

typedef struct {
	__m256 low, high;
} floats;

typedef struct {
	__m256i low, high;
} ints;

typedef __m256i shorts;

// As in vector_avx512.h.
enum {
	row_tile = 4,
	most_groups = 1,
	most_values = 1,
};

#define EACH_COUNT(F, ...) F(1, __VA_ARGS__) F(2, __VA_ARGS__) F(3, __VA_ARGS__) F(4, __VA_ARGS__)

INLINE floats broadcast(float x) { return (floats){_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
INLINE ints broadcast_int(int32_t x) { return (ints){_mm256_set1_epi32(x), _mm256_set1_epi32(x)}; }
INLINE ints lane_numbers(void) { return (ints){_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7), _mm256_setr_epi32(8, 9, 10, 11, 12, 13, 14, 15)}; }

INLINE floats load(const float *p) { return (floats){_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
INLINE floats load_halves(const uint16_t *p) {
	return (floats){_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p)), _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(p + 8)))};
}
INLINE ints load_ints(const void *p) { return (ints){_mm256_loadu_si256(p), _mm256_loadu_si256((const __m256i *)p + 1)}; }
INLINE void store(float *p, floats v) {
	_mm256_storeu_ps(p, v.low);
	_mm256_storeu_ps(p + 8, v.high);
}
INLINE void store_first(float *p, floats v, int n) {
	static const int32_t lanes[32] = {-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1};
	_mm256_maskstore_ps(p, _mm256_loadu_si256((const __m256i *)(lanes + 16 - n)), v.low);
	_mm256_maskstore_ps(p + 8, _mm256_loadu_si256((const __m256i *)(lanes + 24 - n)), v.high);
}
INLINE void store_ints(void *p, ints v) {
	_mm256_storeu_si256(p, v.low);
	_mm256_storeu_si256((__m256i *)p + 1, v.high);
}
INLINE void store_shorts(uint16_t *p, shorts v) { _mm256_storeu_si256((__m256i *)p, v); }
INLINE void store_bytes(int8_t *p, ints v) {
	const __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(v.low, v.high), 0xd8); // packed by halves of registers
	_mm_storeu_si128((__m128i *)p, _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1)));
}
INLINE void store_every_other(uint16_t *p, shorts v, int odd) {
	uint16_t all[16];
	store_shorts(all, v);
	for (int i = 0; i < 16; i++) p[2 * i + odd] = all[i];
}

INLINE floats plus(floats a, floats b) { return (floats){_mm256_add_ps(a.low, b.low), _mm256_add_ps(a.high, b.high)}; }
INLINE floats minus(floats a, floats b) { return (floats){_mm256_sub_ps(a.low, b.low), _mm256_sub_ps(a.high, b.high)}; }
INLINE floats times(floats a, floats b) { return (floats){_mm256_mul_ps(a.low, b.low), _mm256_mul_ps(a.high, b.high)}; }
INLINE floats divided(floats a, floats b) { return (floats){_mm256_div_ps(a.low, b.low), _mm256_div_ps(a.high, b.high)}; }
INLINE floats multiply_add(floats a, floats b, floats c) {
	return (floats){_mm256_fmadd_ps(a.low, b.low, c.low), _mm256_fmadd_ps(a.high, b.high, c.high)};
}
INLINE floats subtract_product(floats c, floats a, floats b) {
	return (floats){_mm256_fnmadd_ps(a.low, b.low, c.low), _mm256_fnmadd_ps(a.high, b.high, c.high)};
}
INLINE floats smaller(floats a, floats b) { return (floats){_mm256_min_ps(a.low, b.low), _mm256_min_ps(a.high, b.high)}; }
INLINE floats larger(floats a, floats b) { return (floats){_mm256_max_ps(a.low, b.low), _mm256_max_ps(a.high, b.high)}; }
INLINE floats square_root(floats v) { return (floats){_mm256_sqrt_ps(v.low), _mm256_sqrt_ps(v.high)}; }
INLINE floats nearest_integer(floats v) {
	return (floats){_mm256_round_ps(v.low, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC),
	                _mm256_round_ps(v.high, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
INLINE floats rounded_down(floats v) {
	return (floats){_mm256_round_ps(v.low, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC), _mm256_round_ps(v.high, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC)};
}

INLINE ints plus_ints(ints a, ints b) { return (ints){_mm256_add_epi32(a.low, b.low), _mm256_add_epi32(a.high, b.high)}; }
INLINE ints larger_ints(ints a, ints b) { return (ints){_mm256_max_epi32(a.low, b.low), _mm256_max_epi32(a.high, b.high)}; }
INLINE ints both(ints a, ints b) { return (ints){_mm256_and_si256(a.low, b.low), _mm256_and_si256(a.high, b.high)}; }

INLINE ints to_ints(floats v) { return (ints){_mm256_cvtps_epi32(v.low), _mm256_cvtps_epi32(v.high)}; }
INLINE floats to_floats(ints v) { return (floats){_mm256_cvtepi32_ps(v.low), _mm256_cvtepi32_ps(v.high)}; }
INLINE ints magnitude_bits(floats v) {
	return both((ints){_mm256_castps_si256(v.low), _mm256_castps_si256(v.high)}, broadcast_int(0x7fffffff));
}

// power is 2^n, for n from -126 to 127.
INLINE __m256 power(__m256i n) { return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(n, _mm256_set1_epi32(127)), 23)); }

// times_power multiplies twice, by 2 to the halves of n: the first time, what comes is a normal number, and nothing is rounded.
INLINE floats times_power(floats v, floats n) {
	const ints all = to_ints(n);
	const ints half = {_mm256_srai_epi32(all.low, 1), _mm256_srai_epi32(all.high, 1)};
	const floats one = {power(half.low), power(half.high)};
	const floats other = {power(_mm256_sub_epi32(all.low, half.low)), power(_mm256_sub_epi32(all.high, half.high))};
	return times(times(v, one), other);
}

// select_below is where_below of one register. Integers have no unsigned comparison: half their range is taken off them.
INLINE __m256 select_below(__m256i a, __m256i b, __m256 v, __m256 other) {
	const __m256i half = _mm256_set1_epi32(INT32_MIN);
	return _mm256_blendv_ps(other, v, _mm256_castsi256_ps(_mm256_cmpgt_epi32(_mm256_xor_si256(b, half), _mm256_xor_si256(a, half))));
}
INLINE floats where_below(ints a, ints b, floats v, floats other) {
	return (floats){select_below(a.low, b.low, v.low, other.low), select_below(a.high, b.high, v.high, other.high)};
}

INLINE int none_above(floats a, floats b) {
	return _mm256_movemask_ps(_mm256_or_ps(_mm256_cmp_ps(a.low, b.low, _CMP_GT_OQ), _mm256_cmp_ps(a.high, b.high, _CMP_GT_OQ))) == 0;
}
INLINE int all_below(floats a, floats b) {
	return _mm256_movemask_ps(_mm256_and_ps(_mm256_cmp_ps(a.low, b.low, _CMP_LT_OQ), _mm256_cmp_ps(a.high, b.high, _CMP_LT_OQ))) == 0xff;
}

// rounded is bfloat16 of one register, with zeros above.
INLINE __m256i rounded(__m256 v) {
	const __m256i bits = _mm256_castps_si256(v), odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
	const __m256i up = _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), odd);
	const __m256i none = _mm256_castps_si256(_mm256_cmp_ps(v, v, _CMP_UNORD_Q));
	return _mm256_srli_epi32(_mm256_blendv_epi8(up, _mm256_set1_epi32(0x7fc00000), none), 16);
}
INLINE shorts bfloat16(floats v) { return _mm256_permute4x64_epi64(_mm256_packus_epi32(rounded(v.low), rounded(v.high)), 0xd8); }

INLINE float first_lane(floats v) { return _mm256_cvtss_f32(v.low); }
INLINE float sum_lanes(floats v) { return sum_of_8(_mm256_add_ps(v.low, v.high)); }
INLINE float largest_lane(floats v) { return largest_of_8(_mm256_max_ps(v.high, v.low)); }
INLINE int32_t sum_int_lanes(ints v) {
	const __m256i eight = _mm256_add_epi32(v.low, v.high);
	const __m128i four = _mm_add_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
	const __m128i two = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4e));
	return _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32(two, 0xb1)));
}
INLINE int32_t largest_int_lane(ints v) {
	const __m256i eight = _mm256_max_epi32(v.low, v.high);
	const __m128i four = _mm_max_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
	const __m128i two = _mm_max_epi32(four, _mm_shuffle_epi32(four, 0x4e));
	return _mm_cvtsi128_si32(_mm_max_epi32(two, _mm_shuffle_epi32(two, 0xb1)));
}

INLINE floats odd_ones(ints pairs) {
	const ints odd = both(pairs, broadcast_int((int)0xffff0000));
	return (floats){_mm256_castsi256_ps(odd.low), _mm256_castsi256_ps(odd.high)};
}
INLINE floats even_ones(ints pairs) {
	return (floats){_mm256_castsi256_ps(_mm256_slli_epi32(pairs.low, 16)), _mm256_castsi256_ps(_mm256_slli_epi32(pairs.high, 16))};
}
INLINE floats add_pairs(floats sum, ints pairs, const uint32_t *one, const int bf16) {
	(void)bf16;
	const ints x = broadcast_int((int32_t)*one);
	return multiply_add(even_ones(pairs), even_ones(x), multiply_add(odd_ones(pairs), odd_ones(x), sum));
}
INLINE ints pairs_of(floats low, floats high, const int bf16) {
	(void)bf16;
	return (ints){bfloat16(low), bfloat16(high)};
}

#include "block_avx2.h"

#endif
