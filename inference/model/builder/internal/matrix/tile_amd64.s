#include "textflag.h"

// One row of the tile: its two vectors of sums, and where its value of a is. Products are rounded before they are added.
#define ROW(offset, low, high) \
	VBROADCASTSS offset(SI), Y10 \
	VMULPS       Y8, Y10, Y11    \
	VMULPS       Y9, Y10, Y12    \
	VADDPS       Y11, low, low   \
	VADDPS       Y12, high, high

// func addTileAVX(n int, a, b, c *float32, stride int)
TEXT ·addTileAVX(SB), NOSPLIT, $0-40
	MOVQ n+0(FP), CX
	MOVQ a+8(FP), SI
	MOVQ b+16(FP), DI
	MOVQ c+24(FP), R8
	MOVQ stride+32(FP), R9
	LEAQ (R8)(R9*2), R10
	VMOVUPS (R8), Y0
	VMOVUPS 32(R8), Y1
	VMOVUPS (R8)(R9*1), Y2
	VMOVUPS 32(R8)(R9*1), Y3
	VMOVUPS (R10), Y4
	VMOVUPS 32(R10), Y5
	VMOVUPS (R10)(R9*1), Y6
	VMOVUPS 32(R10)(R9*1), Y7

loop:
	VMOVUPS (DI), Y8
	VMOVUPS 32(DI), Y9
	ROW(0, Y0, Y1)
	ROW(4, Y2, Y3)
	ROW(8, Y4, Y5)
	ROW(12, Y6, Y7)
	ADDQ $16, SI
	ADDQ $64, DI
	DECQ CX
	JNZ  loop

	VMOVUPS Y0, (R8)
	VMOVUPS Y1, 32(R8)
	VMOVUPS Y2, (R8)(R9*1)
	VMOVUPS Y3, 32(R8)(R9*1)
	VMOVUPS Y4, (R10)
	VMOVUPS Y5, 32(R10)
	VMOVUPS Y6, (R10)(R9*1)
	VMOVUPS Y7, 32(R10)(R9*1)
	VZEROUPPER
	RET
