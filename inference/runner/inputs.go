package runner

// Inputs are the integer inputs of one run of a graph that takes sequence lengths directly: a batch of B sequences
// of S new tokens each. A Session that runs such a graph fills one for its decode rows (S = 1) and one for its chunk
// (B = 1), into memory that it keeps bound.
type Inputs struct {
	IDs         []int64 // [B, S] token ids, row by row
	SeqLensK    []int32 // [B] length of each sequence after the run, less one
	TotalLength int32   // greatest length after the run
	LogitsIdx   []int64 // rows of the flattened [B*S] tokens whose logits are wanted
}

// FillDecode writes the inputs of the decode rows: one token each, and logits for every row.
func (in *Inputs) FillDecode(rows []DecodeRow) {
	in.reset()
	for i, r := range rows {
		in.IDs = append(in.IDs, int64(r.Token))
		in.SeqLensK = append(in.SeqLensK, int32(r.Past))
		in.TotalLength = max(in.TotalLength, int32(r.Past)+1)
		in.LogitsIdx = append(in.LogitsIdx, int64(i))
	}
}

// FillChunk writes the inputs of a chunk, with the logits of its last token. The graph always computes a row of
// logits, also if the chunk doesn't ask for it.
func (in *Inputs) FillChunk(c *Chunk) {
	in.reset()
	for _, id := range c.Tokens {
		in.IDs = append(in.IDs, int64(id))
	}
	length := c.Past + len(c.Tokens)
	in.SeqLensK = append(in.SeqLensK, int32(length-1))
	in.TotalLength = int32(length)
	in.LogitsIdx = append(in.LogitsIdx, int64(len(c.Tokens)-1))
}

func (in *Inputs) reset() {
	in.IDs, in.SeqLensK, in.LogitsIdx = in.IDs[:0], in.SeqLensK[:0], in.LogitsIdx[:0]
	in.TotalLength = 0
}
