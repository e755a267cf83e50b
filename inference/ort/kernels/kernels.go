package kernels

// BlockLength is the most inputs that are rounded with one scale. Weights in longer blocks are taken in blocks of this
// length, of one scale and minimum; ShortBlock is the length of the only shorter ones.
const (
	BlockLength = 32
	ShortBlock  = 16
)

// MaxSide bounds the rows and the columns of a matrix, and the width of attention's input: their products stay far below
// the limits of integers.
const MaxSide = 1 << 24

// PositionUnit is the number of positions whose keys lie together: a slot holds a multiple of it, and keys are copied by
// multiples of it.
const PositionUnit = 16

// Heads of attention are of a multiple of HeadUnit values, MaxHeadSize at most.
const (
	HeadUnit    = 16
	MaxHeadSize = 256
)

// Domain is the domain of the operators, and the others are their names. All take and give a tensor of float32,
// [tokens, width].
const (
	Domain        = "ai.sluice"
	BlockMatMul   = "BlockMatMul"   // attributes "state" and "matrix": addresses
	SlotAttention = "SlotAttention" // attributes "state", an address, and "layer"
	Decoder       = "Decoder"       // attributes "state" and "program": addresses; a second input has the places of the tokens that are wanted
)

// Variant is what the kernels compute with. All give the same bits, but for denormal numbers in attention, which AVX512_BF16 takes for 0.
type Variant int

// The variants, each of which needs all that the one before does.
const (
	None   Variant = iota // the processor can run no kernels
	AVX2                  // AVX2, FMA and F16C
	AVX512                // and AVX-512 F, BW, DQ, VL and VNNI; attention takes AVX512_BF16 where there is some
)

// String is the variant's name.
func (v Variant) String() string { return [...]string{"none", "avx2", "avx512"}[v] }

// Supported says whether this processor can run the kernels.
func Supported() bool { return Best() != None }

// Gate is what a gated product makes of its gates.
type Gate int

// The activations that a gate may have.
const (
	NoGate   Gate = iota // the product is not gated
	SiLU                 // x·sigmoid(x)
	GELUTanh             // GELU, approximated by a tanh
)

// RowUnit is what the width of the rows that actions of a program read and write is a multiple of.
const RowUnit = 16
