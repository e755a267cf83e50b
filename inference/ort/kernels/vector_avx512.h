// Vectors of 16 lanes for AVX-512 VNNI: each a register. What the functions do, vector.h says.
#ifndef SLUICE_VECTOR_AVX512_H
#define SLUICE_VECTOR_AVX512_H

#define VECTOR __attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")))
#define INLINE static inline __attribute__((always_inline)) VECTOR

typedef __m512 floats;
typedef __m512i ints;
typedef __m256i shorts;

// There are registers for the sums of so many rows that share what was unpacked of a block of weights; and of six queries and so many
// groups of keys, or vectors of values.
enum {
	row_tile = 8,
	most_groups = 4,
	most_values = 4,
};

// EACH_COUNT makes of a macro something for each number of rows.
#define EACH_COUNT(F, ...)                                                                    \
	F(1, __VA_ARGS__) F(2, __VA_ARGS__) F(3, __VA_ARGS__) F(4, __VA_ARGS__) F(5, __VA_ARGS__)   \
	F(6, __VA_ARGS__) F(7, __VA_ARGS__) F(8, __VA_ARGS__)

INLINE floats broadcast(float x) { return _mm512_set1_ps(x); }
INLINE ints broadcast_int(int32_t x) { return _mm512_set1_epi32(x); }
INLINE ints lane_numbers(void) { return _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15); }

INLINE floats load(const float *p) { return _mm512_loadu_ps(p); }
INLINE floats load_halves(const uint16_t *p) { return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p)); }
INLINE ints load_ints(const void *p) { return _mm512_loadu_si512(p); }
INLINE void store(float *p, floats v) { _mm512_storeu_ps(p, v); }
INLINE void store_first(float *p, floats v, int n) { _mm512_mask_storeu_ps(p, (__mmask16)((1 << n) - 1), v); }
INLINE void store_ints(void *p, ints v) { _mm512_storeu_si512(p, v); }
INLINE void store_shorts(uint16_t *p, shorts v) { _mm256_storeu_si256((__m256i *)p, v); }
INLINE void store_bytes(int8_t *p, ints v) { _mm_storeu_si128((__m128i *)p, _mm512_cvtsepi32_epi8(v)); }
INLINE void store_every_other(uint16_t *p, shorts v, int odd) {
	const ints wide = _mm512_cvtepu16_epi32(v);
	if (odd) {
		_mm512_mask_storeu_epi16(p, 0xaaaaaaaa, _mm512_slli_epi32(wide, 16));
	} else {
		_mm512_mask_storeu_epi16(p, 0x55555555, wide);
	}
}

INLINE floats plus(floats a, floats b) { return _mm512_add_ps(a, b); }
INLINE floats minus(floats a, floats b) { return _mm512_sub_ps(a, b); }
INLINE floats times(floats a, floats b) { return _mm512_mul_ps(a, b); }
INLINE floats divided(floats a, floats b) { return _mm512_div_ps(a, b); }
INLINE floats multiply_add(floats a, floats b, floats c) { return _mm512_fmadd_ps(a, b, c); }
INLINE floats subtract_product(floats c, floats a, floats b) { return _mm512_fnmadd_ps(a, b, c); }
INLINE floats smaller(floats a, floats b) { return _mm512_min_ps(a, b); }
INLINE floats larger(floats a, floats b) { return _mm512_max_ps(a, b); }
INLINE floats square_root(floats v) { return _mm512_sqrt_ps(v); }
INLINE floats nearest_integer(floats v) { return _mm512_roundscale_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
INLINE floats rounded_down(floats v) { return _mm512_roundscale_ps(v, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC); }
INLINE floats times_power(floats v, floats n) { return _mm512_scalef_ps(v, n); }

INLINE ints plus_ints(ints a, ints b) { return _mm512_add_epi32(a, b); }
INLINE ints larger_ints(ints a, ints b) { return _mm512_max_epi32(a, b); }
INLINE ints both(ints a, ints b) { return _mm512_and_si512(a, b); }

INLINE ints to_ints(floats v) { return _mm512_cvtps_epi32(v); }
INLINE floats to_floats(ints v) { return _mm512_cvtepi32_ps(v); }
INLINE ints magnitude_bits(floats v) { return _mm512_castps_si512(_mm512_abs_ps(v)); }
INLINE floats where_below(ints a, ints b, floats v, floats other) { return _mm512_mask_mov_ps(other, _mm512_cmplt_epu32_mask(a, b), v); }

INLINE int none_above(floats a, floats b) { return _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ) == 0; }
INLINE int all_below(floats a, floats b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ) == 0xffff; }

