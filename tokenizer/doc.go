// Package tokenizer turns text into the token ids of a language model and back, by byte-pair encoding. Its ids are exactly those
// of Hugging Face tokenizers 0.23, of tiktoken 0.14 and, for GGUF vocabularies, of the tokenizer.json that the model was
// published with.
//
// A [Tokenizer] is made from a file or folder ([Load]); from the contents of a tokenizer.json ([FromJSON]), a tekken.json
// ([FromTekken]), a file of tiktoken ranks ([FromTiktoken]), a SentencePiece model ([FromSentencePiece]) or a vocab.json with its
// merges.txt ([FromVocabMerges]); or from a [Vocabulary] ([FromVocabulary]), such as a GGUF file contains.
// [Vocabulary.TokenizerJSON] also writes the latter as a tokenizer.json. A Tokenizer is immutable and safe for concurrent use.
//
// # What is supported of tokenizer.json
//
//   - the normalizers NFC, NFD, NFKC, NFKD, Lowercase, Replace, Prepend and Strip;
//   - the pre-tokenizers ByteLevel, Digits, Split with every behavior, Metaspace, Punctuation, Whitespace and
//     WhitespaceSplit;
//   - a BPE model with all its options except dropout;
//   - the post-processors ByteLevel, TemplateProcessing, RobertaProcessing and BertProcessing;
//   - the decoders ByteLevel, ByteFallback, Fuse, Replace, Strip and Metaspace;
//   - Sequences of these, and added tokens with all their properties.
//
// Loading a file that uses anything else, or truncation or padding, fails with an [UnsupportedError] that names it, so that no
// text is ever encoded almost right. The patterns of all common models have hand-written scanners. Other patterns run in a
// regular-expression engine, which is slower; [Tokenizer.Notes] mentions them.
//
// # Hostile files and texts
//
// Counts, sizes and nesting in a file are limited, so that loading a file of moderate size takes moderate memory and time; an
// error names the part that exceeds its limit. Encoding takes time proportional to n log n for a text of n bytes, except that
// a file may contain patterns that backtrack and normalizers that lengthen a text. Both are limited too: beyond the limits
// [Tokenizer.Encode] fails with a [LimitError].
//
// # Invalid UTF-8
//
// The reference takes only valid text. [Tokenizer.Encode] replaces invalid bytes as the usual lossy decoding does (Python's
// errors="replace", Rust's from_utf8_lossy): each maximal part of a broken character becomes one U+FFFD. [Tokenizer.Decode]
// follows the same rule, and so does a [Decoder], which works piece by piece and never splits a character.
package tokenizer
