#define SLUICE_AVX2
#include "span_amd64.c"
