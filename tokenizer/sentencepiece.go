package tokenizer

import (
	"fmt"
	"math"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/sluiceml/sluice/tokenizer/normalize"
)

// sentencePiece is what of a SentencePiece model (sentencepiece_model.proto) decides how it encodes.
type sentencePiece struct {
	pieces []piecePart

	// The trainer's specification.
	algorithm    uint64 // 1: unigram; 2: BPE; 3: words; 4: characters
	byteFallback bool
	suffix       bool   // treat_whitespace_as_suffix
	bos          string // the piece that begins a text

	// The normalizer's.
	rules       string // its name
	charsMap    bool   // it changes characters
	dummyPrefix bool   // a space is put before a text
	trimSpaces  bool   // remove_extra_whitespaces
	escape      bool   // spaces are written as separators
	denormalize bool   // there is a map for decoding
}

// piecePart is a piece of the vocabulary.
type piecePart struct {
	text  string
	score float32
	kind  TokenType
}

// FromSentencePiece makes a tokenizer from the contents of a SentencePiece model (".model") of the BPE kind, such as those
// of Llama 1 and 2 and of Mistral's first models. Others (unigram), and models whose normalizer changes characters, are
// refused with an [UnsupportedError].
//
// With [SpecialAsText], encoding gives the same ids as SentencePiece, which does not recognise control tokens in a text; the
// [SpecialPolicy] works as for every other tokenizer. AddSpecialTokens puts the model's BOS before a text and nothing after
// it. An unknown character decodes to the text of the unknown token.
func FromSentencePiece(data []byte) (*Tokenizer, error) {
	m, err := readSentencePiece(data)
	if err != nil {
		return nil, err
	}
	d, err := m.definition()
	if err != nil {
		return nil, err
	}
	return d.build()
}

// isSentencePiece reports whether data can be a SentencePiece model: the first field is the first piece.
func isSentencePiece(data []byte) bool {
	number, kind, n := protowire.ConsumeTag(data)
	if n < 0 || number != 1 || kind != protowire.BytesType {
		return false
	}
	piece, n := protowire.ConsumeBytes(data[n:])
	if n < 0 {
		return false
	}
	number, kind, n = protowire.ConsumeTag(piece)
	return n > 0 && number == 1 && kind == protowire.BytesType
}

// protoFields calls yield for each field of a message: numbers come as number, and the rest as bytes.
func protoFields(data []byte, yield func(field int, number uint64, value []byte) error) error {
	for len(data) > 0 {
		field, kind, n := protowire.ConsumeTag(data)
		if n < 0 {
			return formatError("SentencePiece model: %w", protowire.ParseError(n))
		}
		data = data[n:]
		var number uint64
		var value []byte
		switch kind {
		case protowire.VarintType:
			number, n = protowire.ConsumeVarint(data)
		case protowire.Fixed32Type:
			var x uint32
			x, n = protowire.ConsumeFixed32(data)
			number = uint64(x)
		case protowire.BytesType:
			value, n = protowire.ConsumeBytes(data)
		default:
			n = protowire.ConsumeFieldValue(field, kind, data)
		}
		if n < 0 {
			return formatError("SentencePiece model: %w", protowire.ParseError(n))
		}
		data = data[n:]
		if err := yield(int(field), number, value); err != nil {
			return err
		}
	}
	return nil
}

// readSentencePiece reads the message ModelProto.
func readSentencePiece(data []byte) (*sentencePiece, error) {
	m := &sentencePiece{algorithm: 1, bos: "<s>", dummyPrefix: true, trimSpaces: true, escape: true}
	err := protoFields(data, func(field int, _ uint64, value []byte) error {
		switch field {
		case 1:
			return m.readPiece(value)
		case 2:
			return m.readTrainer(value)
		case 3:
			return m.readNormalizer(value)
		case 5:
			return protoFields(value, func(field int, _ uint64, value []byte) error {
				m.denormalize = m.denormalize || (field == 2 && len(value) > 0)
				return nil
			})
		}
		return nil
	})
	return m, err
}

