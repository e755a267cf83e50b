"""Speed of transformers' generate on the same model, prompts and lengths as BenchmarkStream of cmd/sluice/e2e.

    pip install torch==2.15.0 transformers==5.24.0 accelerate gguf
    python scripts/peers/transformers_bench.py MODEL.gguf [--batch 1 8] [--runs 5]

It prints a JSON line per batch size: the medians of the time to first token and of the tokens per second of all
sequences together, prompt included, as the benchmark counts them.
"""

import argparse
import json
import os
import statistics
import time

import torch
from transformers import AutoModelForCausalLM
from transformers.generation.streamers import BaseStreamer

PROMPT, ANSWER = 128, 128


class FirstToken(BaseStreamer):
    """Notes when the first token is there; transformers streams a batch of one only."""

    def __init__(self):
        self.calls, self.at = 0, None

    def put(self, value):
        self.calls += 1
        if self.calls == 2:  # the first call brings the prompt
            self.at = time.perf_counter()

    def end(self):
        pass


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("gguf")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    folder, name = os.path.split(os.path.abspath(args.gguf))
    model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=torch.float32).eval()
    for batch in args.batch:
        ids = torch.tensor(
            [[1000 + (s * 7919 + i * 104729) % 40000 for i in range(PROMPT)] for s in range(batch)]
        )
        speeds, first = [], []
        for run in range(args.runs + 1):
            streamer = FirstToken() if batch == 1 else None
            start = time.perf_counter()
            with torch.inference_mode():
                out = model.generate(
                    ids,
                    attention_mask=torch.ones_like(ids),
                    max_new_tokens=ANSWER,
                    min_new_tokens=ANSWER,
                    do_sample=False,
                    streamer=streamer,
                    pad_token_id=0,
                )
            elapsed = time.perf_counter() - start
            assert out.shape[1] == PROMPT + ANSWER
            if run:  # the first one warms up
                speeds.append(batch * ANSWER / elapsed)
                if streamer:
                    first.append((streamer.at - start) * 1e3)
        print(
            json.dumps(
                {
                    "batch": batch,
                    "tokens_per_second": round(statistics.median(speeds), 1),
                    "spread": [round(min(speeds), 1), round(max(speeds), 1)],
                    "ttft_ms": round(statistics.median(first), 1) if first else None,
                }
            ),
            flush=True,
        )


if __name__ == "__main__":
    main()
