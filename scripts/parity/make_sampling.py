"""Writes cmd/sluice/e2e/testdata/sampling.json: greedy continuations by transformers' generate under its logits
processors, and log-probabilities of prompts and outputs. See README.md."""

import argparse
import json

import reference
import torch

TOKENS, TOP = 24, 5

PLAIN = {"prompt": "The capital of France is"}
STORY = {"prompt": "Once upon a time, in a village by the sea, there lived a"}
CASES = [
    {**PLAIN},
    {**STORY},
    {"prompt": "日本の首都は"},
    {**PLAIN, "repetition_penalty": 1.3},
    {**STORY, "no_repeat_ngram_size": 2},
    {"prompt": "la la la la", "no_repeat_ngram_size": 3},
    {**PLAIN, "bad_words": ["Paris", "France", "city of", "."]},
    {**STORY, "bad_words": ["young", "woman", "a", " the sea", "named"]},
    {**PLAIN, "logit_bias": [["Paris", -100], [" Paris", -12.5], [" London", 4]]},
    {"prompt": "<|im_start|>user\nSay yes.<|im_end|>\n<|im_start|>assistant\n", "min_tokens": 20},
    {"prompt": "<|im_start|>user\nSay yes.<|im_end|>\n<|im_start|>assistant\n"},
    {**STORY, "allowed": [" a", " the", " sea", " boat", " and", ",", ".", " in", " old", " man"]},
    {
        **STORY, "repetition_penalty": 1.2, "no_repeat_ngram_size": 3, "bad_words": ["little", "small"],
        "logit_bias": [[" fish", 3.0]], "min_tokens": 24,
    },
]


def run(model, tokenizer, case):
    def encode(text):
        return tokenizer(text, add_special_tokens=False).input_ids

    prompt, eos = encode(case["prompt"]), model.generation_config.eos_token_id
    options = {"repetition_penalty": case.get("repetition_penalty", 1.0)}
    if n := case.get("no_repeat_ngram_size"):
        options["no_repeat_ngram_size"] = n
    if words := case.get("bad_words"):
        forms = [f for w in words for f in ([w] if w.startswith(" ") else [w, " " + w])]
        options["bad_words_ids"] = [encode(f) for f in forms]
    if n := case.get("min_tokens"):
        options["min_new_tokens"] = n
    if bias := case.get("logit_bias"):
        bias = [[encode(text), float(value)] for text, value in bias]
        case["logit_bias"] = {str(ids[0]): value for ids, value in bias if len(ids) == 1}
        options["sequence_bias"] = [b for b in bias if len(b[0]) == 1]
    if words := case.get("allowed"):
        case["allowed"] = [ids[0] for ids in map(encode, words) if len(ids) == 1]
        options["prefix_allowed_tokens_fn"] = lambda batch, sentence: case["allowed"]
    out = model.generate(
        torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt), dtype=torch.int64), do_sample=False,
        temperature=None, top_p=None, top_k=None, max_new_tokens=TOKENS, pad_token_id=0, eos_token_id=eos,
        output_scores=True, output_logits=True, return_dict_in_generate=True, **options,
    )
    tokens = out.sequences[0, len(prompt):].tolist()
    with torch.inference_mode():
        rows = model(out.sequences[:, : len(prompt)]).logits[0].double().log_softmax(-1)
    case["prompt_ids"], case["tokens"] = prompt, tokens
    case["gaps"] = [float(f"{(t := s[0].topk(2).values)[0] - t[1]:.3g}") for s in out.scores]
    case["prompt_logprobs"] = [entry(row, id) for row, id in zip(rows, prompt[1:])]
    logits = [step[0].double().log_softmax(-1) for step in out.logits]
    case["logprobs"] = [entry(row, id) for row, id in zip(logits, tokens)]
    case["eos"] = eos
    return case


def entry(row, id):
    """The token's log-probability and rank, and the log-probabilities of the most likely ones."""
    top = row.topk(TOP)
    number = lambda x: float(f"{x:.8g}")
    return [number(row[id]), 1 + int((row > row[id]).sum()), top.indices.tolist(), [number(v) for v in top.values]]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", help="GGUF file or Hugging Face folder")
    parser.add_argument("out")
    args = parser.parse_args()
    model, tokenizer = reference.load(args.checkpoint)
    with open(args.out, "w", encoding="ascii") as f:
        cases = [run(model, tokenizer, case) for case in CASES]
        f.write("[\n" + ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases) + "\n]\n")
        for case in cases:
            print(repr(tokenizer.decode(case["tokens"])))


if __name__ == "__main__":
    main()