INLINE shorts bfloat16(floats v) {
	const ints bits = _mm512_castps_si512(v), odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
	const ints up = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), odd);
	const ints y = _mm512_mask_mov_epi32(up, _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q), _mm512_set1_epi32(0x7fc00000));
	return _mm512_cvtepi32_epi16(_mm512_srli_epi32(y, 16));
}

INLINE float first_lane(floats v) { return _mm512_cvtss_f32(v); }
INLINE float sum_lanes(floats v) { return sum_of_8(_mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1))); }
INLINE float largest_lane(floats v) { return largest_of_8(_mm256_max_ps(_mm512_extractf32x8_ps(v, 1), _mm512_castps512_ps256(v))); }
INLINE int32_t sum_int_lanes(ints v) { return _mm512_reduce_add_epi32(v); }
INLINE int32_t largest_int_lane(ints v) { return _mm512_reduce_max_epi32(v); }

// add_products adds to each lane the products of four unsigned bytes of w with four codes, which all lanes share. Compilers load the
// codes into a register and spread them from there, which takes a third of the time of a whole product.
INLINE ints add_products(ints sum, ints w, const int8_t *codes) {
	__asm__("vpdpbusd %2%{1to16%}, %1, %0" : "+v"(sum) : "v"(w), "m"(*(const int32_t(*)[1])codes));
	return sum;
}

// As for add_products.
INLINE floats add_pairs(floats sum, ints pairs, const uint32_t *one, const int bf16) {
	if (bf16) {
		__asm__("vdpbf16ps %2%{1to16%}, %1, %0" : "+v"(sum) : "v"(pairs), "m"(*one));
		return sum;
	}
	const ints x = _mm512_set1_epi32((int)*one), high = _mm512_set1_epi32((int)0xffff0000);
	sum = _mm512_fmadd_ps(_mm512_castsi512_ps(_mm512_and_si512(pairs, high)), _mm512_castsi512_ps(_mm512_and_si512(x, high)), sum);
	return _mm512_fmadd_ps(_mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16)), _mm512_castsi512_ps(_mm512_slli_epi32(x, 16)), sum);
}

INLINE ints pairs_of(floats low, floats high, const int bf16) {
	if (bf16) {
		ints pairs;
		__asm__("vcvtne2ps2bf16 %2, %1, %0" : "=v"(pairs) : "v"(high), "v"(low));
		return pairs;
	}
	return _mm512_inserti64x4(_mm512_castsi256_si512(bfloat16(low)), bfloat16(high), 1);
}

// unpack gives the codes of a block as vectors, each of four inputs of the tile's outputs.
INLINE void unpack(const uint8_t *block, const int bits, const int length, ints w[8]) {
	const ints low = _mm512_set1_epi8(15);
	for (int i = 0; i < length * bits / 32; i++) {
		const ints v = load_ints(block + 64 * i);
		if (bits == 4) {
			w[2 * i] = _mm512_and_si512(v, low);
			w[2 * i + 1] = _mm512_and_si512(_mm512_srli_epi16(v, 4), low);
		} else {
			w[i] = v;
		}
	}
}

INLINE void multiply_halves(const uint8_t *high, const uint8_t *low, const int8_t *codes, size_t pitch, const int R, const int both_halves, ints *product) {
	const ints mask = _mm512_set1_epi8((char)0xf0);
#pragma GCC unroll 4
	for (int i = 0; i < 4; i++) {
		const ints h = load_ints(high + 64 * i);
		ints w0 = _mm512_and_si512(_mm512_slli_epi16(h, 4), mask), w1 = _mm512_and_si512(h, mask);
		if (both_halves) {
			const ints l = load_ints(low + 64 * i);
			w0 = _mm512_or_si512(w0, _mm512_andnot_si512(mask, l));
			w1 = _mm512_or_si512(w1, _mm512_andnot_si512(mask, _mm512_srli_epi16(l, 4)));
		}
#pragma GCC unroll 8
		for (int r = 0; r < R; r++) product[r] = add_products(product[r], w0, codes + r * pitch + 8 * i);
#pragma GCC unroll 8
		for (int r = 0; r < R; r++) product[r] = add_products(product[r], w1, codes + r * pitch + 8 * i + 4);
	}
}

INLINE void multiply_block(const uint8_t *block, const int bits, const int length, const int8_t *codes, size_t pitch, const int R, ints *product) {
	ints w[8];
	unpack(block, bits, length, w);
#pragma GCC unroll 8
	for (int i = 0; i < length / 4; i++)
#pragma GCC unroll 8
		for (int r = 0; r < R; r++) product[r] = add_products(product[r], w[i], codes + r * pitch + 4 * i);
}

#endif
