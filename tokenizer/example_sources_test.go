package tokenizer_test

import (
	"fmt"
	"log"

	"github.com/sluiceml/sluice/tokenizer"
)

// Many texts are encoded on all processors.
func ExampleTokenizer_EncodeBatch() {
	tok, err := tokenizer.Load("testdata/gpt2.json")
	if err != nil {
		log.Fatal(err)
	}
	batch, err := tok.EncodeBatch([]string{"the river", "", "the sea"}, tokenizer.EncodeOptions{})
	if err != nil {
		log.Fatal(err)
	}
	for _, ids := range batch {
		fmt.Println(ids)
	}
	n, err := tok.Count("the river", tokenizer.EncodeOptions{})
	fmt.Println(n, err)
	// Output:
	// [1018 220 401 788]
	// []
	// [1018 280 68 64]
	// 4 <nil>
}

// The policy says what becomes of a special token that stands in a text.
func ExampleSpecialPolicy() {
	tok, err := tokenizer.Load("testdata/smollm.json")
	if err != nil {
		log.Fatal(err)
	}
	for _, policy := range []tokenizer.SpecialPolicy{tokenizer.ParseSpecial, tokenizer.SpecialAsText, tokenizer.ForbidSpecial} {
		ids, err := tok.Encode("the<|im_end|>", tokenizer.EncodeOptions{Special: policy})
		fmt.Println(len(ids), err)
	}
	// Output:
	// 3 <nil>
	// 8 <nil>
	// 0 tokenizer: special token "<|im_end|>" at byte 3 of the text
}

// The contents of a tokenizer.json need not come from a file.
func ExampleFromJSON() {
	tok, err := tokenizer.FromJSON([]byte(`{
		"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "use_regex": true},
		"decoder": {"type": "ByteLevel"},
		"model": {"type": "BPE", "vocab": {"h": 0, "i": 1, "hi": 2, "Ġ": 3}, "merges": [["h", "i"]]}
	}`))
	if err != nil {
		log.Fatal(err)
	}
	ids, err := tok.Encode("hi hih", tokenizer.EncodeOptions{})
	fmt.Println(ids, err, tok.Decode(ids, false))

	_, err = tokenizer.FromJSON([]byte(`{"model": {"type": "WordPiece", "vocab": {}}}`))
	fmt.Println(err)
	// Output:
	// [2 3 2 0] <nil> hi hih
	// tokenizer: tokenizer.json: tokenizer: model WordPiece is not supported
}

// A tekken.json holds ranks, their pattern and the number of special tokens, which come first.
func ExampleFromTekken() {
	tok, err := tokenizer.FromTekken([]byte(`{
		"config": {"pattern": "\\s+|\\S+", "default_vocab_size": 6, "default_num_special_tokens": 3},
		"vocab": [{"rank": 0, "token_bytes": "aA=="}, {"rank": 1, "token_bytes": "aQ=="}, {"rank": 2, "token_bytes": "aGk="}]
	}`))
	if err != nil {
		log.Fatal(err)
	}
	ids, err := tok.Encode("hih", tokenizer.EncodeOptions{AddSpecialTokens: true})
	fmt.Println(ids, err, tok.SpecialTokens())
	// Output:
	// [1 5 3] <nil> [<unk> <s> </s>]
}

// GPT-2's two files are a vocabulary and merges.
func ExampleFromVocabMerges() {
	tok, err := tokenizer.FromVocabMerges(
		[]byte(`{"h": 0, "i": 1, "hi": 2, "Ġ": 3, "Ġhi": 4, "<|endoftext|>": 5}`),
		[]byte("#version: 0.2\nh i\nĠ hi\n"),
	)
	if err != nil {
		log.Fatal(err)
	}
	ids, err := tok.Encode("hi hi<|endoftext|>", tokenizer.EncodeOptions{})
	fmt.Println(ids, err)
	// Output:
	// [2 4 5] <nil>
}

// A SentencePiece model is told by its name.
func ExampleLoad_sentencePiece() {
	tok, err := tokenizer.Load("testdata/sentencepiece.model")
	if err != nil {
		log.Fatal(err)
	}
	ids, err := tok.Encode("the river é<think>in", tokenizer.EncodeOptions{AddSpecialTokens: true})
	if err != nil {
		log.Fatal(err)
	}
	for i, id := range ids {
		text, _ := tok.Token(id)
		fmt.Printf("%.*s%q", min(i, 1), " ", text)
	}
	fmt.Println()
	fmt.Println(tok.Decode(ids, true))
	// Output:
	// "<s>" "▁the" "▁" "ri" "v" "er" "▁" "<0xC3>" "<0xA9>" "<think>" "in"
	// the river é<think>in
}
