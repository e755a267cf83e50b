package kernels

/*
#include <pthread.h>
#include <stdlib.h>
#include "operators_amd64.h"

typedef struct {
	void (*f)(void *, size_t);
	size_t i;
	void *data;
	pthread_t thread;
	int runs;
} task;

static void *start(void *of) {
	task *t = of;
	t->f(t->data, t->i);
	return NULL;
}

// On threads of its own; what gets none is done at the end.
static void on_threads(void *context, void (*f)(void *, size_t), size_t n, void *data) {
	(void)context;
	task tasks[n];
	for (size_t i = 1; i < n; i++) {
		tasks[i] = (task){.f = f, .i = i, .data = data};
		tasks[i].runs = pthread_create(&tasks[i].thread, NULL, start, &tasks[i]) == 0;
	}
	f(data, 0);
	for (size_t i = 1; i < n; i++) {
		if (tasks[i].runs) {
			pthread_join(tasks[i].thread, NULL);
		} else {
			f(data, i);
		}
	}
}

static void run_alone(const program *p, const state *s, const float *x, float *y, const int64_t *index, int tokens, int wanted) {
	parallel by = {.call = on_threads};
	sluice_run(p, s, x, y, index, tokens, wanted, &by);
}

static void multiply_alone(const matrix *m, const state *s, const float *x, float *y, int rows) {
	action a[own_actions];
	program p = {.actions = a, .actions_count = sluice_product_actions(m, a)};
	run_alone(&p, s, x, y, NULL, rows, 0);
}

static void attend_alone(const state *s, int layer, const float *qkv, float *y) {
	action a[own_actions];
	program p = {.actions = a, .actions_count = sluice_attention_actions(layer, a)};
	const run *last = &s->runs[s->run_count - 1];
	run_alone(&p, s, qkv, y, NULL, last->first + last->tokens, 0);
}

static status *zero(const void *info, const char *name, int64_t *value) {
	(void)info, (void)name;
	*value = 0;
	return NULL;
}

static status *why_of(int code, const char *why) {
	(void)code;
	return (status *)why;
}

static void *no_memory(size_t count, size_t size) {
	(void)count, (void)size;
	return NULL;
}

// Makes a node, with memory or without, and gives the error's text, NULL for none.
static const char *make_node(int memory) {
	const void *table[place_attribute_int + 1] = {[place_create_status] = (const void *)why_of, [place_attribute_int] = (const void *)zero};
	int64_t value;
	void *made = NULL;
	sluice_allocate = memory ? calloc : no_memory;
	const char *why = sluice_create(table, NULL, "matrix", &made, &value);
	sluice_allocate = calloc;
	if (!why && !made) why = "there is no node";
	free(made);
	return why;
}
*/
import "C"

import "unsafe"

// multiply runs BlockMatMul without ONNX Runtime: [rows, In] to [rows, Out].
func (s *State) multiply(m *Matrix, x []float32, rows int) []float32 {
	y := make([]float32, rows*int(m.c.out))
	s.multiplyInto(m, x, y, rows)
	return y
}

func (s *State) multiplyInto(m *Matrix, x, y []float32, rows int) {
	C.multiply_alone(m.c, s.c, (*C.float)(&x[0]), (*C.float)(&y[0]), C.int(rows))
}

// attend runs SlotAttention without ONNX Runtime: [tokens, Heads + 2·KVHeads, HeadSize] to
// [tokens, Heads, HeadSize].
func (s *State) attend(layer int, qkv []float32) []float32 {
	last := s.runs[s.c.run_count-1]
	y := make([]float32, int(last.first+last.tokens)*int(s.c.heads)*int(s.c.head_size))
	s.attendInto(layer, qkv, y)
	return y
}

func (s *State) attendInto(layer int, qkv, y []float32) {
	C.attend_alone(s.c, C.int(layer), (*C.float)(&qkv[0]), (*C.float)(&y[0]))
}

// run runs a program without ONNX Runtime.
func (s *State) run(p *Program, x []float32, index []int64) []float32 {
	y := make([]float32, len(index)*int(p.c.out))
	C.run_alone(p.c, s.c, (*C.float)(&x[0]), (*C.float)(unsafe.SliceData(y)), (*C.int64_t)(unsafe.SliceData(index)), C.int(len(x)/int(p.c.in)), C.int(len(index)))
	return y
}

// buffer is the room for rows of one of a program's own buffers, of a width.
func (s *State) buffer(number, width int) []float32 {
	at := unsafe.Slice(s.c.buffers, number+1)[number]
	return unsafe.Slice((*float32)(at), int(s.c.max_tokens)*width)
}

// known says whether there is code for a variant.
func (v Variant) known() bool { return C.sluice_variant(C.int(v)) != nil }

// makeNode makes a node without ONNX Runtime, with memory for it or without. It gives the error's text, "" for none.
func makeNode(memory bool) string { return C.GoString(C.make_node(flag(memory))) }
