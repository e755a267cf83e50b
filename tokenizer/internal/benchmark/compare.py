"""Package tokenizer, Hugging Face tokenizers, tiktoken and bpe-openai on the same texts in the same minutes, one thread each.

    python corpus.py TEXTS ...                                   # once; its head says what of
    python compare.py speed TEXTS NAME=TOKENIZER.json...         # MB/s by text
    python compare.py runs NAME=TOKENIZER.json...                # texts that are made to be slow
    python compare.py load NAME=TOKENIZER.json...                # time and memory of loading
    python compare.py table RUN.json...                          # one table of what several runs wrote with --json
    python compare.py gpt2 ENCODER.json VOCAB.bpe OUT.json       # GPT-2's files as a tokenizer.json
    python compare.py cl100k RANKS.tiktoken OUT.json             # the ranks of cl100k_base as one (needs transformers)

Each program runs in processes of its own, a round of one is followed by a round of the others, and times are those of
the processor, not of the wall, so that what else the machine does counts little. A figure is the median of the rounds,
with their range. --markdown writes the tables, --json all measurements.

speed: chat.txt is encoded line by line, the others in documents of whole lines of 8 KiB. Sluice's process is fresh in
every round and encodes the text twice, with an empty cache of words ("cold") and with what the first pass left in it
("warm"); the others' processes stay, so that what caches they have are warm from the second round on. tiktoken takes
part where a tokenizer is one pattern and its ids are ranks, bpe-openai (--bpe-openai, needs cargo) where the
vocabulary is its own, under the names cl100k and o200k or gpt4o.
"""

import argparse
import contextlib
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
HERE = pathlib.Path(__file__).resolve().parent
GPT2 = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
CL100K = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
RUST = {"cl100k": "cl100k", "o200k": "o200k", "gpt4o": "o200k"}
OTHERS = {"hf": "Hugging Face", "tiktoken": "tiktoken", "rust": "bpe-openai"}


def tiktoken_of(path):
    """A tiktoken encoding with the vocabulary of a byte-level tokenizer.json, or None if that is not what it is."""
    import tiktoken

    with open(path, encoding="utf-8") as f:
        d = json.load(f)
    steps = d["pre_tokenizer"] or {"type": "none"}
    steps = steps.get("pretokenizers", [steps])
    if [s["type"] for s in steps] == ["Split", "ByteLevel"]:
        pattern = steps[0]["pattern"]["Regex"]
    elif [s["type"] for s in steps] == ["ByteLevel"]:
        pattern = GPT2
    else:
        return None
    alphabet, other = {}, 0x100
    for b in range(256):
        if 0x21 <= b <= 0x7E or 0xA1 <= b <= 0xAC or 0xAE <= b:
            alphabet[chr(b)] = b
        else:
            alphabet[chr(other)] = b
            other += 1
    ranks = {bytes(alphabet[c] for c in t): rank for t, rank in d["model"]["vocab"].items() if all(c in alphabet for c in t)}
    return tiktoken.Encoding("t", pat_str=pattern, mergeable_ranks=ranks, special_tokens={})


def documents(path, size):
    """The documents of a text, as main.go cuts them."""
    out, start, end = [], 0, 0
    data = pathlib.Path(path).read_bytes()
    while end < len(data):
        end = data.find(b"\n", end) + 1 or len(data)
        if end - start >= size:
            out.append(data[start:end].decode())
            start = end
    if start < end:
        out.append(data[start:end].decode())
    return out


def status(field):
    """A field of this process's status, in KiB."""
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1])
    return 0


def worker(judge, tokenizer):
    """Answers each line "path size" on standard input, or "load" once, with a line of JSON."""
    if judge == "hf":
        from tokenizers import Tokenizer

        before, start = status("VmRSS"), time.perf_counter()
        t = Tokenizer.from_file(tokenizer)
        seconds = time.perf_counter() - start
        load = {"seconds": [seconds], "peak_kb": status("VmHWM"), "before_kb": before}

        def count(text):
            return len(t.encode(text, add_special_tokens=False).ids)
    else:
        t, load = tiktoken_of(tokenizer), {}

        def count(text):
            return len(t.encode_ordinary(text))

    print(json.dumps({"ready": t is not None, **load}), flush=True)
    for line in sys.stdin:
        path, size = line.rsplit(" ", 1)
        texts = documents(path, int(size))
        start = time.process_time()
        tokens = sum(map(count, texts))
        print(json.dumps({"tokens": tokens, "seconds": [time.process_time() - start]}), flush=True)


