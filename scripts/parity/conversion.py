"""Converts a Hugging Face folder to int4 by `sluice convert` and by onnxruntime-genai's builder, in turns, and says what each
took: processor time, wall time, and the most memory, whole and without mapped files. See README.md.

    conversion.py CHECKPOINT --python PYTHON [--sluice bin/sluice] [--rounds 3]

PYTHON has onnxruntime-genai and torch. Processor time hardly depends on what else the machine does; wall time does.
"""

import argparse
import os
import statistics
import subprocess
import tempfile
import threading
import time


def anonymous(pid):
    """Bytes of a process that are no file's; 0 when it is gone."""
    try:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as f:
            return next((int(line.split()[1]) * 1024 for line in f if line.startswith("RssAnon:")), 0)
    except OSError:
        return 0


def cost(command, log):
    """Runs a command to its end and returns what it took."""
    begun, peak = time.monotonic(), 0
    process = subprocess.Popen(command, stdout=log, stderr=log)
    over = threading.Event()

    def watch():
        nonlocal peak
        while not over.wait(0.02):
            peak = max(peak, anonymous(process.pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    _, status, usage = os.wait4(process.pid, 0)
    over.set()
    watcher.join()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        log.seek(0)
        raise SystemExit(f"{command} ended with {process.returncode}:\n{log.read()[-2000:]}")
    return {
        "processor s": usage.ru_utime + usage.ru_stime, "wall s": time.monotonic() - begun,
        "peak MB": usage.ru_maxrss * 1024 / 1e6, "without files MB": peak / 1e6,
    }  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", help="Hugging Face folder with safetensors")
    parser.add_argument("--python", required=True, help="interpreter that has onnxruntime-genai and torch")
    parser.add_argument("--sluice", default="bin/sluice")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    builder = [args.python, "-m", "onnxruntime_genai.models.builder", "-m", args.checkpoint, "-p", "int4", "-e", "cpu"]
    sluice = [args.sluice, "convert", args.checkpoint, "--quantize", "int4"]
    taken = {"`sluice convert --quantize int4 --method rtn`": [], "onnxruntime-genai's builder, `-p int4 -e cpu`": []}
    for _ in range(args.rounds):
        with tempfile.TemporaryDirectory() as work, tempfile.TemporaryFile("w+") as log:
            out, theirs, cache = (os.path.join(work, name) for name in ("sluice", "genai", "cache"))
            commands = [[*sluice, "--method", "rtn", "--out", out], [*builder, "-o", theirs, "-c", cache]]
            for rows, command in zip(taken.values(), commands, strict=True):
                rows.append(cost(command, log))
    columns = list(next(iter(taken.values()))[0])
    medians = {name: {c: statistics.median(r[c] for r in rows) for c in columns} for name, rows in taken.items()}
    print("| |", " | ".join(columns), "|")
    print("|---" * (1 + len(columns)) + "|")
    for name, row in medians.items():
        print("|", name, "|", " | ".join(f"{row[c]:.1f}" for c in columns), "|")
    ours, theirs = medians.values()
    print("| of ours |", " | ".join(f"{theirs[c] / ours[c]:.1f}" for c in columns), "|")


if __name__ == "__main__":
    main()
