// Which variant of the kernels a processor runs.
#include <cpuid.h>

#include "kernels.h"

extern const variant sluice_variant_avx2, sluice_variant_avx512;

// f16c says whether there is F16C. Clang knows it by name since its version 18. That the system keeps its registers, AVX2 says.
static int f16c(void) {
	unsigned a, b, c, d;
	return __get_cpuid(1, &a, &b, &c, &d) && c & bit_F16C;
}

int sluice_best(void) {
	__builtin_cpu_init();
	if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") || !f16c()) return variant_none;
	const int vnni = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
	                 __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni");
	return vnni ? variant_avx512 : variant_avx2;
}

const variant *sluice_variant(int kind) {
	switch (kind) {
	case variant_avx2: return &sluice_variant_avx2;
	case variant_avx512: return &sluice_variant_avx512;
	default: return NULL;
	}
}

int sluice_bf16(void) {
	__builtin_cpu_init();
	return __builtin_cpu_supports("avx512bf16") != 0;
}
