#include "textflag.h"

// Places in expTable.
#define NEGLIGIBLE 0(DX)
#define LOG2E 32(DX)
#define ROUND 64(DX)
#define LN2 96(DX)
#define LN2REST 128(DX)
#define C0 160(DX)
#define C1 192(DX)
#define C2 224(DX)
#define C3 256(DX)
#define C4 288(DX)
#define C5 320(DX)
#define ONE 352(DX)
#define BIAS 384(DX)

// func weighBlockAVX2(block *[blockSize]float32, table *[len(expTable)][8]float32, best, inverse float32) float64
TEXT ·weighBlockAVX2(SB), NOSPLIT, $0-32
	MOVQ         block+0(FP), SI
	MOVQ         table+8(FP), DX
	VBROADCASTSS best+16(FP), Y14
	VBROADCASTSS inverse+20(FP), Y15
	VXORPD       Y12, Y12, Y12
	VXORPD       Y13, Y13, Y13
	MOVQ         $8, CX

eight:
	// x = (logit - best) * inverse, and where it is not negligible.
	VMOVUPS (SI), Y0
	VSUBPS  Y14, Y0, Y0
	VMULPS  Y15, Y0, Y0
	VCMPPS  $0x1d, NEGLIGIBLE, Y0, Y11 // not less than, and no NaN

	// x = n ln 2 + r
	VMULPS     LOG2E, Y0, Y1
	VADDPS     ROUND, Y1, Y1
	VSUBPS     ROUND, Y1, Y1
	VMULPS     LN2, Y1, Y2
	VSUBPS     Y2, Y0, Y0
	VMULPS     LN2REST, Y1, Y2
	VSUBPS     Y2, Y0, Y0
	VCVTTPS2DQ Y1, Y1
	VPADDD     BIAS, Y1, Y1
	VPSLLD     $23, Y1, Y1

	// exp(r)
	VMULPS Y0, Y0, Y2
	VMULPS C1, Y0, Y3
	VADDPS C0, Y3, Y3
	VMULPS C3, Y0, Y4
	VADDPS C2, Y4, Y4
	VMULPS Y2, Y4, Y4
	VADDPS Y4, Y3, Y3
	VMULPS C5, Y0, Y4
	VADDPS C4, Y4, Y4
	VMULPS Y2, Y2, Y5
	VMULPS Y4, Y5, Y4
	VADDPS Y4, Y3, Y3
	VMULPS Y2, Y3, Y3
	VADDPS ONE, Y0, Y0
	VADDPS Y0, Y3, Y3

	// exp(r) 2^n
	VMULPS  Y1, Y3, Y3
	VANDPS  Y11, Y3, Y3
	VMOVUPS Y3, (SI)

	VCVTPS2PD    X3, Y4
	VEXTRACTF128 $1, Y3, X5
	VCVTPS2PD    X5, Y5
	VADDPD       Y4, Y12, Y12
	VADDPD       Y5, Y13, Y13
	ADDQ         $32, SI
	DECQ         CX
	JNZ          eight

	VADDPD       Y13, Y12, Y12
	VEXTRACTF128 $1, Y12, X13
	VADDPD       X13, X12, X12
	VPERMILPD    $1, X12, X13
	VADDSD       X13, X12, X12
	VMOVSD       X12, ret+24(FP)
	VZEROUPPER
	RET
