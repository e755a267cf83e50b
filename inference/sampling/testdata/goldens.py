"""Writes goldens.json: what Hugging Face transformers' processors keep of rows of logits, and with which probability.

    pip install torch transformers numpy && python goldens.py > goldens.json

Made with transformers 5.24.0 and torch 2.15.0. The frequency and presence penalties, which transformers lacks, are
vLLM's formula: logits -= frequency * count; logits -= presence * (count > 0), after the repetition penalty.
"""

import json

import numpy as np
import torch
from transformers import (
    LogitsProcessorList,
    MinNewTokensLengthLogitsProcessor,
    MinPLogitsWarper,
    NoBadWordsLogitsProcessor,
    NoRepeatNGramLogitsProcessor,
    PrefixConstrainedLogitsProcessor,
    RepetitionPenaltyLogitsProcessor,
    SequenceBiasLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
    TypicalLogitsWarper,
)

M = (1 << 64) - 1


def mix(z):
    z = (z + 0x9E3779B97F4A7C15) & M
    z = ((z ^ z >> 30) * 0xBF58476D1CE4E5B9) & M
    z = ((z ^ z >> 27) * 0x94D049BB133111EB) & M
    return z ^ z >> 31


def logits(vocab, seed):
    """About normal with a deviation of 2.9; each a multiple of 2^-16, so exact in float32. The test does the same."""
    row = np.empty(vocab, np.float32)
    for v in range(vocab):
        h = mix((seed << 32) + v)
        parts = (h & 0xFFFF) + (h >> 16 & 0xFFFF) + (h >> 32 & 0xFFFF) + (h >> 48)
        row[v] = np.float32((parts - 131072) * 5) * np.float32(2.0**-16)
    return row


def run(case):
    scores = torch.from_numpy(logits(case["vocab"], case["seed"]))[None]
    prompt, output = case.get("prompt", []), case.get("output", [])
    ids = torch.tensor([prompt + output])
    if bias := case.get("bias"):
        scores = SequenceBiasLogitsProcessor([[[id], float(value)] for id, value in bias])(ids, scores)
    if (p := case.get("repetition_penalty", 1.0)) != 1:
        scores = RepetitionPenaltyLogitsProcessor(p)(ids, scores)
    counts = torch.bincount(torch.tensor(output, dtype=torch.int64), minlength=case["vocab"])[None]
    scores = scores - np.float32(case.get("frequency_penalty", 0.0)) * counts.float()
    scores = scores - np.float32(case.get("presence_penalty", 0.0)) * (counts > 0).float()
    if n := case.get("no_repeat_ngram_size", 0):
        scores = NoRepeatNGramLogitsProcessor(n)(ids, scores)
    if words := case.get("bad_words"):
        scores = NoBadWordsLogitsProcessor(words)(ids, scores)
    if n := case.get("min_tokens", 0):
        scores = MinNewTokensLengthLogitsProcessor(len(prompt), n, case["ends"])(ids, scores)
    if allowed := case.get("allowed"):
        scores = PrefixConstrainedLogitsProcessor(lambda batch, sentence: allowed, 1)(ids, scores)
    case["greedy"] = int(scores.argmax())
    warpers = LogitsProcessorList()
    if (t := case.get("temperature", 1.0)) != 1:
        warpers.append(TemperatureLogitsWarper(t))
    if k := case.get("top_k", 0):
        warpers.append(TopKLogitsWarper(k))
    if (p := case.get("top_p", 1.0)) < 1:
        warpers.append(TopPLogitsWarper(p))
    if m := case.get("min_p", 0.0):
        warpers.append(MinPLogitsWarper(m))
    if (p := case.get("typical_p", 1.0)) < 1:
        warpers.append(TypicalLogitsWarper(p))
    probs = warpers(None, scores).double().softmax(-1)[0]
    kept = (probs >= probs.max() * 2.0**-40).nonzero()[:, 0]  # what is below, Sluice never draws
    case["kept"] = len(kept)
    if len(kept) <= 64:  # else the count and the most likely ones say enough
        case["ids"] = kept.tolist()
    else:
        case["ids"] = sorted(probs.topk(16).indices.tolist())
    case["probs"] = [float(f"{probs[i]:.9g}") for i in case["ids"]]
    return case


