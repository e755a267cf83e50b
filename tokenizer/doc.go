// Package tokenizer turns text into the token ids of a language model and back: byte-pair encoding, exact to the id
// against Hugging Face tokenizers 0.23, tiktoken 0.14 and llama.cpp's vocabularies.
//
// A [Tokenizer] comes from a file or a folder ([Load]), from the contents of a tokenizer.json ([FromJSON]), a tekken.json
// ([FromTekken]), a file of tiktoken ranks ([FromTiktoken]), a SentencePiece model ([FromSentencePiece]) or a vocab.json
// with its merges.txt ([FromVocabMerges]), or from a vocabulary given as values ([FromVocabulary]), such as the one in a
// GGUF file, which [Vocabulary.TokenizerJSON] also writes out as a tokenizer.json. It is immutable and safe for
// concurrent use.
//
// # What a tokenizer.json may hold
//
//   - the normalizers NFC, NFD, NFKC, NFKD, Lowercase, Replace, Prepend and Strip;
//   - the pre-tokenizers ByteLevel, Digits, Split with every behavior, Metaspace, Punctuation, Whitespace and
//     WhitespaceSplit;
//   - a BPE model with all its options but dropout;
//   - the post-processors ByteLevel, TemplateProcessing, RobertaProcessing and BertProcessing;
//   - the decoders ByteLevel, ByteFallback, Fuse, Replace, Strip and Metaspace;
//   - Sequences of these, and added tokens with all their properties.
//
// Anything else, and truncation and padding, is refused at load by an [UnsupportedError] that names it, so that no text
// is ever encoded almost right. The patterns of the field have scanners written by hand; any other runs in a
// regular-expression engine, which is slower and which [Tokenizer.Notes] tells.
//
// # Hostile files and texts
//
// A file is read with bounds on counts, sizes and nesting, so that one of moderate size takes neither immoderate memory
// nor time; what goes beyond is an error that names the part. Encoding takes time that is linear in the text but for a
// logarithm, with two exceptions that only a file can bring in: a pattern for the regular-expression engine can
// backtrack, and normalizers can lengthen a text. Both have bounds too, beyond which [Tokenizer.Encode] fails with a
// [LimitError].
//
// # Invalid UTF-8
//
// The reference takes only valid text. [Tokenizer.Encode] sees invalid bytes as the reference would get them after the
// usual lossy decoding (Python's errors="replace", Rust's from_utf8_lossy): each longest piece of a broken character is
// one U+FFFD. [Tokenizer.Decode] turns invalid bytes into U+FFFD by the same rule, and a [Decoder] does the same
// piece by piece without ever splitting a character.
package tokenizer
