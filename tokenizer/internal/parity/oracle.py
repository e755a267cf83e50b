"""Hugging Face tokenizers as the judge of package tokenizer. Run by parity_test.go.

    python oracle.py corpus GOROOT PROSE OUT SCALE [TOKENIZER.JSON]   write the corpus, or one part in SCALE of it
    python oracle.py encode TOKENIZER.JSON CORPUS OUT           encode it, special tokens in the text recognised
    python oracle.py offsets TOKENIZER.JSON CORPUS OUT EVERY    the same with offsets in bytes, of every n-th text
    python oracle.py tiktoken RANKS CORPUS OUT                  encode it with tiktoken; RANKS is a .tiktoken or tekken.json
    python oracle.py sentencepiece MODEL CORPUS OUT             encode it with SentencePiece
    python oracle.py trained FOLDER OUT                         train SentencePiece models; write texts, ids and what they decode to
    python oracle.py model OUT                                  train the SentencePiece model of ../../testdata
    python oracle.py ids TOKENIZER.JSON OUT COUNT               write lists of ids
    python oracle.py decode TOKENIZER.JSON IDS OUT SKIP         decode them, SKIP 0 or 1
    python oracle.py variants OUT SEED COUNT                    write small tokenizers, texts and their ids
    python oracle.py pipelines OUT SEED COUNT                   the same with every kind of part
    python oracle.py golden OUT                                 a few small ones of those, as ../../testdata/pipelines.jsonl
    python oracle.py regressions OUT                            what once went wrong, as ../../testdata/regressions.jsonl
    python oracle.py forms OUT                                  write texts and their normal forms and lower case

A file is a row of frames: a length (uint32, little endian) and as many bytes. Texts are raw bytes, which may be
invalid UTF-8 and are decoded with errors="replace"; ids are uint32.
"""

import array
import json
import os
import random
import signal
import struct
import sys
import sysconfig
import tempfile
import unicodedata

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

BATCH = 2048
os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")


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


def every_code_point(scale):
    points = [chr(c) for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]
    for at in range(0, len(points), 256 * scale):
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


