"""Asks Hugging Face tokenizers (Oniguruma) which code points its character classes hold and prints classes.txt.

    python probe.py > classes.txt

A line is the name of a class and its ranges: FIRST-LAST or FIRST, hexadecimal.
"""

import unicodedata

from tokenizers import Regex, pre_tokenizers

POINTS = "".join(chr(c) for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF)
CATEGORIES = "Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp Cc Cf Co Cn".split()
SCRIPTS = "Arabic Armenian Bengali Bopomofo Cyrillic Devanagari Ethiopic Georgian Greek Gujarati Gurmukhi Han Hangul Hebrew Hiragana Kannada Katakana Khmer Lao Latin Malayalam Mongolian Myanmar Oriya Sinhala Tamil Telugu Thai Tibetan Common Inherited".split()


def ranges(pattern):
    split = pre_tokenizers.Split(Regex(f"(?:{pattern})+"), "removed", invert=True)
    for _, (start, end) in split.pre_tokenize_str(POINTS):
        first, last = ord(POINTS[start]), ord(POINTS[end - 1])
        if first < 0xD800 and last > 0xDFFF:
            yield first, 0xD7FF
            first = 0xE000
        yield first, last


def main():
    for name, pattern in [("s", r"\s"), ("w", r"\w"), ("d", r"\d")] + [(n, rf"\p{{{n}}}") for n in CATEGORIES + SCRIPTS]:
        print(name, " ".join(f"{a:x}-{b:x}" if a < b else f"{a:x}" for a, b in ranges(pattern)))


main()
