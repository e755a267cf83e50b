package kernels

// BlockLength is the number of weights that share a scale and a minimum.
const BlockLength = 32

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

// Domain is the domain of the operators, and BlockMatMul and SlotAttention their names. Both take and give one tensor of
// float32, [tokens, width].
const (
	Domain        = "ai.sluice"
	BlockMatMul   = "BlockMatMul"   // attributes "state" and "matrix": addresses
	SlotAttention = "SlotAttention" // attributes "state", an address, and "layer"
)
