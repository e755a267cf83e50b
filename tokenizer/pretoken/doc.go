// Package pretoken cuts text into the words that byte-pair encoding works on, exactly as the pre-tokenizers of
// Hugging Face tokenizers 0.23 do.
//
// The patterns of the field are hand-written scanners, chosen by the text of the pattern (see [Lookup]); they read
// each byte about once and never allocate. The classes of characters (\p{L}, \p{N}, \s, and what the Digits
// pre-tokenizer takes for a digit) are not those of Go's package unicode but the reference's own, see [ClassOf].
package pretoken
