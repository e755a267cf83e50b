#include "variant.h"

const variant VARIANT(variant) = {
	.round = VARIANT(round),
	.multiply = VARIANT(multiply),
	.begin_head = VARIANT(begin_head),
	.multiply_head = VARIANT(multiply_head),
	.refine_head = VARIANT(refine_head),
	.complete_head = VARIANT(complete_head),
	.norm = VARIANT(norm),
	.add = VARIANT(add),
	.store = VARIANT(store),
	.attend = VARIANT(attend),
	.merge = VARIANT(merge),
};
