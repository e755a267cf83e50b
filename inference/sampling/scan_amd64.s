#include "textflag.h"

// func scanBlocksAVX2(row, maxima, sums *float32, blocks int)
TEXT ·scanBlocksAVX2(SB), NOSPLIT, $0-32
	MOVQ row+0(FP), SI
	MOVQ maxima+8(FP), DI
	MOVQ sums+16(FP), DX
	MOVQ blocks+24(FP), CX

block:
	// 64 values in eight registers, put together as a tree.
	VMOVUPS (SI), Y0
	VMOVUPS 32(SI), Y1
	VMOVUPS 64(SI), Y2
	VMOVUPS 96(SI), Y3
	VMOVUPS 128(SI), Y4
	VMOVUPS 160(SI), Y5
	VMOVUPS 192(SI), Y6
	VMOVUPS 224(SI), Y7
	VMAXPS  Y0, Y1, Y8
	VADDPS  Y0, Y1, Y0
	VMAXPS  Y2, Y3, Y9
	VADDPS  Y2, Y3, Y2
	VMAXPS  Y4, Y5, Y10
	VADDPS  Y4, Y5, Y4
	VMAXPS  Y6, Y7, Y11
	VADDPS  Y6, Y7, Y6
	VMAXPS  Y8, Y9, Y8
	VADDPS  Y0, Y2, Y0
	VMAXPS  Y10, Y11, Y10
	VADDPS  Y4, Y6, Y4
	VMAXPS  Y8, Y10, Y8
	VADDPS  Y0, Y4, Y0

	// The eight of a register: halves, pairs, one.
	VEXTRACTF128 $1, Y8, X9
	VEXTRACTF128 $1, Y0, X1
	VMAXPS       X8, X9, X8
	VADDPS       X0, X1, X0
	VPERMILPS    $0x4e, X8, X9
	VPERMILPS    $0x4e, X0, X1
	VMAXPS       X8, X9, X8
	VADDPS       X0, X1, X0
	VPERMILPS    $0xb1, X8, X9
	VPERMILPS    $0xb1, X0, X1
	VMAXPS       X8, X9, X8
	VADDPS       X0, X1, X0
	VMOVSS       X8, (DI)
	VMOVSS       X0, (DX)
	ADDQ         $256, SI
	ADDQ         $4, DI
	ADDQ         $4, DX
	DECQ         CX
	JNZ          block
	VZEROUPPER
	RET
