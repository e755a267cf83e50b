"""Perplexity of model folders over a text, and how far their predictions are from a reference's. See README.md."""

import argparse
import json
import os
import sys

import numpy as np
from folder import Folder

WINDOW = 512


def log_softmax(logits):
    logits = logits - logits.max(-1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


def runner(path, threads):
    """Returns a function from a window of tokens to their logits: of a model folder, else of transformers."""
    if os.path.exists(os.path.join(path, "sluice.json")):
        folder = Folder(path, 1, WINDOW, threads)
        return lambda window: folder.step([window], [len(window)])

    import reference  # needed only here
    import torch

    model, _ = reference.load(path, threads)

    @torch.inference_mode()
    def run(window):
        return model(torch.tensor([window])).logits[0].numpy()

    return run


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("reference", help="model folder, or GGUF file or Hugging Face folder for transformers")
    parser.add_argument("folders", nargs="+")
    parser.add_argument("--text", required=True)
    parser.add_argument("--tokenizer", required=True, help="tokenizer.json")
    parser.add_argument("--windows", type=int, default=24, help=f"windows of {WINDOW} tokens, spread over the text")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--max-change", type=float, help="fail if the perplexity grows by more, in percent")
    parser.add_argument("--max-kl", type=float, help="fail if the divergence is more")
    args = parser.parse_args()

    from tokenizers import Tokenizer

    with open(args.text, encoding="utf-8") as f:
        ids = Tokenizer.from_file(args.tokenizer).encode(f.read(), add_special_tokens=False).ids
    if len(ids) < args.windows * WINDOW:
        sys.exit(f"the text has {len(ids)} tokens, fewer than {args.windows} windows of {WINDOW}")
    starts = np.linspace(0, len(ids) - WINDOW, args.windows).astype(int)

    truth = runner(args.reference, args.threads)
    models = {path: runner(path, args.threads) for path in args.folders}
    loss = {path: 0.0 for path in [args.reference, *args.folders]}
    divergence = dict.fromkeys(args.folders, 0.0)
    agreed = dict.fromkeys(args.folders, 0)
    for start in starts:
        window = ids[start : start + WINDOW]
        following = np.arange(WINDOW - 1), window[1:]
        p = log_softmax(truth(window))
        loss[args.reference] -= p[following].sum(dtype=np.float64)
        for path, run in models.items():
            q = log_softmax(run(window))
            loss[path] -= q[following].sum(dtype=np.float64)
            divergence[path] += (np.exp(p) * (p - q)).sum(dtype=np.float64)
            agreed[path] += int((p.argmax(-1) == q.argmax(-1)).sum())
    predicted, positions = args.windows * (WINDOW - 1), args.windows * WINDOW
    perplexity = {path: float(np.exp(total / predicted)) for path, total in loss.items()}
    base = perplexity[args.reference]
    print(json.dumps({"model": args.reference, "tokens": positions, "perplexity": round(base, 4)}))
    bad = []
    for path in args.folders:
        row = {
            "model": path,
            "tokens": positions,
            "perplexity": round(perplexity[path], 4),
            "change": f"{100 * (perplexity[path] / base - 1):+.3f} %",
            "kl": round(divergence[path] / positions, 5),
            "same_top": f"{100 * agreed[path] / positions:.2f} %",
        }
        print(json.dumps(row))
        change, kl = 100 * (perplexity[path] / base - 1), divergence[path] / positions
        # Written so that a NaN fails.
        if args.max_change is not None and not change <= args.max_change:
            bad.append(f"{path}: the perplexity grows by {change:.3f} %, more than {args.max_change} %")
        if args.max_kl is not None and not kl <= args.max_kl:
            bad.append(f"{path}: the divergence is {kl:.5f}, more than {args.max_kl}")
    if bad:
        sys.exit("\n".join(bad))


if __name__ == "__main__":
    main()
