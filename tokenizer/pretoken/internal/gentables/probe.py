r"""Asks Hugging Face tokenizers what each code point is, and prints the answer as ranges.

    python probe.py > ../../testdata/classes.txt

One line a range: "FIRST LAST CLASSES", hexadecimal code points and the letters of the classes. Of the regex engine
(Oniguruma) behind ByteLevel and Split: U [\p{Lu}\p{Lt}], L \p{Ll}, O [\p{Lm}\p{Lo}], M \p{M}, N \p{N}, I \p{Nd}, P \p{P},
Y \p{S}, S \s, R [\r\n], H \p{Han}, K the ideographs and kana that DeepSeek's pattern names. Of others: D what the
Digits pre-tokenizer splits off, T what the Punctuation pre-tokenizer splits off; W \w and X \s of the regex engine
(Rust's) behind single_word, lstrip and rstrip of added tokens. Code points without a class are left out.
"""

import tokenizers
from tokenizers import AddedToken, Regex, Tokenizer, models, pre_tokenizers

CODE_POINTS = [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]
CHUNK = 0x2000
LETTERS = "ULOMNIPYSRHKDTWX"
PATTERNS = {
    "U": r"[\p{Lu}\p{Lt}]",
    "L": r"\p{Ll}",
    "O": r"[\p{Lm}\p{Lo}]",
    "M": r"\p{M}",
    "N": r"\p{N}",
    "I": r"\p{Nd}",
    "P": r"\p{P}",
    "Y": r"\p{S}",
    "S": r"\s",
    "R": r"[\r\n]",
    "H": r"\p{Han}",
    "K": "[一-龥぀-ゟ゠-ヿ]",
}


def split_off(pre):
    """The code points that a pre-tokenizer, given them one after another, removes."""
    found = set()
    for at in range(0, len(CODE_POINTS), CHUNK):
        text = "".join(map(chr, CODE_POINTS[at : at + CHUNK]))
        kept = "".join(piece for piece, _ in pre.pre_tokenize_str(text))
        found |= set(text) - set(kept)
    return found


def isolated(pre):
    """The code points that a pre-tokenizer cuts off the letters around them."""
    return {chr(c) for c in CODE_POINTS if len(pre.pre_tokenize_str("a" + chr(c) + "a")) == 3}


def added(**how):
    """A tokenizer with one added token, which is special in a way that its neighbours decide."""
    tok = Tokenizer(models.BPE())
    tok.add_tokens([AddedToken("\U000f0000\U000f0001", normalized=False, **how)])
    return tok


def main():
    classes = {k: split_off(pre_tokenizers.Split(Regex(p), "removed")) for k, p in PATTERNS.items()}
    classes["D"] = isolated(pre_tokenizers.Digits(individual_digits=True))
    classes["T"] = isolated(pre_tokenizers.Punctuation())
    classes["W"], classes["X"] = set(), set()
    word, strip = added(single_word=True), added(rstrip=True)
    token = "\U000f0000\U000f0001"
    for at in range(0, len(CODE_POINTS), CHUNK):
        part = [chr(c) for c in CODE_POINTS[at : at + CHUNK]]
        for c, e in zip(part, word.encode_batch([token + c for c in part])):
            if not e.ids:
                classes["W"].add(c)
        for c, e in zip(part, strip.encode_batch([token + c for c in part])):
            if e.offsets[0][1] == 3:
                classes["X"].add(c)

    print("# tokenizers", tokenizers.__version__, "- made by internal/gentables/probe.py")
    of = {c: "".join(k for k in LETTERS if chr(c) in classes[k]) for c in CODE_POINTS}
    first = None
    for c in range(0x110001):
        if first is not None and of.get(c, "") != of[first]:
            print(f"{first:04X} {c - 1:04X} {of[first]}")
            first = None
        if first is None and of.get(c, ""):
            first = c


if __name__ == "__main__":
    main()
