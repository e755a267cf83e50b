"""Speed of onnxruntime-genai on the same model, prompts and lengths as BenchmarkStream of cmd/sluice/e2e.

    pip install onnxruntime-genai==VERSION
    python -m onnxruntime_genai.models.builder -m CHECKPOINT -o FOLDER -p int4 -e cpu
    python scripts/peers/genai_bench.py FOLDER [--batch 1 8] [--runs 5]

CHECKPOINT is a Hugging Face folder of the default model. It prints a JSON line per batch size: the medians of the time
to first token and of the tokens per second of all sequences together, prompt included, as the benchmark counts them.
Its builder rounds the weights to int4 a second time; docs/benchmarks.md says what that costs.
"""

import argparse
import json
import statistics
import time

import numpy as np
import onnxruntime_genai as og

PROMPT, ANSWER = 128, 128


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    config = og.Config(args.folder)
    config.overlay(
        json.dumps({"model": {"decoder": {"session_options": {"intra_op_num_threads": args.threads}}}})
    )
    model = og.Model(config)
    for batch in args.batch:
        ids = np.array(
            [[1000 + (s * 7919 + i * 104729) % 40000 for i in range(PROMPT)] for s in range(batch)], np.int32
        )
        speeds, first = [], []
        for run in range(args.runs + 1):
            params = og.GeneratorParams(model)
            params.set_search_options(
                max_length=PROMPT + ANSWER, min_length=PROMPT + ANSWER, batch_size=batch, do_sample=False
            )
            start = time.perf_counter()
            generator = og.Generator(model, params)
            generator.append_tokens(ids)
            generator.generate_next_token()
            at = time.perf_counter()
            count = 1
            while not generator.is_done():
                generator.generate_next_token()
                count += 1
            elapsed = time.perf_counter() - start
            assert count == ANSWER, count
            if run:  # the first one warms up
                speeds.append(batch * ANSWER / elapsed)
                first.append((at - start) * 1e3)
        print(
            json.dumps(
                {
                    "batch": batch,
                    "tokens_per_second": round(statistics.median(speeds), 1),
                    "spread": [round(min(speeds), 1), round(max(speeds), 1)],
                    "ttft_ms": round(statistics.median(first), 1),
                }
            ),
            flush=True,
        )


if __name__ == "__main__":
    main()
