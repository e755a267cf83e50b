package pretoken

import "math"

// The patterns of the field that have a hand-written scanner, as tokenizer.json files write them.
const (
	// GPT2 is the pattern of GPT-2, which is also the pattern built into the ByteLevel pre-tokenizer.
	GPT2 = `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
	// CL100K is the pattern of GPT-4 (cl100k_base), Llama 3, DBRX, GLM 4.
	CL100K = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	// Qwen2 is the pattern of Qwen 2 to 3, StableLM 2, Grok 2: as CL100K, with numbers one by one.
	Qwen2 = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	// Qwen35 is the pattern of Qwen 3.5: as Qwen2, with marks among the letters.
	Qwen35 = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	// O200K is the pattern of GPT-4o (o200k_base), gpt-oss, Llama 4.
	O200K = o200kFirst + fold1 + `?|` + o200kSecond + fold1 + `?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	// Tekken is the pattern of Mistral's Tekken: as O200K, with numbers one by one and no contractions.
	Tekken = o200kFirst + `|` + o200kSecond + `|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	// Kimi is the pattern of Kimi K2, which only tiktoken reads: as O200K, with ideographs apart.
	Kimi = `[\p{Han}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+` + fold1 +
		`?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*` + fold1 +
		`?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	// DeepSeekV3 is the third pattern of DeepSeek V3 and R1, after DeepSeekNumbers and DeepSeekKana. Its line ends are
	// written as such or as \r\n.
	DeepSeekV3 = `[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_` + "`" + `{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	// DeepSeekNumbers is the first pattern of DeepSeek V3 and R1.
	DeepSeekNumbers = `\p{N}{1,3}`
	// DeepSeekKana is the second pattern of DeepSeek V3 and R1.
	DeepSeekKana = `[一-龥぀-ゟ゠-ヿ]+`
	// DeepSeekLetters, DeepSeekMarks and DeepSeekCJK are patterns of DeepSeek LLM and, the last, DeepSeek Coder.
	DeepSeekLetters = `\s?[` + latin + `]+`
	DeepSeekMarks   = `\s?[` + marks + `]+`
	DeepSeekCJK     = `[` + cjk + `]+`
	// Bloom is the pattern of BLOOM.
	Bloom = ` ?[^(\s|` + bloom + `)]+`
)

const (
	fold1       = `(?i:'s|'t|'re|'ve|'m|'ll|'d)`
	fold2       = `(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])`
	fold3       = `'(?i:[sdmt]|ll|ve|re)`
	o200kFirst  = `[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+`
	o200kSecond = `[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*`
	// latin, marks and cjk are the sets of DeepSeek LLM. What another form of Unicode writes otherwise is escaped.
	latin = "A-Za-z\u00b5À-ÖØ-öø-ƺƼ-ƿ\u01c4-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-\u03f5Ϸ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-\u1f7dᾀ-ᾴᾶ-ᾼ\u1fbeῂ-ῄῆ-ῌῐ-\u1fd3ῖ-\u1fdbῠ-Ῥῲ-ῴῶ-ῼ\u2102\u2107\u210a-\u2113\u2115\u2119-\u211d\u2124\u2126\u2128\u212a-\u212d\u212f-\u2134\u2139\u213c-\u213f\u2145-\u2149ⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿ\ufb00-\ufb06\ufb13-\ufb17\uff21-\uff3a\uff41-\uff5a𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃"
	marks = `!-/:-~！-／：-～‘-‟　-。`
	cjk   = `一-龥ࠀ-一가-퟿`
	bloom = `.,!?…。，、।۔،`
)

// Lookup finds the hand-written scanner for the text of a pattern of Hugging Face tokenizers, whose engine is
// Oniguruma. Each match of the pattern is a word, and so is what lies between matches (the behaviour "Isolated").
func Lookup(pattern string) (Splitter, bool) { return find(known(), pattern) }

// LookupTiktoken finds the hand-written scanner for the text of a pattern of tiktoken or of a tekken.json, whose engine
// is that of Rust. Possessive intervals, such as {1,3}+, and $ mean something else there.
func LookupTiktoken(pattern string) (Splitter, bool) {
	if s, ok := find(tiktoken(), pattern); ok {
		return s, true
	}
	return Lookup(pattern)
}

// Patterns returns the patterns that Lookup finds.
func Patterns() []string { return texts(known()) }

// TiktokenPatterns returns the patterns that LookupTiktoken finds and Lookup does not.
func TiktokenPatterns() []string { return texts(tiktoken()) }

// pattern is a scanner and the text of its pattern.
type pattern struct {
	text     string
	splitter Splitter
}

func find(list []pattern, text string) (Splitter, bool) {
	for _, p := range list {
		if p.text == text {
			return p.splitter, true
		}
	}
	return nil, false
}

func texts(list []pattern) []string {
	all := make([]string, len(list))
	for i, p := range list {
		all[i] = p.text
	}
	return all
}

// tiktoken lists the patterns that only tiktoken's engine reads so.
func tiktoken() []pattern {
	const rest = `|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s`
	return []pattern{
		{`'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s`, gpt2{}},    // r50k_base
		{fold3 + rest, cl100k{fold: foldUnicode, letters: Letter, digits: 3, tail: true, toEnd: true}}, // cl100k_base
	}
}

// known lists the patterns of Lookup. A possessive + or ? changes nothing in them.
func known() []pattern {
	const (
		letters = `|[^\r\n\p{L}\p{N}]?\p{L}+|`
		rest    = `| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
		// The same as tiktoken wrote it.
		letters2 = `|[^\r\n\p{L}\p{N}]?+\p{L}+|`
		rest2    = `| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+`
		// The same without line ends after others, and with line ends written as such.
		noTail  = `| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+`
		noTail2 = "| ?[^\\s\\p{L}\\p{N}\r\n]+|\\s*[\r\n]+|\\s+(?!\\S)|\\s+"
		cased   = `|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	)
	three := cl100k{fold: foldUnicode, letters: Letter, digits: 3, tail: true}
	threeASCII, one, unbounded := three, three, three
	threeASCII.fold, one.digits, unbounded.digits = foldASCII, 1, math.MaxInt
	oneASCII, bare, marked, seed := one, one, one, one
	oneASCII.fold, bare.fold, marked.letters, seed.tail = foldASCII, noContraction, Letter|Mark, false
	return append([]pattern{
		{GPT2, gpt2{}},
		{`'s|'t|'re|'ve|'m|'ll|'d| ?[\p{L}]+| ?[\p{N}]+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`, gpt2{}},
		{`'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`, gpt2{}},
		{CL100K, three},
		{fold3 + letters + `\p{N}{1,3}` + rest, three},
		{fold3 + letters2 + `\p{N}{1,3}` + rest2, three},
		{fold2 + letters + `\p{N}{1,3}` + rest, threeASCII},
		{fold1 + letters + `\p{N}+` + rest, unbounded}, // MiniCPM 5
		{Qwen2, one},
		{fold3 + letters2 + `\p{N}` + rest2, one}, // Bailing
		{fold2 + letters + `\p{N}` + rest, oneASCII},
		{`'(?:[sSdDmMtT]|[lL][lL]|[vV][eE]|[rR][eE])` + letters2 + `\p{N}` + rest2, oneASCII},
		{letters[1:] + `\p{N}` + rest, bare},
		{Qwen35, marked},
		{fold1 + letters + `\p{N}{1}` + noTail, seed}, // Seed-Coder
		{fold1 + "|[^\r\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1}" + noTail2, seed},
		{O200K, o200k{fold: foldUnicode, digits: 3, slash: true}},
		{o200kFirst + fold2 + `?|` + o200kSecond + fold2 + `?` + cased, o200k{fold: foldASCII, digits: 3, slash: true}},
		{Tekken, o200k{digits: 1, slash: true}},
		{Kimi, o200k{fold: foldUnicode, digits: 3, apart: Han}},
		{DeepSeekV3, deepseek{}},
		{deepSeekLineEnds, deepseek{}},
		{`[^\n]+|[\n]+`, lines{}}, // Gemma 4
		{"[^\n]+|[\n]+", lines{}},
		{`\s+$`, trailing{}},
	}, knownRuns()...)
}

// knownRuns lists the patterns that are a run of one set.
func knownRuns() []pattern {
	number, digit, decimal := &set{classes: Number}, ranges(`0-9`), &set{classes: Decimal}
	notBloom := ranges(`(-(|-|)-)` + bloom)
	notBloom.classes, notBloom.negated = Space, true
	return []pattern{
		{`\p{N}`, runs{set: number, most: 1}},
		{`\p{N}{1}`, runs{set: number, most: 1}},
		{DeepSeekNumbers, runs{set: number, most: 3}},
		{`\p{N}+`, runs{set: number}},
		{`\d`, runs{set: decimal, most: 1}},
		{`\d{1,3}`, runs{set: decimal, most: 3}},
		{`\d+`, runs{set: decimal}},
		{`[0-9]`, runs{set: digit, most: 1}},
		{`[0-9]+`, runs{set: digit}},
		{`[0-9][0-9][0-9]`, runs{set: digit, least: 3, most: 3}}, // Falcon
		{`[0-9]{3}`, runs{set: digit, least: 3, most: 3}},
		{`[\r\n]`, runs{set: &set{classes: Newline}, most: 1}},
		{"[\r\n]", runs{set: &set{classes: Newline}, most: 1}},
		{DeepSeekKana, runs{set: &set{classes: Kana}}},
		{`\s?\p{L}+`, runs{set: &set{classes: Letter}, lead: Space}}, // DeepSeek Coder
		{`\s?\p{P}+`, runs{set: &set{classes: Punct}, lead: Space}},
		{DeepSeekLetters, runs{set: ranges(latin), lead: Space}}, // DeepSeek LLM
		{DeepSeekMarks, runs{set: ranges(marks), lead: Space}},
		{DeepSeekCJK, runs{set: ranges(cjk)}},
		{Bloom, runs{set: notBloom, space: true}}, // BLOOM
	}
}

// deepSeekLineEnds is DeepSeekV3 with its line ends written as such, as the published file has it.
const deepSeekLineEnds = "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+"
