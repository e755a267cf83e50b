// Products of a block of codes without VNNI. Sums of bytes' products in pairs have 16 bits, and are exact as long as they stay below
// 2^15: those of 4 bits with the codes of a long block's inputs, at most 127, come to 8·2·15·127 = 30480. Codes of 8 bits are
// taken as two of 4. So integers are widened once a block. Half of a tile's outputs are multiplied at a time.
#ifndef SLUICE_BLOCK_AVX2_H
#define SLUICE_BLOCK_AVX2_H

// four gives four codes of inputs to all lanes.
INLINE __m256i four(const int8_t *codes) {
	int32_t all;
	__builtin_memcpy(&all, codes, sizeof all);
	return _mm256_set1_epi32(all);
}

// half_block adds products of eight outputs. sums are those of the rows, 16 of 32 bits each.
INLINE void half_block(const uint8_t *block, const int bits, const int length, const int8_t *codes, size_t pitch, const int R, __m256i *sums) {
	const __m256i mask = _mm256_set1_epi8(15), ones = _mm256_set1_epi16(1), sixteens = _mm256_set1_epi16(16);
	__m256i low[row_tile], high[row_tile]; // of the codes' bits
#pragma GCC unroll 4
	for (int r = 0; r < R; r++) low[r] = high[r] = _mm256_setzero_si256();
#pragma GCC unroll 8
	for (int i = 0; i < length * bits / 32; i++) {
		const __m256i v = _mm256_loadu_si256((const __m256i *)(block + 64 * i));
		const __m256i w0 = _mm256_and_si256(v, mask), w1 = _mm256_and_si256(_mm256_srli_epi16(v, 4), mask);
#pragma GCC unroll 4
		for (int r = 0; r < R; r++) {
			const int8_t *of = codes + r * pitch + 4 * i * (8 / bits);
			const __m256i x0 = four(of), x1 = bits == 4 ? four(of + 4) : x0;
			low[r] = _mm256_add_epi16(low[r], _mm256_maddubs_epi16(w0, x0));
			if (bits == 4) {
				low[r] = _mm256_add_epi16(low[r], _mm256_maddubs_epi16(w1, x1));
			} else {
				high[r] = _mm256_add_epi16(high[r], _mm256_maddubs_epi16(w1, x1));
			}
		}
	}
#pragma GCC unroll 4
	for (int r = 0; r < R; r++) {
		sums[r] = _mm256_madd_epi16(low[r], ones);
		if (bits == 8) sums[r] = _mm256_add_epi32(sums[r], _mm256_madd_epi16(high[r], sixteens));
	}
}

INLINE void multiply_block(const uint8_t *block, const int bits, const int length, const int8_t *codes, size_t pitch, const int R, ints *product) {
	__m256i low[row_tile], high[row_tile];
	half_block(block, bits, length, codes, pitch, R, low);
	half_block(block + 32, bits, length, codes, pitch, R, high);
#pragma GCC unroll 4
	for (int r = 0; r < R; r++) product[r] = plus_ints(product[r], (ints){low[r], high[r]});
}

#endif
