"""Writes inference/model/builder/testdata/architectures/NAME.json: what transformers says about small models of every
architecture. See README.md."""

import json
import os
import sys

import cases
import numpy as np
import tiny
import torch

GREEDY, START = 64, 40  # tokens after a prompt of START


def digits(rows):
    return [[float(f"{v:.6g}") for v in row] for row in rows]


@torch.inference_mode()
def golden(architecture, name):
    model, extra = cases.load(architecture, name)
    model, shapes = tiny.fill(model)
    config = json.loads(model.config.to_json_string())
    config["architectures"] = [type(model).__name__]
    config["dtype"] = extra.get("dtype", "float32")
    vocab = model.config.vocab_size
    runs = []
    for length in extra.get("lengths", cases.LENGTHS):
        logits = model(torch.tensor([tiny.prompt(length, vocab)])).logits[0].numpy()
        kept = range(length) if length == 37 else [length - 1]
        runs.append({"length": length, "positions": list(kept), "logits": digits(logits[kept])})
    prompt = tiny.prompt(START, vocab)
    tokens, gaps = [], []
    for _ in range(GREEDY):  # without a cache, so that it can have no faults
        logits = model(torch.tensor([prompt + tokens])).logits[0, -1].numpy()
        gaps.append(float(np.diff(np.partition(logits, -2)[-2:])[0]))
        tokens.append(int(logits.argmax()))
    print(f"{architecture}: {name}: least gap {min(gaps):.2g}", flush=True)
    return {
        "name": name, "config": config, "context": extra.get("context", 0), "tensors": shapes, "runs": runs,
        "greedy": {"length": START, "tokens": tokens, "gap": float(f"{min(gaps):.3g}")},
    }


def main():
    torch.set_num_threads(1)
    out, names = sys.argv[1], sys.argv[2:] or list(cases.CASES)
    os.makedirs(out, exist_ok=True)
    for architecture in names:
        all_cases = [golden(architecture, name) for name in cases.CASES[architecture][1]]
        with open(os.path.join(out, architecture + ".json"), "w", encoding="ascii") as f:
            f.write("[\n" + ",\n".join(json.dumps(case, separators=(",", ":")) for case in all_cases) + "\n]\n")


if __name__ == "__main__":
    main()
