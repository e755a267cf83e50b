"""Hugging Face tokenizers as the judge of package pretoken. Run by parity_test.go.

    python oracle.py PROSE SCALE < PATTERNS.JSON > OUT.JSONL

PATTERNS.JSON is a list of lists: patterns that are applied one after another. A line of the output is a text and, for
each list of patterns, the lengths of its words in bytes. SCALE divides the number of texts.
"""

import json
import os
import random
import sys
import sysconfig
import unicodedata

from tokenizers import Regex, pre_tokenizers

# Where the alternatives of the patterns meet.
POOL = (
    " \n\r\t\u00a0\u3000\u0085\u2003'sStTrReEvVlLmMdD\u017faAzB\u00c9\u00df\u1e9e\u01c5\u02b0\u00aa\u4e2d\u306e\u30fc\u30fb\u309b\u3099\u3040\uac00"
    "\u0301\u0903\u20dd123\u0663\u2167\u00b2\u3007!/.$\u20ac\u2014\u3001\u200b\x00\ue000\u0378\U0001f600\u2600\U00020000\u2e80\u3005|(),-_[]\u212a\u0149\ufb06\u0345\u9fa6\u9fff"
)


def soup(rng, limit):
    size = 0
    while size < limit:
        alphabet = [rng.choice(POOL) for _ in range(rng.randrange(1, 9))] + [rng.choice(" \n'sa1")]
        text = "".join(rng.choice(alphabet) for _ in range(rng.randrange(1, 60)))
        size += len(text.encode())
        yield text


def code_points(scale):
    """Every assigned code point of a script; the classes of all others are held elsewhere."""
    points = [chr(c) for c in range(0x20000) if unicodedata.category(chr(c)) not in ("Cn", "Co", "Cs") and not 0x5000 < c < 0x9F00 and not 0xAD00 < c < 0xD700]
    for at in range(0, len(points), 128 * scale):
        yield "".join(f"a{c}A {c}1'{c}{c}\n" for c in points[at : at + 128])


def files(root, limit):
    size = 0
    for folder, folders, names in sorted(os.walk(root)):
        folders.sort()
        for name in sorted(names):
            if not name.endswith(".py") or "-packages" in folder:
                continue
            with open(os.path.join(folder, name), encoding="utf-8", errors="replace") as f:
                text = f.read()
            for at in range(0, len(text), 4000):
                yield text[at : at + 4000]
            size += len(text)
            if size > limit:
                return


def texts(prose, scale):
    rng = random.Random(7)
    yield ""
    with open(prose, encoding="utf-8") as f:
        paragraphs = f.read()
    yield from paragraphs.splitlines()
    words = paragraphs.split(" ")
    for _ in range(200 // scale):
        yield "".join(rng.choice(words) + rng.choice((" ", " ", "\n", "  ", "", " \n ", "\r\n\r\n")) for _ in range(200))
    yield from files(sysconfig.get_path("stdlib"), (1 << 19) // scale)
    yield from soup(rng, (1 << 20) // scale)
    yield from code_points(scale)
    for unit in ("a", "A", " ", "\n", " \n", "\u4e2d", "1", "!", "\u0301", "'s", "aA", "/\n", "\u200b", "A\u0301"):
        yield unit * 3000 + "x"


def main():
    splits = [
        pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(p), "isolated") for p in patterns]) for patterns in json.load(sys.stdin)
    ]
    for text in texts(sys.argv[1], int(sys.argv[2])):
        words = [[len(word.encode()) for word, _ in split.pre_tokenize_str(text)] for split in splits]
        print(json.dumps({"text": text, "words": words}))


if __name__ == "__main__":
    main()
