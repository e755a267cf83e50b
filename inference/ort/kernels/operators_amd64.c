// The kernels as custom operators of ONNX Runtime, whose C API is used by the places of its functions in OrtApi (see
// capi.go of package ort). The nodes name what they work on by address: their graph is made for one session and is
// never written to a file.
#include <stdlib.h>

#include "operators_amd64.h"

enum { custom_op_version = 24, float_type = 1, int64_type = 7, required = 0, default_memory = 0, failed = 1, invalid_argument = 2 };

// OrtCustomOp, as of C API 24.
typedef struct custom_op {
	uint32_t version;
	void *(*create_kernel)(const struct custom_op *, table_pointer, const void *);
	const char *(*name)(const struct custom_op *);
	const char *(*provider)(const struct custom_op *);
	int (*input_type)(const struct custom_op *, size_t);
	size_t (*input_count)(const struct custom_op *);
	int (*output_type)(const struct custom_op *, size_t);
	size_t (*output_count)(const struct custom_op *);
	void (*compute)(void *, void *);
	void (*destroy)(void *);
	int (*input_characteristic)(const struct custom_op *, size_t);
	int (*output_characteristic)(const struct custom_op *, size_t);
	int (*input_memory)(const struct custom_op *, size_t);
	int (*variadic_input_arity)(const struct custom_op *);
	int (*variadic_input_homogeneous)(const struct custom_op *);
	int (*variadic_output_arity)(const struct custom_op *);
	int (*variadic_output_homogeneous)(const struct custom_op *);
	status *(*create_kernel_v2)(const struct custom_op *, table_pointer, const void *, void **);
	status *(*compute_v2)(void *, void *);
	status *(*infer_shape)(const struct custom_op *, void *);
	int (*start_version)(const struct custom_op *);
	int (*end_version)(const struct custom_op *);
	size_t (*may_inplace)(int **, int **);
	void (*release_may_inplace)(int *, int *);
	size_t (*alias_map)(int **, int **);
	void (*release_alias_map)(int *, int *);
} custom_op;

// A node of any of the operators. Those of a single product or attention are programs of their own.
typedef struct {
	table_pointer table;
	const state *state;
	const program *program;
	int64_t width;       // of the input
	int64_t out;         // of the output
	int attends;         // whether the input's rows are the tokens of the step's runs
	int selects;         // whether a second input says which rows are wanted
	program own;         // of a single product or attention
	action actions[own_actions];
} node;

#define CALL(node, place, type) ((type)(node)->table[place])

// The loop of ONNX Runtime's thread pool.
typedef struct {
	const node *node;
	const void *context;
} pool;

static void pool_loop(void *context, void (*f)(void *, size_t), size_t n, void *data) {
	const pool *p = context;
	typedef status *(*loop)(const void *, void (*)(void *, size_t), size_t, size_t, void *);
	// It fails for a context that is none only.
	(void)CALL(p->node, place_parallel_for, loop)(p->context, f, n, n, data);
}

static status *refuse(const node *n, const char *why) {
	return CALL(n, place_create_status, status * (*)(int, const char *))(invalid_argument, why);
}

// input gives a tensor's floats and the number of its rows. The graph is whoever made the model's: a tensor that is not
// [rows, width], or has more rows than there is room for, is an error.
static status *input(const node *n, const void *context, int64_t width, const float **data, int64_t *rows) {
	const void *value;
	void *shape, *mutable;
	size_t rank;
	int64_t dimensions[2];
	status *s = CALL(n, place_input, status * (*)(const void *, size_t, const void **))(context, 0, &value);
	if (s) return s;
	if ((s = CALL(n, place_mutable_data, status * (*)(const void *, void **))(value, &mutable))) return s;
	*data = mutable;
	if ((s = CALL(n, place_shape, status * (*)(const void *, void **))(value, &shape))) return s;
	s = CALL(n, place_dimensions_count, status * (*)(const void *, size_t *))(shape, &rank);
	if (!s && rank == 2) s = CALL(n, place_dimensions, status * (*)(const void *, int64_t *, size_t))(shape, dimensions, rank);
	CALL(n, place_release_shape, void (*)(void *))(shape);
	if (s) return s;
	if (rank != 2 || dimensions[1] != width || dimensions[0] > n->state->max_tokens) {
		return refuse(n, "the input has another shape than its operator");
	}
	*rows = dimensions[0];
	return NULL;
}

// attended is the number of tokens in the runs of a step.
static int64_t attended(const state *s) {
	if (s->run_count == 0) return 0;
	const run *last = &s->runs[s->run_count - 1];
	return (int64_t)last->first + last->tokens;
}

static status *output(const node *n, void *context, int64_t rows, int64_t width, float **data) {
	int64_t dimensions[2] = {rows, width};
	void *value, *mutable;
	status *s = CALL(n, place_output, status * (*)(void *, size_t, const int64_t *, size_t, void **))(context, 0, dimensions, 2, &value);
	if (s) return s;
	s = CALL(n, place_mutable_data, status * (*)(const void *, void **))(value, &mutable);
	*data = mutable;
	return s;
}

