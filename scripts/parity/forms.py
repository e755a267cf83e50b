"""Converts a GGUF into every form and says what each one lost: perplexity, KL divergence and agreement of the largest logit
against the same weights in float32, over the same tokens as llama.cpp's own run of the file. See README.md.

    forms.py GGUF --text FILE --work DIR [--llama-perplexity PROGRAM] [--calibration FILE] [--out forms.md]

What was measured is a line of DIR/results.jsonl at once, and a second run goes on from there. Scored is the second half of
each window, as llama-perplexity does, which begins each with the beginning-of-text token if the model has one (--bos).
"""

import argparse
import json
import os
import subprocess
import sys

import numpy as np
from folder import Folder

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "peers"))
import quality

REFERENCE = "none"
FORMS = {
    "auto": [],
    "int8": ["--quantize", "int8"],
    "row8": ["--quantize", "row8"],
    "int4 --method rtn": ["--quantize", "int4", "--method", "rtn"],
    "int4": ["--quantize", "int4"],
    "int4 --calibration": ["--quantize", "int4", "--calibration"],
    "int4 --asymmetric --calibration": ["--quantize", "int4", "--asymmetric", "--calibration"],
}


class Work:
    """The folder with what was made and measured."""

    def __init__(self, args):
        self.args = args
        os.makedirs(args.work, exist_ok=True)
        self.results = {}
        if os.path.exists(self.path("results.jsonl")):
            with open(self.path("results.jsonl"), encoding="utf-8") as f:
                self.results = {row["form"]: row for row in map(json.loads, f)}

    def path(self, name):
        return os.path.join(self.args.work, name)

    def note(self, form, **figures):
        row = self.results[form] = {"form": form, **figures}
        with open(self.path("results.jsonl"), "a", encoding="utf-8") as f:
            print(json.dumps(row), file=f)
        print(json.dumps(row), file=sys.stderr, flush=True)

    def convert(self, form, options):
        """Returns the folder, or why there is none."""
        out = self.path(form.replace("--", "").replace(" ", "-"))
        if os.path.exists(out):
            return out, None
        if options[-1:] == ["--calibration"]:
            options = [*options, self.args.calibration]
        command = [self.args.sluice, "convert", self.args.gguf, "--out", out, *options]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return (out, None) if done.returncode == 0 else (None, done.stderr.strip().splitlines()[-1])

    def scored(self, folder):
        """Yields the log-probabilities of each window's second half."""
        tokens = self.tokens()
        length = tokens.shape[1]
        model = Folder(folder, 1, length, self.args.threads)
        for window in tokens:
            yield quality.log_softmax(model.step([window], [length], wanted=np.arange(length // 2, length - 1)))

    def tokens(self):
        """llama.cpp's tokens, as they are predicted: its file holds them without the beginning of each window."""
        tokens = next(quality.llama_file(self.path("llama.logits"))).copy()
        if self.args.bos is not None:
            tokens[:, 0] = self.args.bos
        return tokens

    def reference(self):
        """The float32 log-probabilities [windows, scored, vocabulary], which need not fit into memory."""
        path = self.path("reference.npy")
        if not os.path.exists(path):
            folder, reason = self.convert(REFERENCE, ["--quantize", "none"])
            if reason:
                sys.exit(reason)
            rows, whole = self.scored(folder), None
            for i, row in enumerate(rows):
                if whole is None:
                    shape = (len(self.tokens()), *row.shape)
                    whole = np.lib.format.open_memmap(path + ".part", "w+", np.float32, shape)
                whole[i] = row
            whole.flush()
            os.replace(path + ".part", path)
        return np.load(path, mmap_mode="r")


def measure(args):
    work = Work(args)
    logits = work.path("llama.logits")
    if not os.path.exists(logits):
        command = [args.llama_perplexity, "-m", args.gguf, "-f", args.text, "-c", str(args.length)]
        command += ["--chunks", str(args.windows), "-t", str(args.threads), "--kl-divergence-base", logits + ".part"]
        with open(work.path("llama.log"), "w", encoding="utf-8") as log:
            subprocess.run(command, stdout=log, stderr=log, check=True)
        os.replace(logits + ".part", logits)
    reference, tokens = work.reference(), work.tokens()
    if REFERENCE not in work.results:
        work.note(REFERENCE, **quality.compare(iter(reference), tokens, reference))
    if "llama.cpp" not in work.results:
        rows = quality.llama_file(logits)
        next(rows)
        work.note("llama.cpp", bytes=os.path.getsize(args.gguf), **quality.compare(rows, tokens, reference))
    for form, options in FORMS.items():
        if form in work.results or options[-1:] == ["--calibration"] and not args.calibration:
            continue
        folder, reason = work.convert(form, options)
        if reason:
            work.note(form, refused=reason)
            continue
        size = sum(e.stat().st_size for e in os.scandir(folder))
        work.note(form, bytes=size, **quality.compare(work.scored(folder), tokens, reference))
    return work.results


def table(results):
    lines = ["| form | MB | perplexity | KL | same best token |", "|---|---|---|---|---|"]
    base = results[REFERENCE]["perplexity"]
    for form, r in results.items():
        name = "llama.cpp, the GGUF" if form == "llama.cpp" else f"`{form}`"
        if "refused" in r:
            lines.append(f"| {name} | refused: {r['refused']} | | | |")
            continue
        size = f"{r['bytes'] / 1e6:.1f}" if "bytes" in r else ""
        if form == REFERENCE:
            lines.append(f"| {name} | {size} | {base:.3f} | | |")
            continue
        change = f"{r['perplexity']:.3f} ({r['perplexity'] / base - 1:+.1%})"
        lines.append(f"| {name} | {size} | {change} | {r['kl']:.4f} | {r['same_top']:.1f} % |")
    return "\n".join(lines) + f"\n\n{results[REFERENCE]['positions']} predicted tokens.\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("gguf")
    parser.add_argument("--text", required=True, help="text that the model has not seen")
    parser.add_argument("--work", required=True, help="folder for what is made and measured; kept")
    parser.add_argument("--sluice", default="bin/sluice", help="the program")
    parser.add_argument("--llama-perplexity", default="llama-perplexity", help="llama.cpp's program")
    parser.add_argument("--calibration", help="file of texts for GPTQ, besides the built-in ones")
    parser.add_argument("--bos", type=int, help="token that begins each window; default none")
    parser.add_argument("--windows", type=int, default=8)
    parser.add_argument("--length", type=int, default=512, help="tokens of a window")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", help="Markdown file for the table; default: the terminal")
    args = parser.parse_args()
    text = table(measure(args))
    if args.out:
        with open(args.out, "w", encoding="utf-8") as f:
            f.write(text)
    else:
        print(text, end="")


if __name__ == "__main__":
    main()
