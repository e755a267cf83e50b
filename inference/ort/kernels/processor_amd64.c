// Which variant of the kernels a processor runs.
#include "kernels.h"

extern const variant sluice_variant_avx2, sluice_variant_avx512;

int sluice_best(void) {
	__builtin_cpu_init();
	if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") || !__builtin_cpu_supports("f16c")) return variant_none;
	const int vnni = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
	                 __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni");
	return vnni ? variant_avx512 : variant_avx2;
}

const variant *sluice_variant(int kind) { return kind == variant_avx512 ? &sluice_variant_avx512 : &sluice_variant_avx2; }

int sluice_bf16(void) {
	__builtin_cpu_init();
	return __builtin_cpu_supports("avx512bf16") != 0;
}
