"""Whether a sequence's logits and cache depend, in any bit, on its batch or on how its prompt was cut. See README.md."""

import argparse
import os
import sys

# Blocks of queries ("flash") make a prompt's last bits depend on its length modulo the block; Sluice turns them off too.
os.environ.setdefault("ORT_GQA_DISABLE_FLASH_ATTENTION", "1")

import numpy as np
from folder import Folder

LENGTHS = [1, 5, 300, 64, 600, 17, 2, 129]  # of the rows of a ragged batch, before decoding
STEPS = 3  # decoded tokens of each row
PROMPT = 300
SPLITS = [[300], [128, 128, 44], [1, 299], [7] * 42 + [6], [129, 171], [64] * 4 + [44], [299, 1], [150, 1, 149]]


def same(a, b):
    return a.tobytes() == b.tobytes()


def batch(path, threads):
    """Decodes a ragged batch, then each row alone in a session whose cache holds garbage, and compares."""
    rng = np.random.default_rng(1)
    together = Folder(path, len(LENGTHS), 1024, threads, fill=-7.0)
    alone = Folder(path, 1, 1024, threads, fill=13.0)
    vocab = together.vocab
    prompts = [rng.integers(0, vocab, n) for n in LENGTHS]
    tokens = rng.integers(0, vocab, (STEPS, len(LENGTHS)))
    for row, prompt in enumerate(prompts):
        together.step([prompt], [len(prompt)], row, [len(prompt) - 1])
    steps = [
        together.step(tokens[i][:, None], np.array(LENGTHS) + i + 1) for i in range(STEPS)
    ]
    differ = 0
    for row, prompt in enumerate(prompts):
        alone.step([prompt], [len(prompt)], 0, [])
        for i in range(STEPS):
            logits = alone.step([[tokens[i][row]]], [len(prompt) + i + 1])
            differ += not same(logits[0], steps[i][row])
        end = len(prompt) + STEPS
        for buffer, other in zip(together.cache.values(), alone.cache.values()):
            differ += not same(buffer[row, :, :end], other[0, :, :end])
    return differ


def chunks(path, threads):
    """Runs one prompt in several splits and compares the last logits and the cache."""
    engine = Folder(path, 1, 1024, threads)
    prompt = np.random.default_rng(2).integers(0, engine.vocab, PROMPT)
    differ, first = 0, None
    for split in SPLITS:
        for buffer in engine.cache.values():
            buffer[:] = 3.0
        done = 0
        for size in split:
            part = prompt[done : done + size]
            done += size
            # As Sluice's engine does: attention over one new token adds up in another order than over several, so one
            # is run as two, of which the second is ignored and overwritten.
            padded = [part[0], part[0]] if size == 1 else part
            logits = engine.step([padded], [done - size + len(padded)], 0, [size - 1] if done == PROMPT else [])
        result = [logits, *(buffer[:, :, :PROMPT].copy() for buffer in engine.cache.values())]
        if first is None:
            first = result
        differ += sum(not same(a, b) for a, b in zip(first, result))
    return differ


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    failed = 0
    for path in args.folders:
        found = batch(path, args.threads), chunks(path, args.threads)
        failed += sum(found)
        print(f"{path}: differences in batches {found[0]}, in splits {found[1]}", flush=True)
    sys.exit(failed != 0)


if __name__ == "__main__":
    main()
