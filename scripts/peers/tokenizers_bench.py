"""Speed of Hugging Face tokenizers on the texts of BenchmarkEncode of package tokenizer, one thread.

    SLUICE_BENCH_TEXTS=FOLDER SLUICE_BENCH_TOKENIZER=TOKENIZER.json go test -run '^$' -bench 'Encode$' ./tokenizer
    python scripts/peers/tokenizers_bench.py TOKENIZER.json FOLDER [--runs 5]

FOLDER holds .txt files in UTF-8. It prints a JSON line per file: MB/s of one call for the whole text, the median of the
runs and their range.
"""

import argparse
import glob
import json
import os
import statistics
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
from tokenizers import Tokenizer  # noqa: E402  the variable must be set before


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tokenizer")
    parser.add_argument("folder")
    parser.add_argument("--runs", type=int, default=5)
    args = parser.parse_args()
    tokenizer = Tokenizer.from_file(args.tokenizer)
    for path in sorted(glob.glob(os.path.join(args.folder, "*.txt"))):
        with open(path, encoding="utf-8") as f:
            text = f.read()
        size = len(text.encode())
        speeds = []
        for _ in range(args.runs):
            start = time.process_time()
            tokenizer.encode(text, add_special_tokens=False)
            speeds.append(size / 1e6 / (time.process_time() - start))
        print(
            json.dumps(
                {
                    "text": os.path.basename(path),
                    "bytes": size,
                    "mb_per_second": round(statistics.median(speeds), 2),
                    "range": [round(min(speeds), 2), round(max(speeds), 2)],
                }
            ),
            flush=True,
        )


if __name__ == "__main__":
    main()
