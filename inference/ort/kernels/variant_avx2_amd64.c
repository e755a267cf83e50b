#define SLUICE_AVX2
#include "variant_amd64.c"
