package tokenizer

import (
	"github.com/sluiceml/sluice/tokenizer/normalize"
	"github.com/sluiceml/sluice/tokenizer/pretoken"
)

// preType is what the name of a pre-tokenizer in a GGUF file (tokenizer.ggml.pre) stands for. The names are those of
// llama.cpp; the patterns are those of the tokenizer.json that each model was published with, which llama.cpp rewrites
// for its own engine.
type preType struct {
	nfc          bool     // the text is brought into NFC first, which llama.cpp leaves out
	digits       bool     // each number is a word, by the Digits pre-tokenizer
	punctuation  bool     // runs of punctuation are words
	patterns     []string // one after another, each isolated
	ignoreMerges bool
	spaces       bool // spaces are written "▁", and tokens are characters, not bytes
}

// The patterns that only GGUF files of models need which have no tokenizer.json in common use.
const (
	ufakzeka  = `[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	seedCoder = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+`
	bailing   = `'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+`
	miniCPM5  = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}+| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	exaoneMoE = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]|\s+(?!\S)|\s+`
	jais2     = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s{512}(?!\S)|\s{256}(?!\S)|\s{128}(?!\S)|\s{64}(?!\S)|\s{32}(?!\S)|\s{16}(?!\S)|\s{8}(?!\S)|\s{4}(?!\S)|\s{1,2}(?!\S)|\s{1}`
	lines     = `[^\n]+|[\n]+`
	tinyAya   = `\d{1,3}(?=(?:\d{3})*\b)`
	spark25   = `[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_` + "`" + `{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+|[\r\n]|\s+(?!\S)|\s+`
	youtuCJK  = `[가-힣ㄱ-ㆎ]+|[！…“”‘’—：；，、-〿︰-﹏]+|[ㄅ-ㄯ]+|[一-龥぀-ゟ゠-ヿ]+`
	youtu     = `[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])?|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	chameleon = `[\p{P}!-/:-@\[-` + "`" + `{-~]`
)

// preTypeNamed finds a pre-tokenizer by its name.
func preTypeNamed(name string) (preType, bool) {
	switch name {
	case "gpt-2", "phi-2", "jina-es", "jina-de", "gigachat", "jina-v2-es", "jina-v2-de", "a.x-4.0", "mellum", "modern-bert",
		"jina-v1-en", "jina-v2-code", "roberta-bpe", "mpt", "olmo", "jais", "trillion", "granite-docling", "exaone4":
		return preType{patterns: []string{pretoken.GPT2}}, true
	case "smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b", "mellum2":
		return preType{digits: true, patterns: []string{pretoken.GPT2}}, true
	case "llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2", "jina-v5-nano":
		return preType{patterns: []string{pretoken.CL100K}, ignoreMerges: true}, true
	case "dbrx", "smaug-bpe", "chatglm-bpe":
		return preType{patterns: []string{pretoken.CL100K}}, true
	case "glm4", "glm5":
		return preType{patterns: []string{pretoken.CL100K}, ignoreMerges: true}, true
	case "qwen2", "deepseek-r1-qwen", "kormo", "f2llmv2", "megrez":
		return preType{nfc: true, patterns: []string{pretoken.Qwen2}}, true
	case "qwen35":
		return preType{patterns: []string{pretoken.Qwen35}}, true
	case "stablelm2", "hunyuan", "solar-open", "grok-2":
		return preType{patterns: []string{pretoken.Qwen2}}, true
	case "laguna":
		return preType{patterns: []string{lines, pretoken.Qwen2}}, true
	case "deepseek-llm":
		return preType{patterns: []string{`[\r\n]`, pretoken.DeepSeekLetters, pretoken.DeepSeekMarks, `\s+$`, pretoken.DeepSeekCJK, `\p{N}+`}}, true
	case "deepseek-coder":
		return preType{patterns: []string{`[\r\n]`, `\s?\p{L}+`, `\s?\p{P}+`, pretoken.DeepSeekCJK, `\p{N}`}}, true
	case "deepseek-v3", "hunyuan-dense", "joyai-llm", "hy_v4":
		return preType{patterns: []string{pretoken.DeepSeekNumbers, pretoken.DeepSeekKana, pretoken.DeepSeekV3}}, true
	case "falcon":
		return preType{punctuation: true, patterns: []string{pretoken.GPT2, `[0-9][0-9][0-9]`}}, true
	case "default":
		return preType{punctuation: true, patterns: []string{pretoken.GPT2, `\p{N}+`, `[0-9][0-9][0-9]`}}, true
	case "poro-chat", "bloom", "gpt3-finnish":
		return preType{patterns: []string{pretoken.Bloom}}, true
	case "viking":
		return preType{patterns: []string{pretoken.Bloom, `\p{N}`}}, true
	case "tekken":
		return preType{patterns: []string{pretoken.Tekken}, ignoreMerges: true}, true
	case "gpt-4o", "llama4", "kanana2", "talkie", "minimax-m2":
		return preType{patterns: []string{pretoken.O200K}}, true
	case "kimi-k2":
		return preType{patterns: []string{pretoken.Kimi}}, true
	case "bailingmoe", "bailingmoe2", "llada-moe":
		return preType{patterns: []string{bailing}}, true
	case "seed-coder":
		return preType{patterns: []string{seedCoder}}, true
	case "minicpm5":
		return preType{patterns: []string{`\p{N}{1,3}`, miniCPM5}, ignoreMerges: true}, true
	case "ufakzeka":
		return preType{patterns: []string{ufakzeka}}, true
	case "granite-embed-multi-97m":
		return preType{patterns: []string{pretoken.O200K}, ignoreMerges: true}, true
	case "tiny_aya", "cohere2moe":
		return preType{patterns: []string{tinyAya, pretoken.O200K}}, true
	case "superbpe":
		return preType{patterns: []string{`\p{N}+`, `(?=(\d{3})+(?!\d))`}}, true
	case "spark2_5":
		return preType{patterns: []string{pretoken.DeepSeekNumbers, pretoken.DeepSeekKana, spark25, `\p{N}`}}, true
	case "youtu":
		return preType{patterns: []string{youtuCJK, youtu}, ignoreMerges: true}, true
	case "chameleon":
		return preType{patterns: []string{`<sentinel:[0-9]+>`, `(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z`, `([\t\n]|    |  )`, `\p{N}`, chameleon, pretoken.GPT2}}, true
	case "exaone-moe":
		return preType{patterns: []string{exaoneMoE}}, true
	case "jais-2":
		return preType{patterns: []string{jais2}}, true
	case "gemma4", "granite-embed-multi-311m", "sarvam-moe":
		return preType{patterns: []string{lines}, spaces: true}, true
	}
	return preType{}, false
}

// apply makes the normalizer and the steps.
func (p preType) apply(d *definition) error {
	if p.nfc {
		d.normalizer = normalize.NFC
	}
	if p.spaces {
		d.normalizer = normalize.Replace{Pattern: normalize.Literal(" "), Content: string(separator)}
	}
	if p.punctuation {
		d.steps = append(d.steps, delimiter{match: characters(normalize.IsPunctuation), behavior: contiguous})
	}
	if p.digits {
		d.steps = append(d.steps, scan{pretoken.Digits(true)})
	}
	for _, text := range p.patterns {
		if s, ok := pretoken.Lookup(text); ok {
			d.steps = append(d.steps, scan{s})
			continue
		}
		if s, ok := pretoken.LookupTiktoken(text); ok {
			d.steps = append(d.steps, scan{s})
			continue
		}
		re, err := d.engine("pre-tokenizer", text)
		if err != nil {
			return err
		}
		d.steps = append(d.steps, delimiter{match: re, behavior: isolated})
	}
	d.joinScanners()
	d.ignoreMerges = p.ignoreMerges
	return nil
}