// index gives the second input: which rows are wanted.
static status *index_of(const node *n, const void *context, int64_t rows, const int64_t **data, int64_t *count) {
	const void *value;
	void *shape, *mutable;
	size_t rank;
	status *s = CALL(n, place_input, status * (*)(const void *, size_t, const void **))(context, 1, &value);
	if (s) return s;
	if ((s = CALL(n, place_mutable_data, status * (*)(const void *, void **))(value, &mutable))) return s;
	*data = mutable;
	if ((s = CALL(n, place_shape, status * (*)(const void *, void **))(value, &shape))) return s;
	s = CALL(n, place_dimensions_count, status * (*)(const void *, size_t *))(shape, &rank);
	if (!s && rank == 1) s = CALL(n, place_dimensions, status * (*)(const void *, int64_t *, size_t))(shape, count, rank);
	CALL(n, place_release_shape, void (*)(void *))(shape);
	if (s) return s;
	int wrong = rank != 1 || *count > n->state->max_tokens;
	for (int64_t i = 0; !wrong && i < *count; i++) wrong = (*data)[i] < 0 || (*data)[i] >= rows;
	return wrong ? refuse(n, "rows are wanted that there are not") : NULL;
}

static status *compute(void *kernel, void *context) {
	const node *n = kernel;
	const float *x;
	const int64_t *index = NULL;
	float *y;
	int64_t rows, wanted = 0;
	status *s = input(n, context, n->width, &x, &rows);
	if (s) return s;
	if (n->attends && rows != attended(n->state)) return refuse(n, "attention of other tokens than the step's");
	if (n->selects && (s = index_of(n, context, rows, &index, &wanted))) return s;
	if ((s = output(n, context, n->selects ? wanted : rows, n->out, &y))) return s;
	pool pool = {.node = n, .context = context};
	const parallel p = {.call = pool_loop, .context = &pool};
	sluice_run(n->program, n->state, x, y, index, (int)rows, (int)wanted, &p);
	return NULL;
}

void *(*sluice_allocate)(size_t, size_t) = calloc;

status *sluice_create(table_pointer table, const void *info, const char *second, void **made, int64_t *value) {
	typedef status *(*get)(const void *, const char *, int64_t *);
	int64_t address;
	status *s = ((get)table[place_attribute_int])(info, "state", &address);
	if (s) return s;
	if ((s = ((get)table[place_attribute_int])(info, second, value))) return s;
	node *n = sluice_allocate(1, sizeof *n);
	if (!n) return ((status * (*)(int, const char *)) table[place_create_status])(failed, "no memory for an operator");
	n->table = table;
	n->state = (const state *)(intptr_t)address;
	n->program = &n->own;
	n->own.actions = n->actions;
	*made = n;
	return NULL;
}

static status *create_product(const custom_op *op, table_pointer table, const void *info, void **kernel) {
	(void)op;
	int64_t address;
	void *made;
	status *s = sluice_create(table, info, "matrix", &made, &address);
	if (s) return s;
	node *n = made;
	const matrix *m = (const matrix *)(intptr_t)address;
	n->own.actions_count = sluice_product_actions(m, n->actions);
	n->width = m->in;
	n->out = m->out;
	*kernel = n;
	return NULL;
}

static status *create_attention(const custom_op *op, table_pointer table, const void *info, void **kernel) {
	(void)op;
	int64_t layer;
	void *made;
	status *s = sluice_create(table, info, "layer", &made, &layer);
	if (s) return s;
	node *n = made;
	n->own.actions_count = sluice_attention_actions((int)layer, n->actions);
	n->attends = 1;
	n->width = ((int64_t)n->state->heads + 2 * (int64_t)n->state->kv_heads) * n->state->head_size;
	n->out = (int64_t)n->state->heads * n->state->head_size;
	*kernel = n;
	return NULL;
}

static status *create_program(const custom_op *op, table_pointer table, const void *info, void **kernel) {
	(void)op;
	int64_t address;
	void *made;
	status *s = sluice_create(table, info, "program", &made, &address);
	if (s) return s;
	node *n = made;
	n->program = (const program *)(intptr_t)address;
	n->attends = n->selects = 1;
	n->width = n->program->in;
	n->out = n->program->out;
	*kernel = n;
	return NULL;
}

static const char *product_name(const custom_op *op) { (void)op; return "BlockMatMul"; }
static const char *attention_name(const custom_op *op) { (void)op; return "SlotAttention"; }
static const char *program_name(const custom_op *op) { (void)op; return "Decoder"; }
static const char *no_provider(const custom_op *op) { (void)op; return NULL; }
static int input_type(const custom_op *op, size_t i) { (void)op; return i == 0 ? float_type : int64_type; }
static int output_type(const custom_op *op, size_t i) { (void)op; (void)i; return float_type; }
static size_t one(const custom_op *op) { (void)op; return 1; }
static size_t two(const custom_op *op) { (void)op; return 2; }
static int characteristic(const custom_op *op, size_t i) { (void)op; (void)i; return required; }
static int memory(const custom_op *op, size_t i) { (void)op; (void)i; return default_memory; }

#define OPERATOR(operator_name, inputs, creator)                                                                     \
	{                                                                                                                  \
		.version = custom_op_version, .name = operator_name, .provider = no_provider, .input_type = input_type,         \
		.input_count = inputs, .output_type = output_type, .output_count = one, .destroy = free,                         \
		.input_characteristic = characteristic, .output_characteristic = characteristic, .input_memory = memory,        \
		.create_kernel_v2 = creator, .compute_v2 = compute,                                                              \
	}

static const custom_op operators[] = {
	OPERATOR(product_name, one, create_product),
	OPERATOR(attention_name, one, create_attention),
	OPERATOR(program_name, two, create_program),
};

void *sluice_register(const void *const *table, void *options, void **domain) {
	status *s = ((status * (*)(const char *, void **)) table[place_create_domain])("ai.sluice", domain);
	for (size_t i = 0; !s && i < sizeof operators / sizeof *operators; i++) {
		s = ((status * (*)(void *, const custom_op *)) table[place_domain_add])(*domain, &operators[i]);
	}
	if (!s) s = ((status * (*)(void *, void *)) table[place_add_domain])(options, *domain);
	return s;
}
