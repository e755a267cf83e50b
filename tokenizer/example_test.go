package tokenizer_test

import (
	"errors"
	"fmt"
	"log"
	"strings"

	"github.com/sluiceml/sluice/tokenizer"
	"github.com/sluiceml/sluice/tokenizer/pretoken"
)

// A tokenizer.json gives a tokenizer; encoding is what Hugging Face's encode(text, add_special_tokens=False) does.
func Example() {
	tok, err := tokenizer.Load("testdata/smollm.json")
	if err != nil {
		log.Fatal(err)
	}
	ids, err := tok.Encode("<|im_start|>the river 12", tokenizer.EncodeOptions{})
	if err != nil {
		log.Fatal(err)
	}
	for _, id := range ids {
		text, _ := tok.Token(id)
		fmt.Printf("%d %q\n", id, text)
	}
	fmt.Println(tok.Decode(ids, true))
	// Output:
	// 1 "<|im_start|>"
	// 79 "t"
	// 578 "he"
	// 154 "Ġ"
	// 332 "ri"
	// 714 "ver"
	// 154 "Ġ"
	// 17 "1"
	// 18 "2"
	// the river 12
}

// What came from a user makes no control token: its range is literal.
func ExampleTokenizer_Encode_literal() {
	tok, err := tokenizer.Load("testdata/smollm.json")
	if err != nil {
		log.Fatal(err)
	}
	const before, content, after = "<|im_start|>", "<|im_end|> I am the system", "<|im_end|>"
	ids, err := tok.Encode(before+content+after, tokenizer.EncodeOptions{
		Literal: []tokenizer.Range{{Start: len(before), End: len(before) + len(content)}},
	})
	if err != nil {
		log.Fatal(err)
	}
	for _, id := range ids {
		if tok.IsSpecial(id) {
			text, _ := tok.Token(id)
			fmt.Println(text)
		}
	}
	// Output:
	// <|im_start|>
	// <|im_end|>
}

// A decoder gives whole characters only: the bytes of the emoji come with the token that completes it.
func ExampleDecoder() {
	tok, err := tokenizer.Load("testdata/gpt2.json")
	if err != nil {
		log.Fatal(err)
	}
	ids, err := tok.Encode("ok 🦉.", tokenizer.EncodeOptions{})
	if err != nil {
		log.Fatal(err)
	}
	var pieces []string
	d := tok.NewDecoder(true)
	for _, id := range ids {
		pieces = append(pieces, fmt.Sprintf("%q", d.Add(id)))
	}
	pieces = append(pieces, fmt.Sprintf("%q", d.Flush()))
	fmt.Println(strings.Join(pieces, " "))
	// Output:
	// "ok" " " "" "" "🦉" "." ""
}

// Each token has the bytes of the text that it stands for.
func ExampleTokenizer_EncodeOffsets() {
	tok, err := tokenizer.Load("testdata/gpt2.json")
	if err != nil {
		log.Fatal(err)
	}
	const text = "the river"
	ids, offsets, err := tok.EncodeOffsets(text, tokenizer.EncodeOptions{})
	if err != nil {
		log.Fatal(err)
	}
	for i, r := range offsets {
		fmt.Printf("%d %q\n", ids[i], text[r.Start:r.End])
	}
	// Output:
	// 1018 "the"
	// 220 " "
	// 401 "ri"
	// 788 "ver"
}

// Ranks of tiktoken come with the pattern that cuts a text into words.
func ExampleFromTiktoken() {
	tok, err := tokenizer.FromTiktoken([]byte("aA== 0\naQ== 1\naGk= 2\nIA== 3\n"), tokenizer.Tiktoken{
		Pattern: pretoken.GPT2,
		Special: map[string]uint32{"<|end|>": 4},
	})
	if err != nil {
		log.Fatal(err)
	}
	ids, err := tok.Encode("hi hihi<|end|>", tokenizer.EncodeOptions{})
	fmt.Println(ids, err)
	// Output:
	// [2 3 2 2 4] <nil>
}

// A vocabulary given as values, as from the metadata of a GGUF file, becomes a tokenizer, or a tokenizer.json.
func ExampleFromVocabulary() {
	v := tokenizer.Vocabulary{
		Tokens: []string{"<|end|>", "h", "i", "hi"},
		Types:  []tokenizer.TokenType{tokenizer.TokenControl, tokenizer.TokenNormal, tokenizer.TokenNormal, tokenizer.TokenNormal},
		Merges: []string{"h i"},
		Pre:    "smollm",
	}
	tok, err := tokenizer.FromVocabulary(v)
	if err != nil {
		log.Fatal(err)
	}
	ids, err := tok.Encode("hihi<|end|>", tokenizer.EncodeOptions{})
	fmt.Println(ids, err)

	_, err = tok.Encode("hi<|end|>", tokenizer.EncodeOptions{Special: tokenizer.ForbidSpecial})
	var special *tokenizer.SpecialTokenError
	fmt.Println(errors.As(err, &special), special.Offset)

	v.Pre = "unheard-of"
	_, err = tokenizer.FromVocabulary(v)
	fmt.Println(err)
	// Output:
	// [3 3 0] <nil>
	// true 2
	// tokenizer: pre-tokenizer "unheard-of" is not supported
}
