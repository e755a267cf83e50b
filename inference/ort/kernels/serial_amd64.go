package kernels

/*
#include "kernels.h"

static void loop(void *context, void (*f)(void *, size_t), size_t n, void *data) {
	(void)context;
	for (size_t i = 0; i < n; i++) f(data, i);
}

// As many parts as the threads that there would be.
static void multiply_serially(const matrix *m, const state *s, const float *x, float *y, int rows) {
	parallel p = {.call = loop, .threads = s->threads};
	sluice_multiply(m, s, x, y, rows, &p);
}

static void attend_serially(const state *s, int layer, const float *qkv, float *y) {
	parallel p = {.call = loop, .threads = s->threads};
	sluice_attend(s, layer, qkv, y, &p);
}
*/
import "C"

// multiply runs BlockMatMul on one thread, without ONNX Runtime: [rows, In] to [rows, Out].
func (s *State) multiply(m *Matrix, x []float32, rows int) []float32 {
	y := make([]float32, rows*int(m.c.out))
	s.multiplyInto(m, x, y, rows)
	return y
}

func (s *State) multiplyInto(m *Matrix, x, y []float32, rows int) {
	C.multiply_serially(m.c, s.c, (*C.float)(&x[0]), (*C.float)(&y[0]), C.int(rows))
}

// attend runs SlotAttention on one thread, without ONNX Runtime: [tokens, Heads + 2·KVHeads, HeadSize] to
// [tokens, Heads, HeadSize].
func (s *State) attend(layer int, qkv []float32) []float32 {
	last := s.runs[s.c.run_count-1]
	y := make([]float32, int(last.first+last.tokens)*int(s.c.heads)*int(s.c.head_size))
	s.attendInto(layer, qkv, y)
	return y
}

func (s *State) attendInto(layer int, qkv, y []float32) {
	C.attend_serially(s.c, C.int(layer), (*C.float)(&qkv[0]), (*C.float)(&y[0]))
}
