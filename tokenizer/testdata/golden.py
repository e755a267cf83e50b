"""Makes the small tokenizers of this folder and the vectors that judge package tokenizer without Python.

    python tokenizer/testdata/golden.py        (with the packages of requirements-test.txt)

Each NAME.json is a tokenizer trained by Hugging Face tokenizers on internal/parity/testdata/prose.txt and this file;
NAME.vectors.jsonl has a line for each text, which is written as base64 since it need not be valid UTF-8: the ids that
the reference gives without and with special tokens added and with special tokens taken for text, and what it decodes
the first ids to, all tokens and without the special ones.
"""

import base64
import json
import pathlib
import random

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

HERE = pathlib.Path(__file__).parent
PROSE = HERE.parent / "internal" / "parity" / "testdata" / "prose.txt"


def trained(pre, size, special, alphabet=()):
    tok = Tokenizer(models.BPE())
    tok.pre_tokenizer = pre
    tok.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=special, initial_alphabet=list(alphabet), show_progress=False)
    text = [*PROSE.read_text(encoding="utf-8").splitlines(keepends=True), *pathlib.Path(__file__).read_text(encoding="utf-8").splitlines(keepends=True)]
    tok.train_from_iterator(text, trainer)
    return tok


def smollm():
    """As SmolLM2: digits one by one, no complete alphabet, control tokens."""
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False)
    pre = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), byte_level])
    return trained(pre, 900, ["<|endoftext|>", "<|im_start|>", "<|im_end|>"])


def gpt2():
    """As GPT-2: the pattern alone, all bytes."""
    tok = trained(pre_tokenizers.ByteLevel(add_prefix_space=False), 1100, [], pre_tokenizers.ByteLevel.alphabet())
    tok.add_special_tokens(["<|endoftext|>"])
    tok.post_processor = processors.ByteLevel(trim_offsets=False)
    return tok


def options():
    """Whatever else there is: prefix space, digit groups, unknown bytes, ignored merges, every kind of added token."""
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tok = trained(pre_tokenizers.Sequence([pre_tokenizers.Digits(), byte_level]), 700, ["<unk>", "<s>", "</s>"])
    state = json.loads(tok.to_str())
    state["model"].update(unk_token="<unk>", fuse_unk=True, ignore_merges=True)
    tok = Tokenizer.from_str(json.dumps(state))
    tok.add_tokens(
        [
            AddedToken("<mask>", lstrip=True, special=True),
            AddedToken("<tool>", rstrip=True, normalized=False),
            AddedToken("word", single_word=True),
            AddedToken("<s><s>", normalized=False, special=True),
            AddedToken("é", normalized=True),
        ]
    )
    template = processors.TemplateProcessing(single="<s> $A </s>", pair="<s> $A </s> $B </s>", special_tokens=[("<s>", 1), ("</s>", 2)])
    tok.post_processor = processors.Sequence([processors.ByteLevel(), template])
    return tok


def texts(special):
    rng = random.Random(7)
    prose = [line.rstrip("\n") for line in PROSE.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    yield b""
    for p in prose:
        yield p.encode()
    yield "\n".join(prose[:6]).encode()
    yield PROSE.read_bytes()[:3000]
    code = pathlib.Path(__file__).read_bytes()
    yield code[:1500]
    for unit in ("a", " ", "\n", "中", "1", "é", "ab ", "😀", "'s"):
        for n in (1, 2, 33, 49, 200):
            yield (unit * n).encode()
    for _ in range(40):
        out = []
        for _ in range(rng.randrange(1, 12)):
            token = rng.choice(special)
            cut = rng.randrange(len(token) + 1)
            out.append(rng.choice((token, token[:cut], token[cut:], " ", "\n ", " word", "words", "12", "é", "<", "user\n")))
        yield "".join(out).encode()
    for alphabet in (" '\nstrevlmdSTREVLMD", "  \t\n\r1a!", " \u00a0\u2003\u3000\u0085\x0bx", "é１Ⅷ² ٣!", "\u0301a \u200d!"):
        for _ in range(6):
            yield "".join(rng.choice(alphabet) for _ in range(rng.randrange(1, 40))).encode()
    # Where the Unicode versions of the reference's engines and of Go differ.
    yield "".join(f"a{chr(c)}1 {chr(c)}{chr(c)}" for c in (0x11DE0, 0x16FF4, 0x1C89, 0x1C8A, 0xA7CB, 0x10D4A, 0x105C0, 0x2FFC, 0x323B0, 0x16EA0)).encode()
    for _ in range(40):
        yield rng.randbytes(rng.randrange(1, 60))
    for _ in range(20):
        yield bytes(rng.choice(b"\xf0\x9f\x98\x80\xe4\xb8\xad\xc3\xa9\xed\xa0ab \n\x80\xff\xc0\xf4\x90") for _ in range(rng.randrange(1, 40)))


def main():
    for make in (smollm, gpt2, options):
        name = make.__name__
        tok = make()
        (HERE / f"{name}.json").write_text(tok.to_str(pretty=False) + "\n", encoding="utf-8")
        as_text = Tokenizer.from_str(tok.to_str())
        as_text.encode_special_tokens = True
        special = [t.content for t in tok.get_added_tokens_decoder().values()]
        with open(HERE / f"{name}.vectors.jsonl", "w", encoding="utf-8") as f:
            for raw in texts(special):
                text = raw.decode("utf-8", "replace")
                ids = tok.encode(text, add_special_tokens=False).ids
                line = {
                    "text": base64.b64encode(raw).decode(),
                    "ids": ids,
                    "with_special": tok.encode(text).ids,
                    "as_text": as_text.encode(text, add_special_tokens=False).ids,
                    "decoded": tok.decode(ids, skip_special_tokens=False),
                    "skipped": tok.decode(ids, skip_special_tokens=True),
                }
                for same in ("with_special", "as_text"):
                    if line[same] == ids:
                        del line[same]
                if line["skipped"] == line["decoded"]:
                    del line["skipped"]
                f.write(json.dumps(line, ensure_ascii=True, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
