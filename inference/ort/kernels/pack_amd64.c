// Matrices in the order in which the kernels read them.
#include <immintrin.h>

#include "kernels.h"

size_t sluice_tile_size(const matrix *m) { return m->blocks * m->block_size + (m->by_output ? tile_columns * sizeof(float) : 0); }

size_t sluice_tile_count(const matrix *m) { return (m->out + tile_columns - 1) / tile_columns; }

size_t sluice_tiles_size(matrix *m) {
	const size_t columns = (m->out + tile_columns - 1) / tile_columns * (m->gated ? 2 : 1);
	const int scales = m->by_output ? 0 : (m->half ? 2 : 4) * (m->minima ? 2 : 1);
	const size_t codes = (size_t)m->length * m->bits / 8;
	m->block_size = tile_columns * ((m->split ? codes / 2 : codes) + scales);
	return m->split ? sluice_low_plane(m) + columns * m->blocks * half_block : columns * sluice_tile_size(m);
}

__attribute__((target("avx,f16c"))) static void put(const matrix *m, uint8_t *at, int column, float v) {
	if (m->half) {
		((uint16_t *)at)[column] = _cvtss_sh(v, _MM_FROUND_TO_NEAREST_INT);
	} else {
		((float *)at)[column] = v;
	}
}

void sluice_pack_row(matrix *m, int to, const uint8_t *codes, const float *scales, const float *minima) {
	const int column = to % tile_columns, bytes = m->length * m->bits / 8;
	uint8_t *block = m->tiles + (size_t)(to / tile_columns) * m->blocks * m->block_size;
	for (int b = 0; b < m->blocks; b++, block += m->block_size, codes += bytes) {
		for (int i = 0; i < m->length; i++) {
			// Vectors of four inputs for each column; of 4-bit codes two share one, the second in the high bits.
			const int vector = i / 4, lane = 4 * column + i % 4;
			if (m->bits == 8) {
				block[64 * vector + lane] = codes[i];
			} else {
				const uint8_t code = codes[i / 2] >> (i % 2 * 4) & 15;
				block[64 * (vector / 2) + lane] |= code << (vector % 2 * 4);
			}
		}
		uint8_t *at = block + (size_t)tile_columns * bytes;
		put(m, at, column, scales[b]);
		if (m->minima) put(m, at + tile_columns * (m->half ? 2 : 4), column, minima[b]);
	}
}

void sluice_pack_output(matrix *m, int to, const int8_t *codes, size_t stride, float scale) {
	const int column = to % tile_columns;
	uint8_t *tile = m->tiles + (size_t)(to / tile_columns) * sluice_tile_size(m);
	for (int i = 0; i < m->in; i++, codes += stride) tile[64 * (i / 4) + 4 * column + i % 4] = (uint8_t)(*codes + 128);
	((float *)(tile + m->blocks * m->block_size))[column] = scale;
}

size_t sluice_low_plane(const matrix *m) { return (sluice_tile_count(m) * m->blocks * m->block_size + 63) / 64 * 64; }

void sluice_pack_head(matrix *m, int to, const uint8_t *codes, const float *scales) {
	const int column = to % tile_columns;
	const size_t tile = to / tile_columns;
	uint8_t *high = m->tiles + tile * m->blocks * m->block_size, *low = m->low + tile * m->blocks * half_block;
	double weights = 0, square = 0;
	int64_t off = 0, inputs = 1; // of blocks that are not all 0, whatever their codes
	for (int b = 0; b < m->blocks; b++, high += m->block_size, low += half_block, codes += long_block) {
		int sum = 0; // of squares of twice what low halves are off 7.5
		for (int i = 0; i < long_block; i++) {
			const int vector = i / 4, at = 64 * (vector / 2) + 4 * column + i % 4, shift = vector % 2 * 4, rest = 2 * (codes[i] & 15) - 15;
			high[at] |= (uint8_t)((codes[i] >> 4) << shift);
			low[at] |= (uint8_t)((codes[i] & 15) << shift);
			sum += rest * rest, off += scales[b] != 0 ? rest : 0;
		}
		const double weight = (double)scales[b] * scales[b];
		if (scales[b] != 0) inputs += long_block;
		weights += weight * long_block;
		square += weight * sum / 4;
		put(m, high + half_block, column, scales[b]);
	}
	// Low halves that are off in the mean are off together: by as much as chance makes of them in few outputs, or more.
	const double spread = weights > 0 ? square / weights : 0, together = (double)off * off / (4 * 9.0 * inputs);
	m->spread[to] = _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss((float)(spread > together ? spread : together))));
}
