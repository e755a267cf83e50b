"""Asks Hugging Face tokenizers what its normalizers do to each code point and prints tables.txt.

    python probe.py > tables.txt

The lines: "ccc FIRST LAST CLASS" (canonical combining classes other than 0), "d CODE CODES" (full canonical
decompositions, Hangul left out), "k CODE CODES" (full compatibility decompositions where they differ), "c FIRST SECOND
CODE" (compositions), "l CODE CODES" (lower case where it is not what Go's unicode.ToLower gives is decided by the test,
so every one is listed), "p FIRST LAST" (punctuation to the Punctuation pre-tokenizer). All numbers are hexadecimal.
"""

import unicodedata

from tokenizers import normalizers, pre_tokenizers

POINTS = [chr(c) for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]
nfc, nfd, nfkd = normalizers.NFC().normalize_str, normalizers.NFD().normalize_str, normalizers.NFKD().normalize_str
lower = normalizers.Lowercase().normalize_str


def codes(text):
    return " ".join(f"{ord(c):x}" for c in text)


def classes():
    """The class of each mark, found by how NFD orders it against marks of known classes."""
    of = {}
    for c in POINTS:
        if k := unicodedata.combining(c):
            of.setdefault(k, []).append(c)
    # U+0345 has the greatest class: it goes behind every other mark. Behind itself nothing moves.
    last = "\u0345"

    def before(c, mark):
        """Whether c has a class, and a smaller one than the mark."""
        return nfd("a" + mark + c)[1:] != nfd(mark)[:1] + nfd(c) and nfd("a" + mark + c).endswith(mark)

    # Marks younger than the reference's Unicode have no class there.
    of = {k: [c for c in marks if c == last or (nfd(c) == c and before(c, last))] for k, marks in of.items()}
    of = {k: marks[0] for k, marks in of.items() if marks}
    known = sorted(of)
    for c in POINTS:
        if len(nfd(c)) != 1 or nfd(c) != c:
            continue
        if c == last:
            yield c, known[-1]
        elif before(c, last):
            low, high = 0, len(known) - 1  # before(known[high])
            while low < high:
                mid = (low + high) // 2
                if before(c, of[known[mid]]):
                    high = mid
                else:
                    low = mid + 1
            yield c, known[low - 1]


def ranges(pairs):
    out = []
    for c, k in pairs:
        if out and out[-1][1] == ord(c) - 1 and out[-1][2] == k:
            out[-1][1] = ord(c)
        else:
            out.append([ord(c), ord(c), k])
    return out


def main():
    for first, end, k in ranges(classes()):
        print(f"ccc {first:x} {end:x} {k:x}")
    for c in POINTS:
        if 0xAC00 <= ord(c) <= 0xD7A3:
            continue
        d, k = nfd(c), nfkd(c)
        if d != c:
            print(f"d {ord(c):x} {codes(d)}")
            if len(d) > 1 and nfc(d) == c:
                first = nfc(d[:-1])
                assert len(first) == 1 and nfc(first + d[-1]) == c, c
                print(f"c {codes(first)} {codes(d[-1])} {ord(c):x}")
        if k != d:
            print(f"k {ord(c):x} {codes(k)}")
    for c in POINTS:
        if lower(c) != c:
            print(f"l {ord(c):x} {codes(lower(c))}")
    punctuation = pre_tokenizers.Punctuation("removed")
    for first, end, _ in ranges((c, 1) for c in POINTS if not punctuation.pre_tokenize_str(c)):
        print(f"p {first:x} {end:x}")


main()
