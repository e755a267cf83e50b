"""Asks Hugging Face tokenizers what each code point is, and prints the answer as ranges.

    python probe.py > ../../testdata/classes.txt

One line a range: "FIRST LAST CLASSES", hexadecimal code points and the letters of the classes:
L \\p{L}, N \\p{N} and S \\s of the regex engine (Oniguruma) behind ByteLevel and Split; D what the Digits
pre-tokenizer splits off (Rust's char::is_numeric); W \\w and P \\s of the regex engine (Rust's) behind
single_word, lstrip and rstrip of added tokens. Code points without a class are left out.
"""

import tokenizers
from tokenizers import AddedToken, Regex, Tokenizer, models, pre_tokenizers

CODE_POINTS = [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]
CHUNK = 0x2000


def split_off(make):
    """The code points that a pre-tokenizer, given them one after another, splits off."""
    found = set()
    pre = make()
    for at in range(0, len(CODE_POINTS), CHUNK):
        text = "".join(map(chr, CODE_POINTS[at : at + CHUNK]))
        kept = "".join(piece for piece, _ in pre.pre_tokenize_str(text))
        found |= set(text) - set(kept)
    return found


def digits():
    found = set()
    pre = pre_tokenizers.Digits(individual_digits=True)
    # "a" + c + "a" stays whole unless c is split off.
    for c in CODE_POINTS:
        if len(pre.pre_tokenize_str("a" + chr(c) + "a")) == 3:
            found.add(chr(c))
    return found


def added(**how):
    """The code points for which "c" + token + "c" shows the token treated specially."""
    tok = Tokenizer(models.BPE())
    tok.add_tokens([AddedToken("\U000f0000\U000f0001", normalized=False, **how)])
    return tok


def main():
    classes = {
        "L": split_off(lambda: pre_tokenizers.Split(Regex(r"\p{L}"), "removed")),
        "N": split_off(lambda: pre_tokenizers.Split(Regex(r"\p{N}"), "removed")),
        "S": split_off(lambda: pre_tokenizers.Split(Regex(r"\s"), "removed")),
        "D": digits(),
        "W": set(),
        "P": set(),
    }
    word, strip = added(single_word=True), added(rstrip=True)
    token = "\U000f0000\U000f0001"
    for at in range(0, len(CODE_POINTS), CHUNK):
        part = [chr(c) for c in CODE_POINTS[at : at + CHUNK]]
        for c, e in zip(part, word.encode_batch([token + c for c in part])):
            if not e.ids:
                classes["W"].add(c)
        for c, e in zip(part, strip.encode_batch([token + c for c in part])):
            if e.offsets[0][1] == 3:
                classes["P"].add(c)

    print("# tokenizers", tokenizers.__version__, "- made by internal/gentables/probe.py")
    of = {c: "".join(k for k in "LNSDWP" if chr(c) in classes[k]) for c in CODE_POINTS}
    first = None
    for c in range(0x110001):
        if first is not None and of.get(c, "") != of[first]:
            print(f"{first:04X} {c - 1:04X} {of[first]}")
            first = None
        if first is None and of.get(c, ""):
            first = c


if __name__ == "__main__":
    main()
