// Products of a block of codes without VNNI. Sums of bytes' products in pairs have 16 bits, and are exact as long as they stay below
// 2^15: those of 4 bits with the codes of a long block's inputs, at most 127, come to 8·2·15·127 = 30480. Codes of 8 bits are
// taken as two of 4. So integers are widened once a block.
#ifndef SLUICE_BLOCK_AVX2_H
#define SLUICE_BLOCK_AVX2_H

// add_short_products adds products of the bytes of two vectors with four codes, which all lanes share, to 16 sums each of 16 bits.
// Compilers put sums in another order, for which there are not the registers.
INLINE void add_short_products(__m256i *sum0, __m256i *sum1, __m256i w0, __m256i w1, const int8_t *codes) {
	__m256i x, product;
	__asm__("vpbroadcastd %6, %2\n\t"
	        "vpmaddubsw %2, %4, %3\n\t"
	        "vpaddw %3, %0, %0\n\t"
	        "vpmaddubsw %2, %5, %2\n\t"
	        "vpaddw %2, %1, %1"
	        : "+&x"(*sum0), "+x"(*sum1), "=&x"(x), "=&x"(product)
	        : "x"(w0), "x"(w1), "m"(*(const int32_t(*)[1])codes));
}

INLINE __m256i low_bits(__m256i codes) { return _mm256_and_si256(codes, _mm256_set1_epi8(15)); }
INLINE __m256i high_bits(__m256i codes) { return low_bits(_mm256_srli_epi16(codes, 4)); }

// multiply_4_bits adds to the sums of all 16 outputs at once. Codes are so many units.
INLINE void multiply_4_bits(const uint8_t *block, const int unit, const int length, const int8_t *codes, size_t pitch, const int R, ints *product) {
	const __m256i units = _mm256_set1_epi16((short)unit);
	__m256i low[row_tile], high[row_tile]; // of the outputs
#pragma GCC unroll 4
	for (int r = 0; r < R; r++) low[r] = high[r] = _mm256_setzero_si256();
#pragma GCC unroll 4
	for (int i = 0; i < length / 8; i++, block += 64) {
		const ints w = load_ints(block);
#pragma GCC unroll 4
		for (int r = 0; r < R; r++) add_short_products(&low[r], &high[r], low_bits(w.low), low_bits(w.high), codes + r * pitch + 8 * i);
#pragma GCC unroll 4
		for (int r = 0; r < R; r++) add_short_products(&low[r], &high[r], high_bits(w.low), high_bits(w.high), codes + r * pitch + 8 * i + 4);
	}
#pragma GCC unroll 4
	for (int r = 0; r < R; r++) product[r] = plus_ints(product[r], (ints){_mm256_madd_epi16(low[r], units), _mm256_madd_epi16(high[r], units)});
}

// half_of_8_bits gives sums of eight outputs.
INLINE void half_of_8_bits(const uint8_t *block, const int length, const int8_t *codes, size_t pitch, const int R, __m256i *sums) {
	const __m256i ones = _mm256_set1_epi16(1), sixteens = _mm256_set1_epi16(16);
	__m256i low[row_tile], high[row_tile]; // of the codes' bits
#pragma GCC unroll 4
	for (int r = 0; r < R; r++) low[r] = high[r] = _mm256_setzero_si256();
#pragma GCC unroll 8
	for (int i = 0; i < length / 4; i++) {
		const __m256i w = _mm256_loadu_si256((const __m256i *)(block + 64 * i));
#pragma GCC unroll 4
		for (int r = 0; r < R; r++) add_short_products(&low[r], &high[r], low_bits(w), high_bits(w), codes + r * pitch + 4 * i);
	}
#pragma GCC unroll 4
	for (int r = 0; r < R; r++) sums[r] = _mm256_add_epi32(_mm256_madd_epi16(low[r], ones), _mm256_madd_epi16(high[r], sixteens));
}

INLINE void multiply_halves(const uint8_t *high, const uint8_t *low, const int8_t *codes, size_t pitch, const int R, const int both_halves, ints *product) {
	multiply_4_bits(high, 16, 32, codes, pitch, R, product);
	if (both_halves) multiply_4_bits(low, 1, 32, codes, pitch, R, product);
}

INLINE void multiply_block(const uint8_t *block, const int bits, const int length, const int8_t *codes, size_t pitch, const int R, ints *product) {
	if (bits == 4) {
		multiply_4_bits(block, 1, length, codes, pitch, R, product);
		return;
	}
	__m256i low[row_tile], high[row_tile]; // of the outputs
	half_of_8_bits(block, length, codes, pitch, R, low);
	half_of_8_bits(block + 32, length, codes, pitch, R, high);
#pragma GCC unroll 4
	for (int r = 0; r < R; r++) product[r] = plus_ints(product[r], (ints){low[r], high[r]});
}

#endif
