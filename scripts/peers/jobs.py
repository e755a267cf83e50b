"""What the programs that measure a peer in their own process have in common.

With --jobs they read a job a line from standard input, {"prompts": FILE, "answer": N, "runs": N, "warm": N}, and answer each with
a line of figures, so that a model is loaded once for all loads. "warm" is the length of the answers of a run before that
counts for nothing; 0: none. A job with "dues", a list of seconds, is an open loop instead: request i arrives at dues[i],
and "ttft" is the time to first token that goodput asks for.
"""

import argparse
import json
import math
import os
import statistics
import sys
import time
from dataclasses import dataclass

now = time.perf_counter


def parse(description):
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--jobs", action="store_true")
    parser.add_argument("--prompts")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--answer", type=int, default=128)
    parser.add_argument("--sequences", type=int, default=32, help="at once at most, where the peer asks for it")
    args = parser.parse_args()
    if not args.jobs and not args.prompts:
        parser.error("give --prompts, or --jobs")
    return args


@dataclass
class Run:
    """A batch that all began at once; decoding: seconds in which all sequences decoded, and the tokens that came then."""

    batch: int
    prompt_tokens: int
    answer: int
    start: float
    firsts: list[float]
    end: float
    decoding: float
    decoded: int


def figures(runs):
    """Sums runs of the same load up: medians."""

    def median(of):
        values = [v for v in map(of, runs) if v is not None]
        return round(statistics.median(values), 2) if values else None

    return {
        "tokens_per_s": median(lambda r: r.batch * r.answer / (r.end - r.start)),
        "prompt_tokens_per_s": median(lambda r: r.prompt_tokens / (max(r.firsts) - r.start)),
        "decode_tokens_per_s": median(lambda r: r.decoded / r.decoding if r.decoding > 0 and r.decoded else None),
        "ttft_ms": median(lambda r: (statistics.median(r.firsts) - r.start) * 1e3),
        "itl_ms": median(lambda r: r.batch * r.decoding * 1e3 / r.decoded if r.decoded else None),
        "e2e_p95_ms": median(lambda r: (r.end - r.start) * 1e3),
    }


def nearest_rank(values, percent):
    """Returns a percentile as `sluice bench` has it: the nearest rank, rounded up."""
    ordered = sorted(values)
    return ordered[max(math.ceil(percent * len(ordered) / 100), 1) - 1]


def open_figures(streams, elapsed, ttft):
    """Sums an open loop up; streams have due, first, end and tokens. ttft: seconds that goodput asks for."""
    firsts = [s.first - s.due for s in streams]
    good = sum(first <= ttft for first in firsts)
    return {
        "tokens_per_s": round(sum(s.tokens for s in streams) / elapsed, 2),
        "ttft_ms": round(nearest_rank(firsts, 50) * 1e3, 2),
        "ttft_p95_ms": round(nearest_rank(firsts, 95) * 1e3, 2),
        "itl_ms": round(statistics.median((s.end - s.first) / max(s.tokens - 1, 1) for s in streams) * 1e3, 2),
        "e2e_p95_ms": round(nearest_rank([s.end - s.due for s in streams], 95) * 1e3, 2),
        "goodput_per_s": round(good / elapsed, 3),
        "requests": len(streams),
    }


def read(path):
    with open(path, encoding="utf-8") as f:
        return [json.loads(line) for line in f]


def serve(args, batch, in_the_open=None):
    """Runs the jobs, or what the command line asks for. batch: requests, answer → Run; in_the_open: requests, dues → streams, s."""
    if not args.jobs:
        requests = read(args.prompts)
        for size in args.batch:
            batch(requests[:size], args.answer)
            runs = [batch(requests[:size], args.answer) for _ in range(args.runs)]
            print(json.dumps({"batch": size, **figures(runs)}), flush=True)
        return
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")  # libraries print to theirs
    os.dup2(2, 1)
    print(json.dumps({"ready": True}), file=out, flush=True)
    for line in sys.stdin:
        job = json.loads(line)
        requests = read(job["prompts"])
        if "dues" in job:
            answer = open_figures(*in_the_open(requests, job["dues"]), job["ttft"])
        else:
            if job["warm"]:
                batch(requests, job["warm"])
            answer = figures([batch(requests, job["answer"]) for _ in range(job["runs"])])
        print(json.dumps(answer), file=out, flush=True)
