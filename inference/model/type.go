package model

import "github.com/sluiceml/sluice/inference/model/quant"

// Type is a form of stored weights; see package quant for what each looks like. Type.BlockSize and Type.BlockBytes
// say how large a block is: 1 value for the plain floats.
type Type = quant.Type

// The types of weights that can be read.
const (
	F32  = quant.F32
	F16  = quant.F16
	BF16 = quant.BF16
	Q8_0 = quant.Q8_0
	Q4_0 = quant.Q4_0
	Q4_1 = quant.Q4_1
	Q5_0 = quant.Q5_0
	Q5_1 = quant.Q5_1
	Q4_K = quant.Q4_K //nolint:staticcheck // GGML's name
	Q5_K = quant.Q5_K //nolint:staticcheck // GGML's name
	Q6_K = quant.Q6_K //nolint:staticcheck // GGML's name
	Q2_K = quant.Q2_K //nolint:staticcheck // GGML's name
	Q3_K = quant.Q3_K //nolint:staticcheck // GGML's name

	IQ4_NL  = quant.IQ4_NL  //nolint:staticcheck // GGML's name
	IQ4_XS  = quant.IQ4_XS  //nolint:staticcheck // GGML's name
	F8_E4M3 = quant.F8_E4M3 //nolint:staticcheck // safetensors' name
	F8_E5M2 = quant.F8_E5M2 //nolint:staticcheck // safetensors' name
)

// Dequantize writes the float32 values of data, whole blocks of t, to dst. The lengths must agree.
func Dequantize(dst []float32, t Type, data []byte) error {
	return quant.Dequantize(dst, t, data)
}
