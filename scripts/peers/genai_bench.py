"""Speed of onnxruntime-genai on given prompts.

    pip install onnxruntime-genai==VERSION
    python scripts/peers/genai_builder.py -m CHECKPOINT -o FOLDER -p int4 -e cpu
    python scripts/peers/genai_bench.py FOLDER --prompts FILE [--batch 1 8] [--answer 128] [--runs 5]
    python scripts/peers/genai_bench.py FOLDER --jobs        # what bench.py does: jobs.py says how they come

CHECKPOINT is a Hugging Face folder. FILE holds requests as `sluice bench --print-requests` prints them.
All sequences run as one static batch in this process, which has no server to pay for. The builder rounds the weights to
int4 a second time; docs/quantisation.md says what that costs.
"""

import json
import os

import jobs
import numpy as np
import onnxruntime_genai as og


def window_of(folder):
    """Returns the window of a model whose layers have one, or 0: its keys and values must have room for that many tokens."""
    with open(os.path.join(folder, "genai_config.json"), encoding="utf-8") as f:
        return json.load(f)["model"]["decoder"].get("sliding_window", {}).get("window_size", 0)


def once(model, ids, answer, window):
    """Runs a batch and returns the moments of its beginning, of its first tokens and of its end."""
    params = og.GeneratorParams(model)
    length = max(ids.shape[1] + answer, window)
    params.set_search_options(max_length=length, min_length=length, batch_size=len(ids), do_sample=False)
    start = jobs.now()
    generator = og.Generator(model, params)
    generator.append_tokens(ids)
    generator.generate_next_token()
    first, count = jobs.now(), 1
    while count < answer and not generator.is_done():
        generator.generate_next_token()
        count += 1
    end = jobs.now()
    assert count == answer, count
    return start, first, end


def main():
    args = jobs.parse(__doc__)
    config = og.Config(args.model)
    config.overlay(json.dumps({"model": {"decoder": {"session_options": {"intra_op_num_threads": args.threads}}}}))
    model, window = og.Model(config), window_of(args.model)

    def run(requests, answer):
        ids = np.array([r["ids"] for r in requests], np.int32)
        start, first, end = once(model, ids, answer, window)
        return jobs.Run(len(ids), ids.size, answer, start, [first] * len(ids), end, end - first, len(ids) * (answer - 1))

    jobs.serve(args, run)


if __name__ == "__main__":
    main()
