// How nodes of the operators are made.
#ifndef SLUICE_OPERATORS_H
#define SLUICE_OPERATORS_H

#include "kernels.h"

// The places of functions in OrtApi.
enum {
	place_create_status = 0,
	place_create_domain = 26,
	place_domain_add = 27,
	place_add_domain = 28,
	place_mutable_data = 51,
	place_dimensions_count = 61,
	place_dimensions = 62,
	place_shape = 65,
	place_attribute_int = 86,
	place_input = 90,
	place_output = 91,
	place_release_shape = 99,
	place_parallel_for = 274,
};

typedef const void *const *table_pointer;
typedef void status;

// What allocates a node's memory. Tests let it fail.
extern void *(*sluice_allocate)(size_t count, size_t size);

// Makes a node of the attributes "state" and a second one, whose value it gives. The caller frees it.
status *sluice_create(table_pointer table, const void *info, const char *second, void **made, int64_t *value);

#endif
