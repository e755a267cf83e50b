// The functions of a variant, by their names in one of them. The sources of these functions are compiled once for AVX-512, and once
// more, with SLUICE_AVX2 set, for AVX2.
#ifndef SLUICE_VARIANT_H
#define SLUICE_VARIANT_H

#include "kernels.h"

#ifdef SLUICE_AVX2
#define VARIANT(name) sluice_##name##_avx2
#else
#define VARIANT(name) sluice_##name##_avx512
#endif

#define DECLARE(name) __typeof__(*((variant *)NULL)->name) VARIANT(name)
DECLARE(round);
DECLARE(multiply);
DECLARE(begin_head);
DECLARE(multiply_head);
DECLARE(refine_head);
DECLARE(complete_head);
DECLARE(norm);
DECLARE(add);
DECLARE(store);
DECLARE(attend);
DECLARE(merge);
#undef DECLARE

#endif
