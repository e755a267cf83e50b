#define SLUICE_AVX2
#include "attention_amd64.c"