class Worker:
    """A process of worker."""

    def __init__(self, judge, tokenizer):
        self.process = subprocess.Popen(
            [sys.executable, __file__, "worker", judge, tokenizer], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.load = json.loads(self.process.stdout.readline())

    def ask(self, path, size):
        self.process.stdin.write(f"{path} {size}\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def figures(values):
    """Median and range, of speeds or times."""
    values = sorted(values)
    return {"median": statistics.median(values), "low": values[0], "high": values[-1], "rounds": len(values)}


def written(f, digits=1):
    return f"{f['median']:.{digits}f} ({f['low']:.{digits}f}–{f['high']:.{digits}f})"


def call(*args):
    out = subprocess.run(list(map(str, args)), check=True, capture_output=True, text=True).stdout
    return [json.loads(line) for line in out.splitlines()]


def speed(a, ours, rust):
    """One row for each tokenizer and text."""
    table = []
    for name, path in a.tokenizers:
        with contextlib.ExitStack() as stack:
            workers = {}
            for judge in ("hf", "tiktoken"):
                w = Worker(judge, path)
                stack.callback(w.close)
                if w.load["ready"] and not (a.only and judge not in a.only):
                    workers[judge] = w
            for text in sorted(a.texts.glob("*.txt")):
                size = 0 if text.stem.startswith("chat") else 8192
                bytes_, speeds, tokens = text.stat().st_size, {}, {}

                def note(kind, seconds, n):
                    speeds.setdefault(kind, []).append(bytes_ / 1e6 / seconds)
                    tokens[kind] = n

                for _ in range(a.rounds):
                    (r,) = call(ours, "text", path, text, size, 2)
                    note("cold", r["seconds"][0], r["tokens"])
                    note("warm", r["seconds"][1], r["tokens"])
                    for judge, w in workers.items():
                        answer = w.ask(text, size)
                        note(judge, answer["seconds"][0], answer["tokens"])
                    if rust and name in RUST:
                        (r,) = call(rust, RUST[name], text, size, 1)
                        note("rust", r["seconds"][0], r["tokens"])
                table.append({"tokenizer": name, "text": text.stem, "bytes": bytes_, "tokens": tokens, **{k: figures(v) for k, v in speeds.items()}})
                print(json.dumps(table[-1]), flush=True)
    return table


def speed_markdown(table):
    yield "| tokenizer | text | Sluice cold | Sluice warm | Hugging Face | tiktoken | bpe-openai | to Hugging Face | to the best |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for row in table:
        others = [row[k]["median"] for k in OTHERS if k in row]
        cells = [written(row[k]) if k in row else "" for k in ("cold", "warm", *OTHERS)]
        for peer in ([row["hf"]["median"]] if "hf" in row else []), others:
            cells.append(", ".join(f"{row[k]['median'] / max(peer):.1f}" for k in ("cold", "warm")) if peer else "")
        yield "| " + " | ".join([row["tokenizer"], row["text"], *cells]) + " |"


def runs(a, ours):
    """Sluice's speed on texts that are made to be slow."""
    table = []
    for name, path in a.tokenizers:
        seen = {}
        for _ in range(a.rounds):
            for r in call(ours, "runs", path, 1 << 20):
                seen.setdefault(r["name"], []).extend(r["bytes"] / 1e6 / s for s in r["seconds"])
        table.append({"tokenizer": name, **{k: figures(v) for k, v in seen.items()}})
        print(json.dumps(table[-1]), flush=True)
    return table


def runs_markdown(table):
    yield "| text | " + " | ".join(row["tokenizer"] for row in table) + " |"
    yield "|---" * (len(table) + 1) + "|"
    for text in table[0]:
        if text != "tokenizer":
            yield f"| {text} | " + " | ".join(f"{row[text]['median']:.0f} ({row[text]['low']:.0f}–{row[text]['high']:.0f})" for row in table) + " |"


def load(a, ours):
    """Time and peak memory of loading, each in a fresh process."""
    table = []
    for name, path in a.tokenizers:
        seen = {"sluice": [], "hf": []}
        for _ in range(a.rounds):
            seen["sluice"].extend(call(ours, "load", path))
            w = Worker("hf", path)
            w.close()
            seen["hf"].append(w.load)
        row = {"tokenizer": name, "bytes": os.path.getsize(path)}
        for judge, results in seen.items():
            row[judge] = {
                "seconds": figures([r["seconds"][0] for r in results]),
                "peak_mb": figures([r["peak_kb"] / 1024 for r in results]),
                "added_mb": figures([(r["peak_kb"] - r.get("before_kb", 0)) / 1024 for r in results]),
            }
        table.append(row)
        print(json.dumps(row), flush=True)
    return table


def load_markdown(table):
    yield "| tokenizer | file, MB | Sluice, s | Hugging Face, s | ratio | Sluice, peak MB | Hugging Face, peak MB | of it the load |"
    yield "|---|---|---|---|---|---|---|---|"
    for row in table:
        s, h = row["sluice"], row["hf"]
        cells = [row["tokenizer"], f"{row['bytes'] / 1e6:.1f}", written(s["seconds"], 3), written(h["seconds"], 3)]
        cells.append(f"{h['seconds']['median'] / s['seconds']['median']:.1f}")
        cells += [written(s["peak_mb"], 0), written(h["peak_mb"], 0), written(h["added_mb"], 0)]
        yield "| " + " | ".join(cells) + " |"


def markdown(table):
    """The table of a run, of whichever kind."""
    if "text" in table[0]:
        return speed_markdown(table)
    return load_markdown(table) if "sluice" in table[0] else runs_markdown(table)


def gpt2(encoder, merges, out):
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    t = Tokenizer(models.BPE.from_file(encoder, merges))
    t.pre_tokenizer, t.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    t.save(out)


def cl100k(ranks, out):
    from transformers.convert_slow_tokenizer import TikTokenConverter

    TikTokenConverter(vocab_file=ranks, pattern=CL100K).converted().save(out)


def report(a, table):
    if a.json:
        a.json.write_text(json.dumps(table, indent=1))
    lines = "\n".join(markdown(table))
    if a.markdown:
        a.markdown.write_text(lines + "\n")
    print(lines)


def main():
    tools = {"worker": worker, "gpt2": gpt2, "cl100k": cl100k}
    if len(sys.argv) > 1 and sys.argv[1] in tools:
        tools[sys.argv[1]](*sys.argv[2:])
        return
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("what", choices=["speed", "runs", "load", "table"])
    p.add_argument("names", nargs="+", metavar="[TEXTS] NAME=TOKENIZER.json")
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--only", nargs="+", choices=["none", "hf", "tiktoken"], help="which of the others take part")
    p.add_argument("--bpe-openai", action="store_true")
    p.add_argument("--markdown", type=pathlib.Path)
    p.add_argument("--json", type=pathlib.Path)
    a = p.parse_args()
    if a.what == "table":
        report(a, [row for name in a.names for row in json.loads(pathlib.Path(name).read_text())])
        return
    a.texts = pathlib.Path(a.names.pop(0)) if a.what == "speed" else None
    a.tokenizers = [n.split("=", 1) for n in a.names]
    with tempfile.TemporaryDirectory() as folder:
        ours, rust = os.path.join(folder, "benchmark"), None
        subprocess.run(["go", "build", "-o", ours, "."], check=True, cwd=HERE)
        if a.bpe_openai:
            subprocess.run(["cargo", "build", "--quiet", "--release", "--locked"], check=True, cwd=HERE / "bpe_openai")
            rust = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", HERE / "bpe_openai" / "target")) / "release" / "bpe_openai_benchmark"
        table = {"speed": lambda: speed(a, ours, rust), "runs": lambda: runs(a, ours), "load": lambda: load(a, ours)}[a.what]()
    report(a, table)


main()
