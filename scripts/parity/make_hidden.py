"""Writes inference/model/builder/testdata/hidden.json: the hidden states that transformers gives prompts of small models of
every architecture, behind the last norm, as embeddings pool them. With `--checkpoint`, a GGUF file or a Hugging Face folder, it
writes those of three texts by that model instead. See README.md."""

import argparse
import json

import cases
import reference
import tiny
import torch

LENGTH = 37
TEXTS = ["The cat sleeps on the warm roof.", "def add(a, b):\n    return a + b\n", "Ein Zug fährt nach Norden. " * 12]


def digits(row):
    return [float(f"{v:.6g}") for v in row.tolist()]


@torch.inference_mode()
def pooled(model, ids):
    """The pooled vectors of a prompt, by kind."""
    states = model.base_model(torch.tensor([ids])).last_hidden_state[0]
    return {"mean": digits(states.double().mean(0)), "last": digits(states[-1]), "cls": digits(states[0])}


def small():
    for architecture, (_, names) in cases.CASES.items():
        for name in names:
            model, _ = cases.load(architecture, name)
            model, _ = tiny.fill(model)
            yield {"architecture": architecture, "name": name} | pooled(model, tiny.prompt(LENGTH, model.config.vocab_size))


def real(checkpoint):
    model, tokenizer = reference.load(checkpoint)
    for text in TEXTS:
        ids = tokenizer(text, add_special_tokens=False).input_ids
        yield {"text": text, "ids": ids} | pooled(model, ids)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint")
    parser.add_argument("out")
    args = parser.parse_args()
    torch.set_num_threads(1)
    lines = [json.dumps(case, separators=(",", ":")) for case in (real(args.checkpoint) if args.checkpoint else small())]
    with open(args.out, "w", encoding="ascii") as f:
        f.write("[\n" + ",\n".join(lines) + "\n]\n")


if __name__ == "__main__":
    main()
