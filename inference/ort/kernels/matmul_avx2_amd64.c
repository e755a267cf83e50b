#define SLUICE_AVX2
#include "matmul_amd64.c"
