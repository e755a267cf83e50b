"""Speed of openvino-genai's continuous batching on given prompts, from a GGUF or an OpenVINO folder.

    pip install openvino-genai==VERSION
    python scripts/peers/openvino_bench.py MODEL.gguf --prompts FILE [--batch 1 8] [--answer 128] [--runs 5]

FILE holds requests as `sluice bench --print-requests` prints them. It prints a JSON line per batch size: the medians of
the time to first token and of the tokens per second of all sequences together, prompt included. All requests of a batch
are added at once and stepped in this process, which has no server to pay for.
"""

import argparse
import json
import resource
import statistics
import time

import numpy as np
import openvino
import openvino_genai as genai


def run(pipeline, prompts, config):
    """Runs a batch and returns when it began, when each sequence had its first token, and when all had ended."""
    start = time.perf_counter()
    handles = [
        pipeline.add_request(i, openvino.Tensor(np.array([ids], np.int64)), config) for i, ids in enumerate(prompts)
    ]
    first, tokens = [None] * len(handles), 0
    while pipeline.has_non_finished_requests():
        pipeline.step()
        for i, handle in enumerate(handles):
            # Of a finished request, what is left can still be read.
            while handle.can_read():
                outputs = handle.read()
                first[i] = first[i] or time.perf_counter()
                tokens += sum(len(output.generated_ids) for output in outputs.values())
    end = time.perf_counter()
    return start, first, end, tokens


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--prompts", required=True)
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--answer", type=int, default=128)
    args = parser.parse_args()
    with open(args.prompts, encoding="utf-8") as f:
        requests = [json.loads(line)["ids"] for line in f]
    scheduler = genai.SchedulerConfig()
    scheduler.cache_size = 1  # GB
    scheduler.max_num_seqs = max(args.batch)
    scheduler.enable_prefix_caching = False  # no two prompts are alike
    properties = {"INFERENCE_NUM_THREADS": args.threads}
    pipeline = genai.ContinuousBatchingPipeline(args.model, scheduler, "CPU", properties)
    config = genai.GenerationConfig()
    config.max_new_tokens = config.min_new_tokens = args.answer
    config.ignore_eos = True
    config.do_sample = False
    for batch in args.batch:
        prompts = requests[:batch]
        size = sum(len(ids) for ids in prompts)
        speeds, prefills, first, steps = [], [], [], []
        for i in range(args.runs + 1):
            start, ats, end, tokens = run(pipeline, prompts, config)
            assert tokens == batch * args.answer, (tokens, batch)
            if i:  # the first one warms up
                ats = sorted(ats)
                speeds.append(tokens / (end - start))
                prefills.append(size / (ats[-1] - start))
                first.append((statistics.median(ats) - start) * 1e3)
                steps.append((end - ats[-1]) * 1e3 / max(args.answer - 1, 1))
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
