#define SLUICE_AVX2
#include "rows_amd64.c"
