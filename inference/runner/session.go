// Package runner is the boundary between scheduling and numerics: what one step of a model takes and gives, as
// plain values. It is pure Go; inference/ort implements its Session on ONNX Runtime, and inferencetest on
// integers.
package runner

import "github.com/sluiceml/sluice/inference/kvcache"

// BlockSize is the number of positions in a block of a session's prefix store.
const BlockSize = kvcache.BlockSize

// Session runs one model on one device and owns the memory of its keys and values, divided into slots. One slot
// holds one sequence. Beside them it may have a prefix store: blocks of BlockSize positions each, in which the keys
// and values of prompts outlive their sequences. A Session is not safe for concurrent use: the engine's goroutine owns it.
type Session interface {
	// Limits says what the session can hold. It never changes.
	Limits() Limits
	// Step runs the decode rows and the chunk of step and returns the logits that were asked for. On an error the
	// contents of the slots in step are undefined and the session must be closed.
	Step(step Step) (Logits, error)
	// CopySlot copies the first length positions of slot src to slot dst.
	CopySlot(dst, src, length int) error
	// ReleaseSlot says that a slot's contents are no longer needed, so that its memory may go back to the system.
	ReleaseSlot(slot int)
	// SaveBlocks copies positions of the slot whose prompt ran last into the prefix store: BlockSize of them, from past on, into each of the
	// blocks in turn. What a block held is overwritten.
	SaveBlocks(slot, past int, blocks []int) error
	// LoadBlocks copies the first length positions that blocks of the prefix store hold into a slot, from its position 0
	// on. The last block may hold more.
	LoadBlocks(slot int, blocks []int, length int) error
	// Close frees the session. It must be called exactly once, after the last Step has returned.
	Close() error
}

// Limits are the sizes of a session.
type Limits struct {
	Slots     int // sequences held at once
	MaxLength int // positions per slot
	MaxChunk  int // most tokens of a prompt chunk
	VocabSize int // width of a row of logits

	Mixes    bool // decode rows and a chunk share one pass: together they take less time than one after the other
	MaxDraft int  // most tokens of a decode row's draft; 0: the session checks none

	// FixedChunks says that logits depend on how a prompt is cut: every chunk but the last must have MaxChunk tokens, or a
	// sequence's tokens depend on the company it had.
	FixedChunks bool

	PositionBytes int // memory of one position of a slot

	Blocks     int // blocks of the prefix store; 0: there is none
	BlockBytes int // memory of one block
}

// Step is the work of one pass: one token for each decode row, and at most one chunk of a prompt. At least one of
// the two is not empty.
//
// The decode rows use slots 0 to len(Decode)-1, in order: the kernels read a prefix of the slots. The chunk's slot
// is not among them.
type Step struct {
	Decode []DecodeRow
	Chunk  *Chunk
}

// DecodeRow is one sequence that takes one token.
type DecodeRow struct {
	Token uint32 // below VocabSize
	Past  int    // positions that the slot holds; the token's own position is Past, below MaxLength
	// Draft are guesses of the tokens that follow, for a row that is alone: MaxDraft at most, and all within MaxLength.
	// They are fed as well. Of what the slot holds after the step, only as much counts as the next step's Past says.
	Draft []uint32
}

// Chunk is the next part of one prompt. The chunks of a prompt come one after another, from position 0 or the end of its
// loaded blocks on, with none of another prompt between them.
type Chunk struct {
	Slot   int
	Tokens []uint32 // 1 to MaxChunk of them
	Past   int      // positions that the slot holds before the chunk
	Logits bool     // whether the logits after the chunk's last token are wanted
	Rows   bool     // whether those after each of its tokens are; then it has at most MaxRows tokens
}

// MaxRows is the number of tokens that a chunk may have whose logits are all wanted: it bounds the memory for them.
const MaxRows = 16

// Logits are the results of a step: rows of VocabSize values. They belong to the session and hold until its next
// Step; the caller may change them in place.
type Logits struct {
	Decode [][]float32 // one per decode row, in order
	Draft  [][]float32 // those after each token of the draft
	Chunk  []float32   // nil unless the chunk asked for it
	Rows   [][]float32 // one per token of the chunk, if it asked for them; the last one is Chunk too
}
