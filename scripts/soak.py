"""Puts a server under mixed load for a while and fails if it loses a request or does not come back to what it was.

    python scripts/soak.py SLUICE [--minutes 60] [--windows 6] [--model NAME=DIR] [--rate 1.5]

In each window requests of mixed lengths arrive at random, some with a shared beginning, while other clients give their
requests up early. After each window, once the server is idle, its memory, goroutines and running requests are
looked at. It fails if a request of the main load fails, if anything still runs, or if memory or goroutines grow from
the second window to the last. Latencies are printed and never judged. The server listens on loopback alone.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request

GROWTH = 1.10  # of memory, from the second window to the last
SLACK = 24 << 20  # bytes that do not count as growth


class Server:
    def __init__(self, sluice, arguments, log):
        self.log = log
        self.process = subprocess.Popen(
            [sluice, "serve", "--grpc-addr", "127.0.0.1:0", "--http-addr", "127.0.0.1:0", "--log-format", "json", *arguments],
            stderr=log,
        )
        for _ in range(600):
            self.check()
            with open(log.name, encoding="utf-8") as f:
                text = f.read()
            grpc, http = (re.search(rf'"{name}_addr":"([^"]*)"', text) for name in ("grpc", "http"))
            if grpc and http:
                self.grpc, self.http = grpc[1], http[1]
                return
            time.sleep(0.1)
        sys.exit("soak: the server was not ready within a minute")

    def check(self):
        if self.process.poll() is not None:
            with open(self.log.name, encoding="utf-8") as f:
                sys.exit(f"soak: the server ended with {self.process.returncode}\n{f.read()[-4000:]}")

    def metrics(self):
        self.check()
        with urllib.request.urlopen(f"http://{self.http}/metrics", timeout=10) as response:
            text = response.read().decode()

        def value(name):
            return sum(float(x) for x in re.findall(rf"^{name}(?:\{{[^}}]*\}})? (\S+)$", text, re.M))

        return {
            "running": value("sluice_requests_running") + value("sluice_requests_waiting"),
            "memory": value("process_resident_memory_bytes"),
            "goroutines": value("go_goroutines"),
        }

    def idle(self):
        """Waits until nothing runs and free slots have given their memory back, which they do after ten seconds."""
        time.sleep(10)
        deadline = time.time() + 60
        before = None
        while time.time() < deadline:
            now = self.metrics()
            if now["running"] == 0 and before and now["memory"] >= before["memory"] and now["goroutines"] >= before["goroutines"]:
                return now
            before = now
            time.sleep(1)
        return self.metrics()


def bench(sluice, server, out, *arguments):
    return subprocess.Popen(
        [sluice, "bench", "--addr", server.grpc, "--json", out, "--warmup", "0", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def window(sluice, server, folder, number, seconds, rate):
    """Runs one window and returns the figures of its main loads."""
    duration = f"{seconds:.0f}s"
    outs = [os.path.join(folder, f"{number}.{i}.json") for i in range(3)]
    seed = ["--seed", str(number + 1), "--duration", duration]
    running = [
        bench(sluice, server, outs[0], *seed, "--mix", "sharegpt-like", "--rate", str(rate), "--prompt-tokens", "120", "--max-tokens", "60"),
        bench(sluice, server, outs[1], *seed, "--shared-prefix", "200", "--rate", str(rate / 3), "--max-tokens", "32", "--temperature", "1"),
        # Clients that give up: their failures are wanted.
        bench(sluice, server, outs[2], *seed, "--concurrency", "2", "--timeout", "400ms", "--max-tokens", "2000"),
    ]
    for process in running:
        process.wait(timeout=seconds + 600)
    server.check()
    levels = []
    for out in outs[:2]:
        with open(out, encoding="utf-8") as f:
            levels.append(json.load(f)["levels"][0])
    return levels


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sluice")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--windows", type=int, default=6)
    parser.add_argument("--rate", type=float, default=1.5)
    parser.add_argument("--model", help="NAME=DIR; the cache's model if absent")
    args = parser.parse_args()
    if args.windows < 3:
        sys.exit("soak: at least 3 windows")

    arguments = ["--prefix-cache-bytes", "64MiB", "--slots", "8"]
    if args.model:
        arguments += ["--model", args.model]
    seen, faults = [], []
    with tempfile.TemporaryDirectory() as folder, open(os.path.join(folder, "log"), "w", encoding="utf-8") as log:
        server = Server(args.sluice, arguments, log)
        for number in range(args.windows):
            levels = window(args.sluice, server, folder, number, args.minutes * 60 / args.windows, args.rate)
            now = server.idle()
            seen.append(now)
            ok, failed = sum(x["ok"] for x in levels), sum(x["failed"] for x in levels)
            main_load = levels[0]
            print(
                f"window {number + 1}: {ok} requests, {failed} failed, first token p95 {main_load['ttft_ms']['p95']:.0f} ms, "
                f"between tokens p95 {main_load['itl_ms']['p95']:.1f} ms; then {now['memory'] / 1e6:.0f} MB, "
                f"{now['goroutines']:.0f} goroutines, {now['running']:.0f} running",
                flush=True,
            )
            if failed or not ok:
                faults.append(f"window {number + 1}: {failed} requests failed, {ok} did not")
            if now["running"]:
                faults.append(f"window {number + 1}: {now['running']:.0f} requests still run")
        server.process.terminate()
        if code := server.process.wait(timeout=60):
            faults.append(f"the server exited with {code}")
    first, last = seen[1], seen[-1]
    if last["memory"] > first["memory"] * GROWTH + SLACK:
        faults.append(f"memory grew from {first['memory'] / 1e6:.0f} to {last['memory'] / 1e6:.0f} MB")
    if last["goroutines"] > first["goroutines"] + 8:
        faults.append(f"goroutines grew from {first['goroutines']:.0f} to {last['goroutines']:.0f}")
    for fault in faults:
        print("soak:", fault)
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
