// Package tokenizer turns text into the token ids of a language model and back: byte-level byte-pair encoding, exact
// to the id against Hugging Face tokenizers 0.23.
//
// A [Tokenizer] comes from a tokenizer.json ([Load], [FromJSON]) or from a vocabulary given as values
// ([FromVocabulary]), such as the one in a GGUF file, which [Vocabulary.TokenizerJSON] also writes out as a
// tokenizer.json. It is immutable and safe for concurrent use.
//
// What a tokenizer.json may hold: no normalizer; the pre-tokenizers ByteLevel, Digits and Split with a known pattern,
// alone or in a Sequence; a BPE model; the post-processors ByteLevel and TemplateProcessing, alone or in a Sequence;
// the decoder ByteLevel; added tokens with all their properties. Anything else is refused at load by an
// [UnsupportedError] that names it, so that no text is ever encoded almost right.
//
// # Invalid UTF-8
//
// The reference takes only valid text. [Tokenizer.Encode] sees invalid bytes as the reference would get them after the
// usual lossy decoding (Python's errors="replace", Rust's from_utf8_lossy): each longest piece of a broken character is
// one U+FFFD. [Tokenizer.Decode] turns invalid bytes into U+FFFD by the same rule, and a [Decoder] does the same
// piece by piece without ever splitting a character.
package tokenizer
