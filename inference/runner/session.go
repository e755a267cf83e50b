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
	// Step runs the decode rows and the chunks of step and returns the logits that were asked for. On an error the
	// contents of the slots in step are undefined and the session must be closed.
	Step(step Step) (Logits, error)
	// CopySlot copies the first length positions of slot src to slot dst.
	CopySlot(dst, src, length int) error
	// ReleaseSlot says that a slot's contents are no longer needed, so that its memory may go back to the system.
	ReleaseSlot(slot int)
	// SaveBlocks copies positions of a slot into the prefix store: BlockSize of them, from past on, into each of the blocks
	// in turn. What a block held is overwritten. Unless the session is uniform, the positions are of the prompt that ran
	// last.
	SaveBlocks(slot, past int, blocks []int) error
	// LoadBlocks copies the first length positions that blocks of the prefix store hold into a slot, from its position 0
	// on. The last block may hold more.
	LoadBlocks(slot int, blocks []int, length int) error
	// Close frees the session. It must be called exactly once, after the last Step has returned.
	Close() error
}

// Limits are the sizes of a session, and what it can do.
type Limits struct {
	Slots     int // sequences held at once
	MaxLength int // positions per slot
	MaxChunk  int // most tokens of all chunks of a step together
	VocabSize int // width of a row of logits

	Mixes bool // decode rows and a chunk share one pass: together they take less time than one after the other
	// Uniform says that a token has the same bits as a decode row, in a draft and in a chunk, and that one pass takes any
	// tokens of any sequences: a step may have several chunks, decode rows in any slots, and drafts beside other rows. And a
	// Past may be less than what a slot holds: what lies behind it is forgotten.
	Uniform  bool
	MaxDraft int // most tokens of a decode row's draft; 0: the session checks none

	// FixedChunks says that logits depend on how a prompt is cut: every chunk but the last must have MaxChunk tokens, or a
	// sequence's tokens depend on the company it had.
	FixedChunks bool

	HiddenSize int // values of a token's hidden state; 0: the session gives none

	PositionBytes int // memory of one position of a slot

	Blocks     int // blocks of the prefix store; 0: there is none
	BlockBytes int // memory of one block
}

// MaxDrafts is the most tokens of all drafts of a step together: it bounds the memory for their logits.
const MaxDrafts = 32

// MaxRows is the number of tokens that a chunk may have whose logits are all wanted: it bounds the memory for them.
const MaxRows = 16

// Step is the work of one pass: one token for each decode row, and chunks of prompts. At least one of the two is not
// empty. No two parts have one slot.
//
// Unless the session is uniform, decode row i is in slot i, as its kernels read a prefix of the slots, there is at most
// one chunk, and only a row that is alone has a draft.
type Step struct {
	Decode []DecodeRow
	Chunks []Chunk
}

// DecodeRow is one sequence that takes one token.
type DecodeRow struct {
	Slot  int
	Token uint32 // below VocabSize
	Past  int    // positions that the slot holds; the token's own position is Past, below MaxLength
	// Draft are guesses of the tokens that follow: MaxDraft at most, all within MaxLength, and MaxDrafts in a step. They
	// are fed as well. Of what the slot holds after the step, only as much counts as the next step's Past says.
	Draft []uint32
	// Greedy says that only the best logit is read, after the token and after those of the draft. It has the bits, and the
	// place, that it has if all are; a session may leave the others at what is near them, and below it. A session that finds the
	// best by an estimate must err less often than once in 10^9 rows, and by what the row is made of alone.
	Greedy bool
}

// Chunk is the next part of one prompt. The chunks of a prompt come one after another, from position 0 or the end of its
// loaded blocks on; unless the session is uniform, none of another prompt come between them.
type Chunk struct {
	Slot   int
	Tokens []uint32 // at least one, and all chunks of a step together at most MaxChunk
	Past   int      // positions that the slot holds before the chunk
	Logits bool     // whether the logits after the chunk's last token are wanted
	Greedy bool     // whether only the best one of these logits is read: see [DecodeRow]
	Rows   bool     // whether those after each of its tokens are: of one chunk of a step, which has at most MaxRows tokens
	Hidden bool     // whether the hidden states of its tokens are wanted, and no logits: what the head would read of each
}

// Logits are the results of a step: rows of VocabSize values. They belong to the session and hold until its next
// Step; the caller may change them in place.
type Logits struct {
	Decode [][]float32 // one per decode row, in order
	Draft  [][]float32 // those after each token of the drafts, row by row
	Chunks [][]float32 // one per chunk, in order; nil for one that asked for none
	Rows   [][]float32 // one per token of the chunk that asked for them
	// Hidden is one per chunk that asked for hidden states, in order: those of its tokens one after the other, of
	// Limits.HiddenSize values each.
	Hidden [][]float32
}
