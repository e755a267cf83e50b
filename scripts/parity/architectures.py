"""Converts small random models of every architecture, from safetensors and from GGUF, and compares them with transformers: logits
at every position, and greedy tokens that the real server generates. Writes a table. See README.md.

`--llama-cpp` is a checkout of llama.cpp, whose converter makes the GGUF files; without it only safetensors are read.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import urllib.request

os.environ.setdefault("ORT_GQA_DISABLE_FLASH_ATTENTION", "1")

import cases
import numpy as np
import tiny
import torch
from folder import Folder

# The most difference of logits: of none absolute, of the others relative to the largest logit. Random weights, whose outputs
# are all noise, are the worst case for rounding; of int4 nothing is left of them but that it runs.
PRECISIONS = {"none": 1e-3, "fp16": 0.02, "int8": 0.5, "int4": np.inf}
GREEDY, PROMPTS = 64, [40, 3, 51, 1]


def vocabulary(size):
    """A byte-level vocabulary: two special tokens and letters."""
    return ["<s>", "</s>"] + [chr(0x21 + i) for i in range(size - 2)]


def write_tokenizer(path, size):
    tokens = vocabulary(size)
    special = [{"id": i, "content": t, "special": True, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
               for i, t in enumerate(tokens[:2])]
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    tokenizer = {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": special, "normalizer": None,
        "pre_tokenizer": byte_level, "post_processor": None, "decoder": byte_level,
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                  "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False,
                  "vocab": {t: i for i, t in enumerate(tokens[2:], 2)}, "merges": []},
    }
    with open(os.path.join(path, "tokenizer.json"), "w", encoding="utf-8") as f:
        json.dump(tokenizer, f)


class Converter:
    """llama.cpp's own conversion to GGUF, with the vocabulary above in place of the model's."""

    def __init__(self, checkout):
        sys.path[:0] = [checkout, os.path.join(checkout, "gguf-py")]
        import conversion
        import gguf

        self.conversion, self.gguf = conversion, gguf

    def convert(self, source, out, size):
        from pathlib import Path

        base = self.conversion.ModelBase
        source = Path(source)
        parameters = base.load_hparams(source, False)
        kind = self.conversion.get_model_class(parameters["architectures"][0])
        gguf = self.gguf

        def set_vocab(model):
            tokens = vocabulary(size)
            model.gguf_writer.add_tokenizer_model("gpt2")
            model.gguf_writer.add_tokenizer_pre("gpt-2")
            model.gguf_writer.add_token_list(tokens)
            model.gguf_writer.add_token_types([3, 3] + [1] * (size - 2))
            model.gguf_writer.add_token_merges([])
            model.gguf_writer.add_eos_token_id(1)

        patched = type(kind.__name__, (kind,), {"set_vocab": set_vocab, "model_arch": kind.model_arch})
        with torch.inference_mode():
            model = patched(source, gguf.LlamaFileType.ALL_F32, Path(out))
            with open(source / "config.json", encoding="utf-8") as f:
                model.hparams = json.load(f) | model.hparams  # what transformers 5 reads and forgets
            model.write()


class Server:
    """`sluice serve` with some folders, asked over HTTP."""

    def __init__(self, sluice, folders):
        models = [a for name, path in folders.items() for a in ("--model", f"{name}={path}")]
        self.process = subprocess.Popen(
            [sluice, "serve", "--grpc-addr", "127.0.0.1:0", "--http-addr", "127.0.0.1:0", "--slots", "4", *models],
            stderr=subprocess.PIPE, text=True,
        )
        lines = []
        for line in self.process.stderr:
            lines.append(line)
            if match := re.search(r"msg=serving .*http_addr=(\S+)", line):
                self.address = match[1]
                break
        else:
            raise RuntimeError("".join(lines[-5:]))
        threading.Thread(target=self.process.stderr.read, daemon=True).start()

    def generate(self, model, prompts, count):
        """Greedy tokens after each of some prompts, which are asked for at once."""
        out = [None] * len(prompts)

        def ask(i):
            body = {
                "model": model, "tokens": {"ids": prompts[i]}, "output": {"tokenIds": True},
                "sampling": {"temperature": 0, "maxTokens": count, "ignoreEos": True},
            }
            request = urllib.request.Request(
                f"http://{self.address}/sluice.v1.InferenceService/Generate", json.dumps(body).encode(),
                {"Content-Type": "application/json"},
            )
            with urllib.request.urlopen(request, timeout=120) as response:
                out[i] = json.load(response)["outputs"][0]["tokenIds"]

        threads = [threading.Thread(target=ask, args=(i,)) for i in range(len(prompts))]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        return out

    def close(self):
        self.process.terminate()
        self.process.wait()


@torch.inference_mode()
def greedy(model, prompt, count):
    tokens = []
    for _ in range(count):
        tokens.append(int(model(torch.tensor([prompt + tokens])).logits[0, -1].argmax()))
    return tokens


def logits(folder, prompt, sizes):
    """Logits at every position of a prompt that is run in parts of these sizes."""
    rows, done = [], 0
    for size in sizes:
        part = prompt[done : done + size]
        done += len(part)
        rows.append(folder.step([part], [done]))
    return np.concatenate(rows)


def randomise(model, seed):
    """Weights of about the size that training leaves, so that layers matter."""
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            noise = torch.randn(p.shape, generator=random)
            if p.dim() > 1:
                p.copy_(noise * 1.2 / p.shape[-1] ** 0.5 if "embed" not in name and "wte" not in name else noise * 0.15)
            else:
                p.copy_(noise * 0.1 + (1.0 if "norm" in name.lower() or ".ln_" in name else 0.0) * (name.endswith("weight")))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sluice", default="bin/sluice")
    parser.add_argument("--llama-cpp", help="checkout of llama.cpp")
    parser.add_argument("--out", help="Markdown file for the table; default: the terminal")
    parser.add_argument("--only", nargs="*", default=list(cases.CASES), help="architectures")
    args = parser.parse_args()
    torch.set_num_threads(1)  # the models are small
    converter = Converter(args.llama_cpp) if args.llama_cpp else None
    rows, bad = [], []
    with tempfile.TemporaryDirectory() as work:
        judged, served = [], {}
        for architecture in args.only:
            for number, case in enumerate(cases.CASES[architecture][1]):
                name = f"{architecture}-{number}"
                judge = Judge(args.sluice, os.path.join(work, name), architecture, case, number)
                for source, path in judge.sources(converter).items():
                    for precision in judge.precisions():
                        row = judge.compare(source, path, precision)
                        print(f"{name}, {source}, {precision}: {row['error']:.1e}", file=sys.stderr, flush=True)
                        rows.append(row)
                        if precision == "none":
                            served[f"{name}-{source}"] = row["folder"]
                            judged.append((f"{name}-{source}", judge, row))
        server = Server(args.sluice, served)
        try:
            for name, judge, row in judged:
                got = server.generate(name, judge.prompts, GREEDY)
                pairs = [a == b for g, w in zip(got, judge.greedy) for a, b in zip(g, w)]
                row["greedy"] = f"{sum(pairs)}/{GREEDY * len(PROMPTS)}"
                if not all(pairs):
                    bad.append(f"{name}: greedy tokens differ")
        finally:
            server.close()
    for row in rows:
        if not row["error"] <= PRECISIONS[row["precision"]] * (1 if row["precision"] == "none" else row["size"]):
            bad.append(f"{row['architecture']}, {row['case']}, {row['source']}, {row['precision']}: error {row['error']:g}")
    table = ["| architecture | case | source | none: error | greedy tokens equal | fp16: relative error | int8 | int4 |", "|---" * 8 + "|"]
    models = {}
    for row in rows:
        models.setdefault((row["architecture"], row["case"], row["source"]), {})[row["precision"]] = row
    for key, by in models.items():
        relative = [f"{by[p]['error'] / by[p]['size']:.1%}" if p in by else "–" for p in ("fp16", "int8", "int4")]
        table.append("| " + " | ".join([*key, f"{by['none']['error']:.1e}", by["none"]["greedy"], *relative]) + " |")
    text = "\n".join(table) + "\n"
    if args.out:
        with open(args.out, "w", encoding="utf-8") as f:
            f.write(text)
    print(text)
    sys.exit("\n".join(bad) or 0)


class Judge:
    """One case: a checkpoint, and what transformers says about it."""

    def __init__(self, sluice, work, architecture, case, seed):
        self.sluice, self.work, self.architecture, self.case = sluice, work, architecture, case
        model, self.extra = cases.load(architecture, case)
        randomise(model, seed)
        self.checkpoint = os.path.join(work, "checkpoint")
        model.to(getattr(torch, self.extra.get("dtype", "float32"))).save_pretrained(self.checkpoint)
        self.vocab = model.config.vocab_size
        c = model.config
        heads = c.num_attention_heads * (getattr(c, "head_dim", None) or c.hidden_size // c.num_attention_heads)
        self.widths = c.hidden_size, heads, getattr(c, "intermediate_size", None) or getattr(c, "n_inner", None) or 0
        self.old_names()
        write_tokenizer(self.checkpoint, self.vocab)
        model = type(model).from_pretrained(self.checkpoint, dtype=torch.float32, attn_implementation="eager").eval()
        longest = max(self.extra.get("lengths", cases.LENGTHS))
        self.prompt = tiny.prompt(longest, self.vocab)
        with torch.inference_mode():
            self.logits = model(torch.tensor([self.prompt])).logits[0].numpy()
        self.prompts = [tiny.prompt(n, self.vocab) for n in PROMPTS]
        if "longrope" in case and "context" not in self.extra:  # transformers changes factors at the original length
            self.prompts = [tiny.prompt(n + 40, self.vocab) for n in PROMPTS]
        self.greedy = [greedy(model, p, GREEDY) for p in self.prompts]

    def old_names(self):
        """Adds what config.json of published models says, and llama.cpp's converter reads, but transformers 5 writes no more."""
        path = os.path.join(self.checkpoint, "config.json")
        with open(path, encoding="utf-8") as f:
            config = json.load(f)
        config |= {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": None}  # the defaults are of larger vocabularies
        config |= {
            "gpt2": {"n_ctx": config.get("n_positions")},
            "gptneox": {"rotary_pct": (config.get("rope_parameters") or {}).get("partial_rotary_factor")},
        }.get(self.architecture, {})
        with open(path, "w", encoding="utf-8") as f:
            json.dump(config, f)
        os.remove(os.path.join(self.checkpoint, "generation_config.json"))

    def sources(self, converter):
        paths = {"safetensors": self.checkpoint}
        if converter and self.case not in cases.NO_GGUF.get(self.architecture, ()):
            paths["GGUF"] = os.path.join(self.work, "model.gguf")
            converter.convert(self.checkpoint, paths["GGUF"], self.vocab)
        return paths

    def precisions(self):
        """Blocks of 32 need widths that are multiples of it."""
        return PRECISIONS if all(width % 32 == 0 for width in self.widths) else ["none", "fp16"]

    def compare(self, source, path, precision):
        out = os.path.join(self.work, f"{source}-{precision}")
        command = [self.sluice, "convert", path, "--out", out, "--quantize", precision]
        if precision == "int4":
            command += ["--method", "rtn"]
        if "context" in self.extra:
            command += ["--context", str(self.extra["context"])]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{' '.join(command)}: {done.stderr}")
        n = len(self.prompt)
        folder = Folder(out, 1, n, threads=1)
        errors = []
        ways = [[n], [7] * (n // 7 + 1), [n // 2] + [1] * (n - n // 2)]  # whole, in chunks, and token by token
        for sizes in ways if precision == "none" else ways[:1]:
            errors.append(np.abs(logits(folder, self.prompt, sizes) - self.logits).max())
        return {
            "architecture": self.architecture, "case": self.case, "source": source, "precision": precision,
            "error": float(max(errors)), "size": float(np.abs(self.logits).max()), "greedy": "", "folder": out,
        }


if __name__ == "__main__":
    main()
