"""Writes inference/model/builder/testdata/greedy.json: what transformers says about 20 prompts. See README.md."""

import argparse
import json

import numpy as np
import reference

TOKENS, TOP = 64, 64
FIXED = 200  # logits kept besides the largest, at the same evenly spread ids for every prompt

PROMPTS = [
    "The capital of France is",
    "Once upon a time, in a village by the sea, there lived a",
    "def fibonacci(n):\n    ",
    "Water boils at",
    "The three laws of motion were written by",
    "To make a good cup of tea, first",
    "SELECT name, price FROM products WHERE",
    "Dear Sir or Madam,\n\nI am writing to",
    "La plus belle ville du monde est",
    "Die Hauptstadt von Deutschland ist",
    "日本の首都は",
    "🎉 Happy birthday! 🎂 I hope that",
    "A list of the planets: Mercury, Venus,",
    "In machine learning, overfitting means that",
    "package main\n\nimport \"fmt\"\n\nfunc main() {\n",
    "Q: Why is the sky blue?\nA:",
    [("user", "Write a haiku about the autumn wind.")],
    [("system", "You are a helpful assistant."), ("user", "How do I boil an egg?")],
    [
        ("user", "Name a large animal."),
        ("assistant", "An elephant."),
        ("user", "Name one that is larger, and say where it lives."),
    ],
    "The lighthouse keeper climbed the stairs every evening, lit the lamp and wrote one line in his book. " * 12
    + "One evening he",
]


def encode(tokenizer, prompt):
    if isinstance(prompt, str):
        return tokenizer(prompt, add_special_tokens=False).input_ids
    text = "".join(f"<|im_start|>{role}\n{content}<|im_end|>\n" for role, content in prompt)
    return tokenizer(text + "<|im_start|>assistant\n", add_special_tokens=False).input_ids


def digits(value):
    """Shortens a logit: six digits leave 1e-4 of a value in the tens."""
    return float(f"{value:.6g}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", help="GGUF file or Hugging Face folder")
    parser.add_argument("out")
    args = parser.parse_args()
    model, tokenizer = reference.load(args.checkpoint)
    fixed = np.linspace(0, model.config.vocab_size - 1, FIXED).astype(int)
    lines = []
    for prompt in PROMPTS:
        ids = encode(tokenizer, prompt)
        tokens, logits = reference.greedy(model, ids, TOKENS)
        gaps = [float(np.diff(np.partition(row, -2)[-2:])[0]) for row in logits]
        top = np.argsort(-logits[0], kind="stable")[:TOP]
        lines.append(
            json.dumps(
                {
                    "prompt": ids,
                    "tokens": tokens,  # the end of text doesn't end them
                    "gaps": [float(f"{gap:.3g}") for gap in gaps],  # largest logit less the second, before each token
                    "top_ids": top.tolist(),
                    "top_logits": [digits(v) for v in logits[0][top]],  # of the prompt's last token
                    "fixed_logits": [digits(v) for v in logits[0][fixed]],
                },
                separators=(",", ":"),
            )
        )
        print(len(ids), repr(tokenizer.decode(tokens)), flush=True)
    with open(args.out, "w", encoding="ascii") as f:
        f.write('{"fixed_ids":' + json.dumps(fixed.tolist(), separators=(",", ":")) + ',\n"prompts":[\n')
        f.write(",\n".join(lines) + "\n]}\n")


if __name__ == "__main__":
    main()
