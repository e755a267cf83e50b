#include "variant.h"

const variant VARIANT(variant) = {
	.round = VARIANT(round),
	.multiply = VARIANT(multiply),
	.norm = VARIANT(norm),
	.add = VARIANT(add),
	.store = VARIANT(store),
	.attend = VARIANT(attend),
	.merge = VARIANT(merge),
};
