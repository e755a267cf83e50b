package tokenizer_test

import (
	"slices"
	"testing"
)

// bytesTokens returns the ids of single bytes.
func bytesTokens(tb testing.TB, text string) []uint32 {
	tb.Helper()
	tok := load(tb, "gpt2")
	var byID [256]uint32
	for id := range uint32(tok.Size()) {
		if raw := tok.Bytes(id); len(raw) == 1 {
			byID[raw[0]] = id
		}
	}
	ids := make([]uint32, len(text))
	for i := range len(text) {
		ids[i] = byID[text[i]]
	}
	return ids
}

func TestDecodeInvalid(t *testing.T) {
	t.Parallel()
	tok := load(t, "gpt2")
	// The examples of Unicode 16, tables 3-8 to 3-11, and a few more.
	for text, want := range map[string]string{
		"\xc0\xaf\xe0\x80\xbf\xf0\x81\x82\x41":     "\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd\ufffdA",
		"\xed\xa0\x80\xed\xbf\xbf\xed\xaf\x41":     "\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd\ufffdA",
		"\xf4\x91\x92\x93\xff\x41\x80\xbf\x42":     "\ufffd\ufffd\ufffd\ufffd\ufffdA\ufffd\ufffdB",
		"\xe1\x80\xe2\xf0\x91\x92\xf1\xbf\x41":     "\ufffd\ufffd\ufffd\ufffdA",
		"a\xf0\x9f\x98":                            "a\ufffd",
		"\xf0\x9f\x98\x80\xe4\xb8\xad\xc3\xa9":     "😀中é",
		"\xf0\x9f\x98\xf0\x9f\x98\x80\xe4\xe4\xb8": "\ufffd😀\ufffd\ufffd",
		"\xf0": "\ufffd",
		"":     "",
	} {
		ids := bytesTokens(t, text)
		if got := tok.Decode(ids, false); got != want {
			t.Errorf("decode %q: %q, want %q", text, got, want)
		}
		if got := stream(t, tok, ids, false); got != want {
			t.Errorf("stream %q: %q, want %q", text, got, want)
		}
		// Encode sees invalid text in the same way.
		if got := tok.Decode(encode(t, tok, text), false); got != want {
			t.Errorf("decode of encode %q: %q, want %q", text, got, want)
		}
	}
}

// TestDecoderPieces states what comes when: a character with the token that completes it, a broken one as soon as it
// cannot be completed.
func TestDecoderPieces(t *testing.T) {
	t.Parallel()
	d := load(t, "gpt2").NewDecoder(false)
	var got []string
	for _, id := range bytesTokens(t, "a\xf0\x9f\x98\x80b\xe4\xb8x\xff\xc3") {
		got = append(got, d.Add(id))
	}
	got = append(got, d.Flush(), d.Flush())
	want := []string{"a", "", "", "", "😀", "b", "", "", "\ufffdx", "\ufffd", "", "\ufffd", ""}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestDecodeUnknownIDs(t *testing.T) {
	t.Parallel()
	tok := load(t, "gpt2")
	ids := []uint32{1 << 31, uint32(tok.Size()), ^uint32(0)}
	if got := tok.Decode(ids, false) + stream(t, tok, ids, false); got != "" {
		t.Errorf("ids without tokens decode to %q", got)
	}
	if text, ok := tok.Token(uint32(tok.Size())); ok || text != "" || tok.IsSpecial(1<<31) || tok.Bytes(1<<31) != nil {
		t.Error("an id without a token has one")
	}
}

func FuzzDecoder(f *testing.F) {
	f.Add([]byte("\xf0\x9f\x98\x80 \xe4\xb8"), true)
	f.Add([]byte{0, 1, 2, 3, 255, 254}, false)
	tok := load(f, "options")
	f.Fuzz(func(t *testing.T, data []byte, skip bool) {
		ids := make([]uint32, 0, len(data))
		for i, b := range data {
			ids = append(ids, uint32(b)+uint32(i%4)*200) // some have no token
		}
		if got, want := stream(t, tok, ids, skip), tok.Decode(ids, skip); got != want {
			t.Errorf("stream %q, whole %q", got, want)
		}
	})
}
