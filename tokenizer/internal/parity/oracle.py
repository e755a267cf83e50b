"""Hugging Face tokenizers as the judge of package tokenizer. Run by parity_test.go.

    python oracle.py corpus GOROOT PROSE OUT [TOKENIZER.JSON]   write the corpus
    python oracle.py encode TOKENIZER.JSON CORPUS OUT           encode it, special tokens in the text recognised
    python oracle.py ids TOKENIZER.JSON OUT                     write lists of ids
    python oracle.py decode TOKENIZER.JSON IDS OUT SKIP         decode them, SKIP 0 or 1
    python oracle.py variants OUT                               write small tokenizers, texts and their ids

A file is a row of frames: a length (uint32, little endian) and as many bytes. Texts are raw bytes, which may be
invalid UTF-8 and are decoded with errors="replace"; ids are uint32.
"""

import array
import json
import os
import random
import struct
import sys
import sysconfig
import unicodedata

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors

BATCH = 2048


def write_frames(path, frames):
    with open(path, "wb") as f:
        for frame in frames:
            f.write(struct.pack("<I", len(frame)))
            f.write(frame)


def read_frames(path):
    with open(path, "rb") as f:
        while head := f.read(4):
            yield f.read(struct.unpack("<I", head)[0])


def pack(ids):
    out = array.array("I", ids)
    if sys.byteorder == "big":
        out.byteswap()
    return out.tobytes()


# ---- the corpus ----


def files(root, suffixes, limit):
    """The files under root in a fixed order, up to limit bytes in all."""
    total = 0
    for folder, folders, names in sorted(os.walk(root)):
        folders.sort()
        for name in sorted(names):
            if not name.endswith(suffixes) or "site-packages" in folder or "dist-packages" in folder:
                continue
            try:
                with open(os.path.join(folder, name), "rb") as f:
                    data = f.read(1 << 20)
            except OSError:
                continue
            total += len(data)
            if total > limit:
                return
            yield data


def lines(data, n):
    parts = data.splitlines(keepends=True)
    for at in range(0, len(parts), n):
        yield b"".join(parts[at : at + n])


SCRIPTS = """LATIN CYRILLIC GREEK ARABIC HEBREW DEVANAGARI BENGALI TAMIL THAI GEORGIAN ARMENIAN ETHIOPIC HANGUL HIRAGANA
KATAKANA CJK TIBETAN KHMER MYANMAR SINHALA TELUGU GUJARATI GURMUKHI MALAYALAM KANNADA LAO CHEROKEE MONGOLIAN""".split()


def alphabets():
    """The letters and marks of each script, by their names."""
    of = {script: [] for script in SCRIPTS}
    for c in range(0x80, 0x30000):
        name = unicodedata.name(chr(c), "")
        first = name.split(" ", 1)[0]
        if first in of and unicodedata.category(chr(c))[0] in "LMN":
            of[first].append(chr(c))
    return of


def synthetic_words(rng, limit):
    of = alphabets()
    digits = [chr(c) for c in range(0x110000) if unicodedata.category(chr(c)) in ("Nd", "Nl", "No")]
    for script in SCRIPTS:
        letters, out, size = of[script], [], 0
        while size < limit:
            # Real text uses neighbours: words from a narrow window of the script.
            at = rng.randrange(max(1, len(letters) - 60))
            word = "".join(rng.choice(letters[at : at + 60]) for _ in range(rng.choice((1, 2, 3, 4, 5, 6, 7, 9, 14))))
            word += rng.choice((" ", " ", " ", " ", ", ", ".\n", "", "'s ", "\u3002", "\u00a0", "  ", "-", "\n\n", rng.choice(digits)))
            out.append(word)
            size += len(word.encode())
            if len(out) == 200:
                yield "".join(out).encode()
                out = []


def recombined(rng, paragraphs, limit):
    """Prose with its words in another order and other white space between."""
    words = [p.split(" ") for p in paragraphs]
    size = 0
    while size < limit:
        text = "".join(rng.choice(rng.choice(words)) + rng.choice((" ", " ", " ", "\n", "  ", "\t", "", " \n ", "\r\n")) for _ in range(rng.randrange(1, 120)))
        size += len(text.encode())
        yield text.encode()


def emoji(rng, limit):
    base = [chr(c) for c in (*range(0x1F300, 0x1F650), *range(0x1F680, 0x1F700), *range(0x1F900, 0x1FA00), *range(0x2600, 0x27C0))]
    flags = [chr(c) for c in range(0x1F1E6, 0x1F200)]
    skin = [chr(c) for c in range(0x1F3FB, 0x1F400)]
    size = 0
    while size < limit:
        out = []
        for _ in range(rng.randrange(1, 40)):
            kind = rng.randrange(6)
            if kind == 0:
                out.append(rng.choice(flags) + rng.choice(flags))
            elif kind == 1:
                out.append(rng.choice(base) + rng.choice(skin))
            elif kind == 2:
                out.append("\u200d".join(rng.choice(base) + rng.choice(("", "\ufe0f")) for _ in range(rng.randrange(2, 5))))
            elif kind == 3:
                out.append(rng.choice("0123456789#*") + "\ufe0f\u20e3")
            elif kind == 4:
                out.append(rng.choice(("ok", " lol", " it's", "!!", " ", "\n")))
            else:
                out.append(rng.choice(base))
        text = "".join(out).encode()
        size += len(text)
        yield text


