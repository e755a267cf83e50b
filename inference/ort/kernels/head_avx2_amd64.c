#define SLUICE_AVX2
#include "head_amd64.c"