// readPiece reads a message SentencePiece.
func (m *sentencePiece) readPiece(data []byte) error {
	p := piecePart{kind: TokenNormal}
	err := protoFields(data, func(field int, number uint64, value []byte) error {
		switch field {
		case 1:
			p.text = string(value)
		case 2:
			p.score = math.Float32frombits(uint32(number))
		case 3:
			if number > math.MaxInt32 {
				return formatError("SentencePiece model: piece %q has the type %d", p.text, number)
			}
			p.kind = TokenType(number)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if p.text == "" || !utf8.ValidString(p.text) {
		return formatError("SentencePiece model: piece %d is empty or not UTF-8", len(m.pieces))
	}
	if len(m.pieces) == maxTokens {
		return formatError("SentencePiece model: more than %d pieces", maxTokens)
	}
	m.pieces = append(m.pieces, p)
	return nil
}

// readTrainer reads a message TrainerSpec.
func (m *sentencePiece) readTrainer(data []byte) error {
	return protoFields(data, func(field int, number uint64, value []byte) error {
		switch field {
		case 3:
			m.algorithm = number
		case 24:
			m.suffix = number != 0
		case 35:
			m.byteFallback = number != 0
		case 46:
			m.bos = string(value)
		}
		return nil
	})
}

// readNormalizer reads a message NormalizerSpec.
func (m *sentencePiece) readNormalizer(data []byte) error {
	return protoFields(data, func(field int, number uint64, value []byte) error {
		switch field {
		case 1:
			m.rules = string(value)
		case 2:
			m.charsMap = len(value) > 0
		case 3:
			m.dummyPrefix = number != 0
		case 4:
			m.trimSpaces = number != 0
		case 5:
			m.escape = number != 0
		}
		return nil
	})
}

// check refuses what is not supported.
func (m *sentencePiece) check() error {
	const part = "SentencePiece model"
	switch m.algorithm {
	case 1:
		return &UnsupportedError{Part: part, Name: "of the kind unigram"}
	case 2:
	case 3:
		return &UnsupportedError{Part: part, Name: "of the kind word"}
	case 4:
		return &UnsupportedError{Part: part, Name: "of the kind char"}
	default:
		return &UnsupportedError{Part: part, Name: fmt.Sprintf("of the kind %d", m.algorithm)}
	}
	switch {
	case m.charsMap:
		return &UnsupportedError{Part: part, Name: fmt.Sprintf("with the normalizer %q, which changes characters,", m.rules)}
	case m.denormalize:
		return &UnsupportedError{Part: part, Name: "with a denormalizer"}
	case m.suffix:
		return &UnsupportedError{Part: part, Name: "with treat_whitespace_as_suffix"}
	}
	return nil
}

// definition makes the vocabulary and the normalizer.
func (m *sentencePiece) definition() (*definition, error) {
	if err := m.check(); err != nil {
		return nil, err
	}
	v := Vocabulary{Model: "llama"}
	bytes := 0
	for i, p := range m.pieces {
		id := uint32(i)
		v.Tokens, v.Types, v.Scores = append(v.Tokens, p.text), append(v.Types, p.kind), append(v.Scores, p.score)
		switch {
		case p.kind == TokenUnused: // it may be a step to another piece, and is then cut again
			return nil, &UnsupportedError{Part: "SentencePiece model", Name: fmt.Sprintf("with unused pieces (%q)", p.text)}
		case p.kind == TokenByte:
			bytes++
		case p.kind == TokenUnknown && v.UNK == nil:
			v.UNK = &id
		case p.kind == TokenControl && p.text == m.bos:
			v.AddBOS, v.BOS = true, &id
		}
	}
	if v.UNK == nil {
		return nil, formatError("SentencePiece model: there is no unknown piece")
	}
	if m.byteFallback != (bytes == 256) || (bytes > 0 && !m.byteFallback) {
		return nil, formatError("SentencePiece model: %d byte pieces, byte_fallback is %t", bytes, m.byteFallback)
	}
	d, err := v.definition()
	if err != nil {
		return nil, err
	}
	for i := range d.added { // they are found when spaces are normalized already, and a text has one prefix
		if a := &d.added[i]; !a.Special {
			a.Normalized, a.exact = true, true
		}
	}
	d.byteFallback = m.byteFallback
	d.normalizer = m.normalizer()
	d.decoder = chain{list: []link{each(spaced), byteFallback{perByte: true}, fuse{}}, fused: 2, streams: true}
	if m.dummyPrefix || m.trimSpaces {
		d.decoder.list = append([]link{stripMarks{every: m.trimSpaces}}, d.decoder.list...)
		d.decoder.fused++
	}
	return d, nil
}

// normalizer makes what SentencePiece does with spaces.
func (m *sentencePiece) normalizer() normalize.Normalizer {
	var all normalize.Sequence
	mark := " "
	if m.trimSpaces {
		all = append(all, normalize.Replace{Pattern: extraSpaces{}})
	}
	if m.dummyPrefix {
		all = append(all, normalize.Prepend(" "))
	}
	if m.escape {
		mark = string(separator)
		all = append(all, normalize.Replace{Pattern: normalize.Literal(" "), Content: mark})
	}
	if m.trimSpaces {
		all = append(all, normalize.Replace{Pattern: trailing(mark)})
	}
	if len(all) == 0 {
		return nil
	}
	return all
}

// extraSpaces matches the spaces that a text begins with, and all but the first of others that stand together.
type extraSpaces struct{}

// Match finds them.
func (extraSpaces) Match(text string, yield func(start, end int) bool) error {
	for i := 0; i < len(text); i++ {
		if text[i] != ' ' {
			continue
		}
		start := i
		if i > 0 {
			start++
		}
		for i < len(text) && text[i] == ' ' {
			i++
		}
		if start < i && !yield(start, i) {
			return nil
		}
	}
	return nil
}

// trailing matches all of a mark that a text ends with.
type trailing string

// Match finds them.
func (m trailing) Match(text string, yield func(start, end int) bool) error {
	start := len(text)
	for start >= len(m) && text[start-len(m):start] == string(m) {
		start -= len(m)
	}
	if start < len(text) {
		yield(start, len(text))
	}
	return nil
}

// stripMarks takes a separator away from the token that a text begins with, or from every one until there is text.
type stripMarks struct{ every bool }

func (s stripMarks) apply(tokens []string) []string {
	done := false
	for i := 0; i < len(tokens) && !done; i++ {
		tokens[i], done = s.strip(tokens[i])
	}
	return tokens
}

// strip does one token, and reports whether it was the last to do.
func (s stripMarks) strip(token string) (rest string, done bool) {
	rest, had := strings.CutPrefix(token, string(separator))
	return rest, rest != "" || (had && !s.every)
}