PENALTIES = {"prompt": [3, 3, 7, 41, 12], "output": [7, 5, 5, 5, 19, 0]}
CASES = [
    {"vocab": 100},
    {"vocab": 100, "temperature": 0.3},
    {"vocab": 100, "temperature": 2.0},
    {"vocab": 100, "temperature": 0.01},
    {"vocab": 100, "top_k": 1},
    {"vocab": 100, "top_k": 10, "temperature": 0.7},
    {"vocab": 100, "top_k": 100, "top_p": 0.9},
    {"vocab": 100, "top_k": 1000},
    {"vocab": 100, "top_p": 0.9},
    {"vocab": 100, "top_p": 0.5, "temperature": 1.5},
    {"vocab": 100, "top_p": 0.05},
    {"vocab": 100, "top_p": 0.999},
    {"vocab": 100, "min_p": 0.05},
    {"vocab": 100, "min_p": 0.2, "temperature": 1.8},
    {"vocab": 100, "min_p": 1.0},
    {"vocab": 100, "top_k": 20, "top_p": 0.8, "min_p": 0.1, "temperature": 0.9},
    {"vocab": 100, "repetition_penalty": 1.3, **PENALTIES},
    {"vocab": 100, "repetition_penalty": 0.8, "top_k": 5, **PENALTIES},
    {"vocab": 100, "presence_penalty": 1.5, **PENALTIES},
    {"vocab": 100, "frequency_penalty": -0.5, **PENALTIES},
    {"vocab": 100, "repetition_penalty": 1.1, "presence_penalty": 0.5, "frequency_penalty": 0.7,
     "temperature": 0.8, "top_k": 30, "top_p": 0.95, "min_p": 0.02, **PENALTIES},
    {"vocab": 1000, "top_k": 50, "top_p": 0.95},
    {"vocab": 1000, "top_k": 900, "top_p": 0.6, "temperature": 1.2},
    {"vocab": 49152},
    {"vocab": 49152, "temperature": 0.6},
    {"vocab": 49152, "top_k": 40},
    {"vocab": 49152, "top_k": 2000, "top_p": 0.7},
    {"vocab": 49152, "top_p": 0.9},
    {"vocab": 49152, "top_p": 0.3, "temperature": 0.5},
    {"vocab": 49152, "min_p": 0.1},
    {"vocab": 49152, "top_p": 0.95, "min_p": 0.3, "temperature": 0.7},
    {"vocab": 100, "typical_p": 0.9},
    {"vocab": 100, "typical_p": 0.2},
    {"vocab": 100, "typical_p": 0.01, "temperature": 0.3},
    {"vocab": 100, "typical_p": 0.5, "temperature": 1.7, "top_k": 30},
    {"vocab": 100, "typical_p": 0.6, "top_p": 0.8},
    {"vocab": 100, "typical_p": 0.7, "min_p": 0.05},
    {"vocab": 1000, "typical_p": 0.95, "top_k": 50, "top_p": 0.9, "min_p": 0.01, "temperature": 0.8},
    {"vocab": 49152, "typical_p": 0.2},
    {"vocab": 49152, "typical_p": 0.95, "temperature": 0.7},
    {"vocab": 100, "bias": [[3, 100], [99, -100], [0, 1.5], [7, -0.25]]},
    {"vocab": 100, "bias": [[3, 5], [7, 5], [19, -2]], "repetition_penalty": 1.3, "presence_penalty": 0.5, **PENALTIES},
    {"vocab": 100, "no_repeat_ngram_size": 1, **PENALTIES},
    {"vocab": 100, "no_repeat_ngram_size": 2, "prompt": [3, 5, 7, 3], "output": [9, 3, 1, 3]},
    {"vocab": 100, "no_repeat_ngram_size": 3, "prompt": [3, 5, 7, 3, 5], "output": [9, 3, 1, 3, 5]},
    {"vocab": 100, "no_repeat_ngram_size": 3, "prompt": [5, 5, 5], "output": [5]},
    {"vocab": 100, "no_repeat_ngram_size": 4, "prompt": [5, 5], "output": [5]},
    {"vocab": 100, "no_repeat_ngram_size": 5, "prompt": [5, 5], "output": [5]},
    {"vocab": 100, "bad_words": [[4], [5, 6], [19, 0, 77], [5, 19, 0, 8], [0, 9]], **PENALTIES},
    {"vocab": 100, "bad_words": [[1, 2, 3, 4, 5, 6], [12, 7, 1]], "prompt": [1, 12, 7], "output": []},
    {"vocab": 100, "min_tokens": 7, "ends": [2, 95], **PENALTIES},
    {"vocab": 100, "min_tokens": 6, "ends": [2, 95], **PENALTIES},
    {"vocab": 100, "allowed": [99, 4, 17, 17]},
    {"vocab": 49152, "allowed": list(range(0, 49152, 997)), "top_k": 20, "temperature": 1.4},
    {"vocab": 100, "bias": [[50, 3]], "repetition_penalty": 1.2, "frequency_penalty": 0.3, "no_repeat_ngram_size": 2,
     "bad_words": [[51], [0, 52]], "min_tokens": 9, "ends": [53, 54], "allowed": list(range(40, 80)),
     "temperature": 0.9, "top_k": 30, "top_p": 0.95, "min_p": 0.01, "typical_p": 0.9, **PENALTIES},
]

if __name__ == "__main__":
    print("[")
    for i, case in enumerate(CASES):
        print(json.dumps(run({"seed": i + 1, **case})), end=",\n" if i + 1 < len(CASES) else "\n")
    print("]")