def corpus(goroot, prose, out, scale, tokenizer=None):
    rng = random.Random(4)
    scale = int(scale)
    with open(prose, encoding="utf-8") as f:
        paragraphs = [line.rstrip("\n") for line in f if not line.startswith("#")]
    special = []
    if tokenizer:
        special = [t.content for t in Tokenizer.from_file(tokenizer).get_added_tokens_decoder().values()]

    def texts():
        yield from (p.encode() for p in paragraphs)
        yield "\n".join(paragraphs).encode()
        yield from recombined(rng, paragraphs, (3 << 20) // scale)
        yield from synthetic_words(rng, (100 << 10) // scale)
        for data in files(os.path.join(goroot, "src"), (".go", ".s", ".md", ".txt", ".html"), (5 << 20) // scale):
            yield from lines(data, 40)
        for data in files(sysconfig.get_path("stdlib"), (".py", ".txt", ".rst"), (5 << 20) // scale):
            yield data
        yield from emoji(rng, (1 << 20) // scale)
        yield from soup(rng, (2 << 20) // scale)
        yield from random_bytes(rng, (2 << 20) // scale)
        yield from with_special(rng, special, (1 << 20) // scale)
        yield from runs()
        yield from every_code_point(scale)

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


def offsets(tokenizer, source, out, every):
    tok = Tokenizer.from_file(tokenizer)

    def frames():
        chosen = (frame for i, frame in enumerate(read_frames(source)) if i % int(every) == 0)
        for batch in batches(chosen):
            texts = [frame.decode("utf-8", "replace") for frame in batch]
            for text, encoding in zip(texts, tok.encode_batch(texts, add_special_tokens=False)):
                yield pack(x for pair in byte_offsets(encoding, text) for x in pair)

    write_frames(out, frames())


def id_lists(tokenizer, out, count):
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
        for _ in range(int(count)):
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


BEHAVIORS = ("removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous")
PATTERNS = (r"\s+", r"\p{N}{1,3}", r"[^\s\p{L}]", r"a|b", r"(?i:b)c?", r"\w+|[^\w\s]", r"(?=x)", r"\s+(?!\S)", r"[\p{Lu}\p{Lt}]?[\p{Ll}\p{M}]+", r"^.", r"x*", r"\bb", "\u00e9|(?<=a) ", r"[^\p{Han}a-c]+", r"$")
LETTERS = "abcdxyz 12\n\u00e9\u0301e\u2581<>AB\u00c9.!\u0130\ufb01\u3000\u4e2d\U0001f600"


def random_normalizer(rng):
    def one():
        return rng.choice(
            (
                normalizers.NFC,
                normalizers.NFD,
                normalizers.NFKC,
                normalizers.NFKD,
                normalizers.Lowercase,
                lambda: normalizers.Replace(rng.choice((" ", "a", "ab", "\u00e9")), rng.choice(("\u2581", "", "b", "xy"))),
                lambda: normalizers.Replace(Regex(rng.choice((r"\s+", r"[ab]+", r"\p{Lu}", r"x$"))), rng.choice((" ", "", "cd"))),
                lambda: normalizers.Prepend(rng.choice(("\u2581", "xy", "a"))),
                lambda: normalizers.Strip(rng.random() < 0.5, rng.random() < 0.5),
            )
        )()

    kind = rng.random()
    if kind < 0.3:
        return None
    return one() if kind < 0.6 else normalizers.Sequence([one() for _ in range(rng.randrange(1, 4))])


def random_pre_tokenizer(rng):
    def one():
        return rng.choice(
            (
                lambda: pre_tokenizers.ByteLevel(add_prefix_space=rng.random() < 0.5, use_regex=rng.random() < 0.5),
                lambda: pre_tokenizers.Digits(individual_digits=rng.random() < 0.5),
                lambda: pre_tokenizers.Split(rng.choice((" ", "a", "ab", "\n")), rng.choice(BEHAVIORS), invert=rng.random() < 0.3),
                lambda: pre_tokenizers.Split(Regex(rng.choice(PATTERNS)), rng.choice(BEHAVIORS), invert=rng.random() < 0.3),
                lambda: pre_tokenizers.Metaspace(prepend_scheme=rng.choice(("always", "first", "never")), split=rng.random() < 0.6),
                lambda: pre_tokenizers.Punctuation(rng.choice(BEHAVIORS)),
                pre_tokenizers.Whitespace,
                pre_tokenizers.WhitespaceSplit,
            )
        )()

    kind = rng.random()
    if kind < 0.15:
        return None
    return one() if kind < 0.5 else pre_tokenizers.Sequence([one() for _ in range(rng.randrange(1, 4))])


def random_decoder(rng):
    def one():
        return rng.choice(
            (
                decoders.ByteLevel,
                decoders.ByteFallback,
                decoders.Fuse,
                lambda: decoders.Replace(rng.choice(("\u2581", "a", "ab", Regex(r"\s|a+"), Regex("^."))), rng.choice((" ", "", "zz"))),
                lambda: decoders.Strip(rng.choice(" ab"), rng.randrange(3), rng.choice((0, 0, 1))),
                lambda: decoders.Metaspace(prepend_scheme=rng.choice(("always", "first", "never"))),
            )
        )()

    kind = rng.random()
    if kind < 0.1:
        return None
    if kind < 0.3:
        return decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    return one() if kind < 0.6 else decoders.Sequence([one() for _ in range(rng.randrange(1, 5))])


def random_post_processor(rng, words):
    def one():
        a, b = rng.choice(words), rng.choice(words)
        single = rng.choice(("A $A", "$A B", "A $A B", "A B $A", "$A A B A", "$A"))
        return rng.choice(
            (
                lambda: processors.ByteLevel(trim_offsets=rng.random() < 0.7, add_prefix_space=rng.random() < 0.5),
                lambda: processors.RobertaProcessing(a, b, trim_offsets=rng.random() < 0.7, add_prefix_space=rng.random() < 0.5),
                lambda: processors.BertProcessing(a, b),
                lambda: processors.TemplateProcessing(single=single, pair="$A B $B A", special_tokens=[("A", a[1]), ("B", b[1])]),
            )
        )()

    kind = rng.random()
    if kind < 0.4:
        return None
    if kind < 0.6:
        return processors.ByteLevel(trim_offsets=rng.random() < 0.7, add_prefix_space=rng.random() < 0.5)
    return one() if kind < 0.75 else processors.Sequence([one() for _ in range(rng.randrange(1, 4))])


def pipeline(rng):
    """A random small tokenizer with parts of every supported kind."""
    letters = set(LETTERS)
    for piece, _ in pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False).pre_tokenize_str(LETTERS):
        letters |= set(piece)
    if rng.random() < 0.3:
        letters |= set(pre_tokenizers.ByteLevel.alphabet())
    chars = [c for c in sorted(letters) if rng.random() < 0.93]
    vocab = {}
    for c in chars:
        vocab[c] = len(vocab)
    options = {"fuse_unk": rng.random() < 0.5, "ignore_merges": rng.random() < 0.3, "byte_fallback": rng.random() < 0.4}
    if options["byte_fallback"]:
        for b in range(256):
            if rng.random() < 0.98:
                vocab[f"<0x{b:02X}>"] = len(vocab)
    if rng.random() < 0.6:
        vocab["<unk>"] = len(vocab)
        options["unk_token"] = "<unk>"
    prefix = suffix = ""
    if rng.random() < 0.15 and not options["byte_fallback"]:
        prefix = options["continuing_subword_prefix"] = rng.choice(("##", "x"))
        for c in chars:
            vocab.setdefault(prefix + c, len(vocab))
    # With byte_fallback the suffix itself becomes tokens, whose offsets lie outside of the word.
    if rng.random() < 0.15 and not options["byte_fallback"]:
        suffix = options["end_of_word_suffix"] = rng.choice(("</w>", "b"))
        for c in list(vocab)[: len(vocab) // 2]:
            vocab.setdefault(c + suffix, len(vocab))
    merges, tokens = [], [t for t in vocab if not t.startswith("<0x") and t != "<unk>"]
    if rng.random() < 0.5:
        tokens = [t for t in tokens if t[0] in "abx \u2581\u0120e\u0301#"]
    for _ in range(rng.randrange(0, 120)):
        a, b = rng.choice(tokens), rng.choice(tokens)
        if not b.startswith(prefix) or len(a + b) > 9:
            continue
        merges.append((a, b))
        joined = a + b[len(prefix) :]
        if joined and joined not in vocab:
            vocab[joined] = len(vocab)
            tokens.append(joined)
    ids = list(range(len(vocab)))
    if rng.random() < 0.2:  # gaps, which the ids of added tokens may fill
        ids = sorted(rng.sample(range(len(vocab) + 9), len(vocab)))
    if rng.random() < 0.2:
        rng.shuffle(ids)
    vocab = dict(zip(vocab, ids))
    tok = Tokenizer(models.BPE(vocab=vocab, merges=merges, **options))
    if (n := random_normalizer(rng)) is not None:
        tok.normalizer = n
    if (p := random_pre_tokenizer(rng)) is not None:
        tok.pre_tokenizer = p
    if (d := random_decoder(rng)) is not None:
        tok.decoder = d
    if (p := random_post_processor(rng, list(vocab.items()))) is not None:
        tok.post_processor = p
    contents = ["<s>", "</s>", "ab", "bc", "a b", "\u00e9", "A", "x", "<unk>", "zz", "\u2581a", " x"]
    chosen = rng.sample(contents, rng.randrange(0, 5))
    strips = ("lstrip",) if any(c[0].isspace() for c in chosen) else ("lstrip", "rstrip")
    tok.add_tokens([AddedToken(c, **{k: rng.random() < 0.3 for k in (*strips, "single_word", "normalized", "special")}) for c in chosen])
    if n is not None and len({n.normalize_str(c) for c in chosen}) < len(chosen):
        return pipeline(rng)  # which of two equal ones the reference takes is chance there
    texts = []
    for _ in range(40):
        texts.append("".join(rng.choice((rng.choice(LETTERS), rng.choice(LETTERS), rng.choice("ab x"), rng.choice(contents), rng.choice("ab \u2581") * rng.randrange(1, 70))) for _ in range(rng.randrange(0, 14))))
    return tok, texts


def byte_offsets(encoding, text):
    """The offsets of an encoding in bytes."""
    at = [0]
    for c in text:
        at.append(at[-1] + len(c.encode()))
    return [[at[min(i, len(text))] for i in pair] for pair in encoding.offsets]


def guarded(work):
    """What work returns, or nothing if the reference panics, as it does where a normalizer empties a token, or hangs."""
    with tempfile.TemporaryFile() as f:
        child = os.fork()
        if child == 0:
            os.environ["TOKENIZERS_PARALLELISM"] = "false"  # threads do not survive a fork
            signal.alarm(10)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            code = 1
            try:
                f.write(work())
                f.flush()
                code = 0
            finally:
                os._exit(code)
        _, status = os.waitpid(child, 0)
        f.seek(0)
        return f.read() if status == 0 else b""


def answers(tok, texts, lists, source=None):
    """What the reference makes of texts and of lists of ids."""
    plain = Tokenizer.from_str(source or tok.to_str())
    plain.encode_special_tokens = True
    encodings = tok.encode_batch(texts, add_special_tokens=False)
    with_special = tok.encode_batch(texts, add_special_tokens=True)
    lists = lists + [e.ids for e in encodings[:20] if e.ids]
    return {
        "tokenizer": json.loads(tok.to_str()),
        "texts": texts,
        "ids": [e.ids for e in encodings],
        "offsets": [byte_offsets(e, text) for e, text in zip(encodings, texts)],
        "with_special": [e.ids for e in with_special],
        "special_offsets": [byte_offsets(e, text) for e, text in zip(with_special, texts)],
        "as_text": [e.ids for e in plain.encode_batch(texts, add_special_tokens=False)],
        "lists": lists,
        "decoded": tok.decode_batch(lists, skip_special_tokens=False),
        "skipped": tok.decode_batch(lists, skip_special_tokens=True),
    }


def variants(out, seed, count, make=variant):
    rng = random.Random(int(seed))

    def frames():
        made = 0
        while made < int(count):
            tok, texts = make(rng)
            lists = [[rng.randrange(tok.get_vocab_size() + 2) for _ in range(rng.randrange(1, 12))] for _ in range(20)]
            frame = guarded(lambda: json.dumps(answers(tok, texts, lists)).encode())  # noqa: B023
            if not frame:
                continue
            made += 1
            yield frame

    write_frames(out, frames())


def pipelines(out, seed, count):
    variants(out, seed, count, pipeline)


def tiktoken_encode(ranks, source, out):
    import base64

    import tiktoken  # only here: not every environment has it

    shift, special, normal = 0, {}, lambda text: text
    if ranks.endswith(".json"):
        with open(ranks, encoding="utf-8") as f:
            d = json.load(f)
        shift = d["config"]["default_num_special_tokens"]
        size = d["config"]["default_vocab_size"] - shift
        table = {base64.b64decode(v["token_bytes"]): v["rank"] for v in d["vocab"][:size]}
        pattern = d["config"]["pattern"]
    else:
        with open(ranks, "rb") as f:
            table = {base64.b64decode(t): int(r) for t, r in (line.split() for line in f if line.strip())}
        # Qwen's, the only one that a package of moderate size holds.
        pattern = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
        special = {"<|endoftext|>": 151643, "<|im_start|>": 151644, "<|im_end|>": 151645, **{f"<|extra_{i}|>": 151646 + i for i in range(205)}}
        normal = normalizers.NFC().normalize_str  # Unicode 9, as Qwen's tokenizer.json has it
    encoding = tiktoken.Encoding("judge", pat_str=pattern, mergeable_ranks=table, special_tokens=special)

    def ids():
        for batch in batches(read_frames(source)):
            texts = [normal(frame.decode("utf-8", "replace")) for frame in batch]
            for list_ in encoding.encode_batch(texts, allowed_special="all"):
                yield pack(i + shift for i in list_)

    write_frames(out, ids())


def sentencepiece_encode(model, source, out):
    import sentencepiece  # only here, as tiktoken

    judge = sentencepiece.SentencePieceProcessor(model_file=model)

    def ids():
        for batch in batches(read_frames(source)):
            for list_ in judge.encode([frame.decode("utf-8", "replace") for frame in batch]):
                yield pack(list_)

    write_frames(out, ids())


def model(out):
    import io

    import sentencepiece

    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "testdata", "prose.txt"), encoding="utf-8") as f:
        prose = [line for line in f.read().splitlines() if line.isascii()]
    data = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(prose), model_writer=data, model_type="bpe", vocab_size=420, hard_vocab_limit=False, byte_fallback=True,
        normalization_rule_name="identity", remove_extra_whitespaces=False, user_defined_symbols=["<think>"], num_threads=1, minloglevel=2,
    )
    with open(out, "wb") as f:
        f.write(data.getvalue())


def trained(folder, out):
    import io

    import sentencepiece

    rng = random.Random(12)
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "testdata", "prose.txt"), encoding="utf-8") as f:
        prose = f.read().splitlines()
    units = [*"abcdeett  \n\t.,!\u00e9\u4e2d\u6587\u2581\u2581'1234", "  ", "   ", "<s>", "</s>", "<unk>", "\u0301", "\U0001f600", "the ", "ing", "\u3000", "\ufffd", "UD", "<x>", "aab", " a b", "\0", "\r\n"]

    def text():
        kind = rng.randrange(4)
        if kind == 0:
            return rng.choice(prose)[: rng.randrange(1, 200)]
        if kind == 1:
            return rng.choice(("", " ", "  ", "\u2581", " \u2581 ", "\u2581\u2581", " a", " a ", "a "))
        return "".join(rng.choice(units) for _ in range(rng.randrange(40)))

    def frames():
        for i in range(32):
            symbols = rng.sample(("UD", "<x>", "\u2581\u2581", "\u2581\u2581\u2581", "aab", "\u00e9", "a", "ing", "\u4e2d\u6587", "\u2581UD", "\n"), 3)
            model = io.BytesIO()
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=iter(prose), model_writer=model, model_type="bpe", vocab_size=rng.choice((1200, 1500, 2000)), hard_vocab_limit=False,
                normalization_rule_name="identity", byte_fallback=bool(i & 1), add_dummy_prefix=bool(i & 2), remove_extra_whitespaces=bool(i & 4),
                split_digits=bool(i & 8), user_defined_symbols=symbols if i & 16 else [], bos_piece=rng.choice(("<s>", "<bos>")),
                allow_whitespace_only_pieces=rng.random() < 0.5, character_coverage=0.98, num_threads=1, minloglevel=2,
            )
            path = os.path.join(folder, f"{i}.model")
            with open(path, "wb") as f:
                f.write(model.getvalue())
            judge = sentencepiece.SentencePieceProcessor(model_file=path)
            texts = [text() for _ in range(300)]
            ids = judge.encode(texts)
            lists = [[rng.randrange(judge.get_piece_size()) for _ in range(rng.randrange(12))] for _ in range(100)]
            lists = [[x for x in list_ if x != judge.unk_id()] for list_ in [*lists, *ids[:100]]]  # it decodes to a text of its own
            yield json.dumps({"path": path, "texts": texts, "ids": ids, "bos": judge.bos_id(), "lists": lists, "decoded": judge.decode(lists)}).encode()

    write_frames(out, frames())


def golden(out):
    rng = random.Random(11)
    lines = []
    while len(lines) < 16:
        tok, texts = pipeline(rng)
        texts = [t for t in texts if 0 < len(t) < 60][:8]
        lists = [[rng.randrange(tok.get_vocab_size() + 2) for _ in range(rng.randrange(1, 10))] for _ in range(5)]
        if tok.get_vocab_size() > 260:
            continue
        line = guarded(lambda: json.dumps(answers(tok, texts, lists), ensure_ascii=False, separators=(",", ":")).encode())  # noqa: B023
        if line:
            lines.append(line)
    with open(out, "wb") as f:
        f.write(b"\n".join(lines) + b"\n")


# Small tokenizers that once went wrong: what is added to a bare model, texts, and lists of ids.
BARE = {"type": "BPE", "dropout": None, "unk_token": "?", "continuing_subword_prefix": None, "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False}
LETTER_IDS = {c: i for i, c in enumerate("?abcxyz .\n\u0120\u00b2\u00e9\u0301")}


def template(single, pair, **words):
    def pieces(text):
        return [{"Sequence": {"id": w[1:], "type_id": 0}} if w[0] == "$" else {"SpecialToken": {"id": w, "type_id": 0}} for w in text.split()]

    special = {name: {"id": name, "ids": ids, "tokens": ["t"] * len(ids)} for name, ids in words.items()}
    return {"type": "TemplateProcessing", "single": pieces(single), "pair": pieces(pair), "special_tokens": special}


def regressions(out):
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    bert = {"type": "BertProcessing", "sep": ["x", 4], "cls": ["y", 5]}
    roberta = {"type": "RobertaProcessing", "sep": ["x", 4], "cls": ["y", 5], "trim_offsets": True, "add_prefix_space": False}
    one = template("T $A", "$B T $A", T=[6, 7])

    def sequence(kind, *parts):
        return {"type": "Sequence", kind: list(parts)}

    def regex(pattern, content):
        return {"type": "Replace", "pattern": {"Regex": pattern}, "content": content}

    def added(content, **how):
        return {"id": 0, "content": content, **{k: how.get(k, False) for k in ("single_word", "lstrip", "rstrip", "normalized", "special")}}

    cases = [
        {"post_processor": sequence("processors", one, bert)},
        {"post_processor": sequence("processors", one, roberta, byte_level)},
        {"post_processor": sequence("processors", bert, byte_level, one, sequence("processors", one))},
        {"post_processor": sequence("processors", bert, byte_level)},
        {"post_processor": sequence("processors", byte_level, byte_level), "added_tokens": [added("a", rstrip=True, lstrip=True)]},
        {"decoder": sequence("decoders")},
        {"decoder": sequence("decoders", sequence("decoders"))},
        {"decoder": sequence("decoders", regex("x*", "c"), {"type": "Fuse"})},
        {"normalizer": regex("x*|$", "b")},
        {"normalizer": regex(r"\w+|[^\w\s]+", "ab")},
        {"pre_tokenizer": {"type": "Split", "pattern": {"Regex": r"[\w]+|\w"}, "behavior": "Isolated", "invert": False}, "decoder": {"type": "Fuse"}},
        {"normalizer": {"type": "Prepend", "prepend": "\u00e9"}, "pre_tokenizer": byte_level, "decoder": byte_level, "added_tokens": [added("\u0120", normalized=True)]},
        {"model": {"vocab": {**LETTER_IDS, "ab": 15, "abc": 16}, "merges": ["a b", "ab c"]}, "added_tokens": [added("yy"), added("zz", special=True), added("abc")]},
        {"model": {"vocab": {**LETTER_IDS, "ab": 17, "abc": 16}, "merges": ["a b", "ab c"]}, "added_tokens": [added("yy"), added("zz"), added("abc", single_word=True)]},
        {"model": {"merges": ["a xb"], "vocab": {**LETTER_IDS, "xb": 14, "ab": 15}, **{k: v for k, v in BARE.items() if k != "type"}, "continuing_subword_prefix": "x"}},
    ]
    texts = ["", "ab", " ab.c\u00b2 x\u00e9", "\n\na  b a\n\n yyzzabc abc", "x", ".\u00b2\u00b2a", "e\u0301\u0301 ab"]
    lists = [[1, 2, 7, 3], [4, 4, 1], [14, 15, 16, 17, 18]]
    with open(out, "wb") as f:
        for case in cases:
            model = {"type": "BPE"}  # the keys of a case come first: their order counts
            model.update(case.get("model", {}))
            for k, v in {**BARE, "vocab": LETTER_IDS, "merges": []}.items():
                model.setdefault(k, v)
            raw = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None, "pre_tokenizer": None, "post_processor": None, "decoder": None, **case, "model": model}
            source = json.dumps(raw)
            answer = {**answers(Tokenizer.from_str(source), texts, lists, source), "tokenizer": raw}
            f.write(json.dumps(answer, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")


def forms(out):
    rng = random.Random(8)
    points = [chr(c) for c in range(0x20000) if not 0xD800 <= c <= 0xDFFF]
    marks = [c for c in points if unicodedata.combining(c)]
    composed = [c for c in points if unicodedata.decomposition(c)]
    hangul = [chr(c) for c in (*range(0x1100, 0x1200), *range(0xAC00, 0xAC40))]
    all_forms = [normalizers.NFC(), normalizers.NFD(), normalizers.NFKC(), normalizers.NFKD(), normalizers.Lowercase()]

    def texts():
        yield from points
        for i in range(30000):
            n = 200 if i % 500 == 0 else rng.randrange(14)
            yield "".join(rng.choice(rng.choice((marks, marks, composed, hangul, "aeiouAEIOU .1", points))) for _ in range(n))

    write_frames(out, (json.dumps([t] + [f.normalize_str(t) for f in all_forms]).encode() for t in texts()))


if __name__ == "__main__":
    {"corpus": corpus, "encode": encode, "offsets": offsets, "ids": id_lists, "decode": decode, "tiktoken": tiktoken_encode, "sentencepiece": sentencepiece_encode, "trained": trained, "model": model, "variants": variants, "pipelines": pipelines, "golden": golden, "regressions": regressions, "forms": forms}[sys.argv[1]](*sys.argv[2:])
