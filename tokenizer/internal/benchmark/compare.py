"""Package tokenizer, Hugging Face tokenizers and tiktoken on the same text in the same minutes, one thread each.

    python compare.py TOKENIZER.JSON TEXT.txt... [--rounds 5] [--tiktoken]

Texts are encoded line by line. A round of one is followed by a round of the others; the table gives the median MB/s.
With --tiktoken the tokenizer's vocabulary and pattern (a Split of a byte-level tokenizer) are given to tiktoken.
"""

import argparse
import json
import os
import pathlib
import resource
import statistics
import subprocess
import tempfile
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
HERE = pathlib.Path(__file__).resolve().parent


def tiktoken_of(path):
    """A tiktoken encoding with the vocabulary of a byte-level tokenizer.json whose ids are ranks."""
    import tiktoken

    with open(path, encoding="utf-8") as f:
        d = json.load(f)
    alphabet, other = {}, 0x100
    for b in range(256):
        if 0x21 <= b <= 0x7E or 0xA1 <= b <= 0xAC or 0xAE <= b:
            alphabet[chr(b)] = b
        else:
            alphabet[chr(other)] = b
            other += 1
    ranks = {bytes(alphabet[c] for c in t): rank for t, rank in d["model"]["vocab"].items() if all(c in alphabet for c in t)}
    steps = d["pre_tokenizer"].get("pretokenizers", [d["pre_tokenizer"]])
    pattern = next(s["pattern"]["Regex"] for s in steps if s["type"] == "Split")
    return tiktoken.Encoding("t", pat_str=pattern, mergeable_ranks=ranks, special_tokens={})


def main():
    p = argparse.ArgumentParser()
    p.add_argument("tokenizer")
    p.add_argument("texts", nargs="+")
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--tiktoken", action="store_true")
    a = p.parse_args()
    from tokenizers import Tokenizer

    def memory():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10

    before, start = memory(), time.perf_counter()
    hf = Tokenizer.from_file(a.tokenizer)
    print(f"load: Hugging Face {time.perf_counter() - start:.3f} s, +{memory() - before} MB")
    judges = {"Hugging Face": lambda line: len(hf.encode(line, add_special_tokens=False).ids)}
    if a.tiktoken:
        tt = tiktoken_of(a.tokenizer)
        judges["tiktoken"] = lambda line: len(tt.encode_ordinary(line))
    seconds, tokens, size = {}, {}, {}
    with tempfile.TemporaryDirectory() as folder:
        ours = os.path.join(folder, "benchmark")
        subprocess.run(["go", "build", "-o", ours, "."], check=True, cwd=HERE)
        for _ in range(a.rounds):
            out = subprocess.run([ours, a.tokenizer, "2", *a.texts], check=True, capture_output=True, text=True).stdout
            for r in map(json.loads, out.splitlines()):
                for kind, s in zip(("cold", "warm"), r["seconds"]):
                    seconds.setdefault((r["text"], kind), []).append(s)
                if r["bytes"]:
                    size[r["text"]] = r["bytes"]
                    tokens.setdefault(r["text"], {})["Sluice"] = r["tokens"]
            for path in a.texts:
                name = pathlib.Path(path).stem
                lines = pathlib.Path(path).read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
                for judge, count in judges.items():
                    start = time.perf_counter()
                    n = sum(map(count, lines))
                    seconds.setdefault((name, judge), []).append(time.perf_counter() - start)
                    tokens[name][judge] = n
    print(f"load: Sluice {statistics.median(seconds[('load', 'cold')]):.3f} s (median of {a.rounds})")
    for name in size:
        row = [f"{kind} {size[name] / 1e6 / statistics.median(seconds[(name, kind)]):.1f}" for kind in ("cold", "warm", *judges)]
        print(f"{name}: {size[name] / 1e6:.1f} MB, MB/s:", ", ".join(row), tokens[name])


main()
