"""Speed of onnxruntime-genai on the same model, prompts and lengths as BenchmarkStream of cmd/sluice/e2e.

    pip install onnxruntime-genai==VERSION
    python -m onnxruntime_genai.models.builder -m CHECKPOINT -o FOLDER -p int4 -e cpu
    python scripts/peers/genai_bench.py FOLDER [--batch 1 8] [--runs 5] [--prompts FILE]

CHECKPOINT is a Hugging Face folder of the default model. It prints a JSON line per batch size: the medians of the time
to first token and of the tokens per second of all sequences together, prompt included, as the benchmark counts them.
All sequences run as one static batch in this process, which has no server to pay for. FILE holds requests as
`sluice bench --print-requests` prints them; without it they are made here. The builder rounds the weights to int4 a
second time; docs/benchmarks.md says what that costs.
"""

import argparse
import json
import resource
import statistics
import time

import numpy as np
import onnxruntime_genai as og


def made_here(batch, prompt):
    return [[1000 + (s * 7919 + i * 104729) % 40000 for i in range(prompt)] for s in range(batch)]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--prompt", type=int, default=128)
    parser.add_argument("--answer", type=int, default=128)
    parser.add_argument("--prompts")
    args = parser.parse_args()
    config = og.Config(args.folder)
    config.overlay(
        json.dumps({"model": {"decoder": {"session_options": {"intra_op_num_threads": args.threads}}}})
    )
    model = og.Model(config)
    requests = None
    if args.prompts:
        with open(args.prompts, encoding="utf-8") as f:
            requests = [json.loads(line)["ids"] for line in f]
    for batch in args.batch:
        ids = np.array(requests[:batch] if requests else made_here(batch, args.prompt), np.int32)
        length = ids.shape[1] + args.answer
        speeds, prefills, first, steps = [], [], [], []
        for run in range(args.runs + 1):
            params = og.GeneratorParams(model)
            params.set_search_options(
                max_length=length, min_length=length, batch_size=batch, do_sample=False
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
            end = time.perf_counter()
            assert count == args.answer, count
            if run:  # the first one warms up
                speeds.append(batch * args.answer / (end - start))
                prefills.append(ids.size / (at - start))
                first.append((at - start) * 1e3)
                steps.append((end - at) * 1e3 / max(args.answer - 1, 1))
        print(
            json.dumps(
                {
                    "batch": batch,
                    "tokens_per_second": round(statistics.median(speeds), 1),
                    "spread": [round(min(speeds), 1), round(max(speeds), 1)],
                    "prompt_tokens_per_second": round(statistics.median(prefills), 1),
                    "ttft_ms": round(statistics.median(first), 1),
                    "itl_ms": round(statistics.median(steps), 2) if args.answer > 1 else None,
                    "rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1000,
                }
            ),
            flush=True,
        )


if __name__ == "__main__":
    main()