def soup(rng, limit):
    """Strings over small alphabets, where the alternatives of a pattern meet."""
    sets = (" '\nsStTrReEvVlLmMdD", "  \t\n\r1a!", "a 1", "'s't're've'm'll'd ", " \u00a0\u2003\u3000\u0085\x0bx", "é１Ⅷ² ٣!", "ab", "\u0301a \u200d!", "<|>imstardeno_ \n")
    size = 0
    while size < limit:
        alphabet = rng.choice(sets)
        text = "".join(rng.choice(alphabet) for _ in range(rng.randrange(1, 200))).encode()
        size += len(text)
        yield text


def random_bytes(rng, limit):
    size = 0
    while size < limit:
        n = rng.randrange(1, 400)
        kind = rng.randrange(3)
        if kind == 0:
            data = rng.randbytes(n)
        elif kind == 1:
            data = bytes(rng.choice(b"\xf0\x9f\x98\x80\xe4\xb8\xad\xc3\xa9\xed\xa0ab \n\x80\xff\xc0\xf4\x90") for _ in range(n))
        else:
            data = bytearray("naïve 日本語 😀 text ".encode() * (n // 20 + 1))
            for _ in range(1 + n // 30):
                data[rng.randrange(len(data))] = rng.randrange(256)
            data = bytes(data[:n])
        size += len(data)
        yield data


def every_code_point():
    points = [chr(c) for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]
    for at in range(0, len(points), 256):
        yield "".join(f"a{c} {c}1 " for c in points[at : at + 256]).encode()


def with_special(rng, special, limit):
    """Special tokens whole, broken and doubled, among words."""
    size = 0
    while special and size < limit:
        out = []
        for _ in range(rng.randrange(1, 30)):
            token = rng.choice(special)
            cut = rng.randrange(len(token) + 1)
            out.append(rng.choice((token, token, token[:cut], token[cut:], token[:cut] + token, " ", "\n", "user", " text 12", "é", "<", "|>", "中")))
        text = "".join(out).encode()
        size += len(text)
        yield text


def runs():
    for unit in ("a", " ", "\n", "中", "1", "!", "é", "ab", "the ", " a", "😀", "\u0301", "'s", "aA", "=-"):
        for n in (1, 2, 3, 31, 32, 33, 47, 48, 49, 50, 63, 64, 65, 100, 1000, 30000):
            yield (unit * n).encode()
            yield ("x" + unit * n + " y").encode()


def corpus(goroot, prose, out, tokenizer=None):
    rng = random.Random(4)
    with open(prose, encoding="utf-8") as f:
        paragraphs = [line.rstrip("\n") for line in f if not line.startswith("#")]
    special = []
    if tokenizer:
        special = [t.content for t in Tokenizer.from_file(tokenizer).get_added_tokens_decoder().values()]

    def texts():
        yield from (p.encode() for p in paragraphs)
        yield "\n".join(paragraphs).encode()
        yield from recombined(rng, paragraphs, 3 << 20)
        yield from synthetic_words(rng, 100 << 10)
        for data in files(os.path.join(goroot, "src"), (".go", ".s", ".md", ".txt", ".html"), 5 << 20):
            yield from lines(data, 40)
        for data in files(sysconfig.get_path("stdlib"), (".py", ".txt", ".rst"), 5 << 20):
            yield data
        yield from emoji(rng, 1 << 20)
        yield from soup(rng, 2 << 20)
        yield from random_bytes(rng, 2 << 20)
        yield from with_special(rng, special, 1 << 20)
        yield from runs()
        yield from every_code_point()

    write_frames(out, texts())


# ---- the judge ----


def batches(frames):
    batch = []
    for frame in frames:
        batch.append(frame)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def encode(tokenizer, source, out):
    tok = Tokenizer.from_file(tokenizer)

    def ids():
        for batch in batches(read_frames(source)):
            texts = [frame.decode("utf-8", "replace") for frame in batch]
            for encoding in tok.encode_batch_fast(texts, add_special_tokens=False):
                yield pack(encoding.ids)

    write_frames(out, ids())


def id_lists(tokenizer, out):
    tok = Tokenizer.from_file(tokenizer)
    rng = random.Random(5)
    size = tok.get_vocab_size()
    # Tokens that are pieces of characters, so that these meet often.
    vocab = tok.get_vocab()
    pieces = sorted(i for i in vocab.values() if "\ufffd" in tok.decode([i], skip_special_tokens=False))
    special = list(tok.get_added_tokens_decoder())

    def lists():
        for at in range(size):
            yield pack([at])
        for _ in range(20000):
            kind = rng.randrange(3)
            n = rng.randrange(1, 60)
            if kind == 0:
                yield pack(rng.randrange(size + 3) for _ in range(n))
            elif kind == 1:
                yield pack(rng.choice(pieces) for _ in range(n))
            else:
                yield pack(rng.choice((rng.choice(pieces), rng.randrange(size), rng.choice(special))) for _ in range(n))

    write_frames(out, lists())


def decode(tokenizer, source, out, skip):
    tok = Tokenizer.from_file(tokenizer)

    def texts():
        for batch in batches(read_frames(source)):
            lists = [list(struct.unpack(f"<{len(frame) // 4}I", frame)) for frame in batch]
            for text in tok.decode_batch(lists, skip_special_tokens=skip == "1"):
                yield text.encode()

    write_frames(out, texts())


# ---- small tokenizers with every option ----


def variant(rng):
    """A random small tokenizer of the supported kind, and texts that make its options matter."""
    letters = "abcdxyz 1\n\u00e9<>"
    byte_chars = pre_tokenizers.ByteLevel.alphabet()
    chars = {c for piece, _ in pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False).pre_tokenize_str(letters) for c in piece}
    alphabet = [c for c in sorted(byte_chars if rng.random() < 0.5 else chars) if rng.random() < 0.97]
    vocab = {}
    ids = list(range(len(alphabet) + 200))
    if rng.random() < 0.3:
        rng.shuffle(ids)
    for c in alphabet:
        vocab[c] = ids[len(vocab)]
    usual = [c for c in alphabet if c in chars]
    merges, tokens = [], list(usual)
    for _ in range(rng.randrange(0, 60)):
        a, b = rng.choice(tokens), rng.choice(tokens)
        if len(a + b) > 6:
            continue
        merges.append((a, b))
        if a + b not in vocab:
            vocab[a + b] = ids[len(vocab)]
            tokens.append(a + b)
    options = {}
    if rng.random() < 0.4:
        vocab["<unk>"] = ids[len(vocab)]
        options = {"unk_token": "<unk>", "fuse_unk": rng.random() < 0.5}
    tok = Tokenizer(models.BPE(vocab=vocab, merges=merges, ignore_merges=rng.random() < 0.4, **options))
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=rng.random() < 0.3, use_regex=rng.random() < 0.8)
    digits = [pre_tokenizers.Digits(individual_digits=rng.random() < 0.5)] if rng.random() < 0.6 else []
    tok.pre_tokenizer = pre_tokenizers.Sequence([*digits, byte_level]) if digits or rng.random() < 0.5 else byte_level
    tok.decoder = decoders.ByteLevel()
    contents = ["<s>", "</s>", "<s", "s>", "ab", "abc", "bc", "a b", " ", "  ", "é", "x", "1", "<unk>", "\n", "zz", "<s><s>"]
    added = []
    chosen = rng.sample(contents, rng.randrange(0, 7))
    # The reference panics if white space that one token strips on its right belongs to the next token.
    strips = ("lstrip",) if any(c[0].isspace() for c in chosen) else ("lstrip", "rstrip")
    for content in chosen:
        how = {k: rng.random() < 0.3 for k in (*strips, "single_word", "normalized", "special")}
        added.append(AddedToken(content, **how))
    tok.add_tokens(added)
    names = [t.content for t in tok.get_added_tokens_decoder().values()]
    if names and rng.random() < 0.6:
        bos, eos = rng.choice(names), rng.choice(names)
        single = rng.choice((f"{bos} $A", f"$A {eos}", f"{bos} $A {eos}"))
        if " " not in bos + eos and "$" not in bos + eos and ":" not in bos + eos:
            template = processors.TemplateProcessing(single=single, pair=single + " $B", special_tokens=[(t, tok.token_to_id(t)) for t in {bos, eos}])
            tok.post_processor = processors.Sequence([processors.ByteLevel(), template]) if rng.random() < 0.5 else template
    texts = []
    for _ in range(60):
        texts.append("".join(rng.choice((rng.choice(letters), rng.choice(letters), rng.choice(contents), rng.choice(names or ["b"]), rng.choice("ab")*rng.randrange(1, 90))) for _ in range(rng.randrange(0, 16))))
    return tok, texts


def variants(out):
    rng = random.Random(6)

    def frames():
        for _ in range(400):
            tok, texts = variant(rng)
            size = tok.get_vocab_size()
            lists = [[rng.randrange(size + 2) for _ in range(rng.randrange(1, 12))] for _ in range(20)]
            plain = Tokenizer.from_str(tok.to_str())
            plain.encode_special_tokens = True
            yield json.dumps(
                {
                    "tokenizer": json.loads(tok.to_str()),
                    "texts": texts,
                    "ids": [e.ids for e in tok.encode_batch(texts, add_special_tokens=False)],
                    "with_special": [e.ids for e in tok.encode_batch(texts, add_special_tokens=True)],
                    "as_text": [e.ids for e in plain.encode_batch(texts, add_special_tokens=False)],
                    "lists": lists,
                    "decoded": tok.decode_batch(lists, skip_special_tokens=False),
                    "skipped": tok.decode_batch(lists, skip_special_tokens=True),
                }
            ).encode()

    write_frames(out, frames())


if __name__ == "__main__":
    {"corpus": corpus, "encode": encode, "ids": id_lists, "decode": decode, "variants": variants}[sys.argv[1]](*sys.argv[2:])
