"""How near a step comes to what memory allows, what a step costs beside the model's run, and where a server's time and memory go."""

import contextlib
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import time
import urllib.request
from dataclasses import replace

from load import bench, closed, free_port
from peers import Sluice

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PACKAGES = {"kernels": "inference/ort/kernels", "ort": "inference/ort"}
# Package, benchmarks, options.
BENCHMARKS = [
    ("kernels", "Read", ("-test.count", "3")),
    ("ort", "Decode/threads=2", ("-test.count", "3", "-test.benchtime", "300ms")),
    ("ort", "Prefill/threads=2", ("-test.benchtime", "300ms")),
    ("ort", "StepOverhead", ()),
    ("ort", "EngineOverhead", ("-test.benchtime", "1x")),
]


def program(store, package):
    return store.path(f"{package}.test")


def prepare(store, _sluice):
    for name, package in PACKAGES.items():
        subprocess.run(["go", "test", "-c", "-o", program(store, name), "./" + package], cwd=ROOT, check=True)


def parse(text):
    """Returns {benchmark: {unit: median}} of the output of Go's benchmarks."""
    found: dict[str, dict[str, list[float]]] = {}
    for line in text.splitlines():
        match = re.match(r"Benchmark(\S+?)(?:-\d+)?\s+\d+\s+(.*)", line)
        if not match:
            continue
        words = match[2].split()
        for value, unit in zip(words[::2], words[1::2], strict=False):
            found.setdefault(match[1], {}).setdefault(unit, []).append(float(value))
    return {name: {unit: statistics.median(values) for unit, values in units.items()} for name, units in found.items()}


def weight_bytes(folder):
    """Returns the bytes of weights that a step reads, as the kernels pack the default form; None for another form.

    Products of Q4_1 blocks: half a byte and, of 32, two binary16 each. The head: a byte and one of them.
    """
    with open(os.path.join(folder, "sluice.json"), encoding="utf-8") as f:
        c = json.load(f)
    if c.get("quantization") != "q4_1":
        return None
    query, kv = c["heads"] * c["head_size"], c["kv_heads"] * c["head_size"]
    layer = c["hidden_size"] * (query + 2 * kv) + query * c["hidden_size"] + 3 * c["hidden_size"] * c["intermediate_size"]
    return round(c["layers"] * layer * (1 / 2 + 4 / 32) + c["vocab_size"] * c["hidden_size"] * (1 + 2 / 32))


def kv_bytes(folder):
    """Returns the bytes of keys and values of a token, of 16 bits each."""
    with open(os.path.join(folder, "sluice.json"), encoding="utf-8") as f:
        c = json.load(f)
    return c["layers"] * 2 * c["kv_heads"] * c["head_size"] * 2


def measure(run, folder, quick):
    ledger, store = run.ledger, run.setup.store
    for package, name, options in BENCHMARKS[:1] if quick else BENCHMARKS:
        if ledger.has("roofline", package, name):
            continue
        print(f"roofline: {name}", file=sys.stderr, flush=True)
        command = [program(store, package), "-test.run", "^$", "-test.bench", name, "-test.timeout", f"{run.setup.timeout:g}s", *options]
        try:
            done = subprocess.run(command, cwd=os.path.join(ROOT, PACKAGES[package]), capture_output=True, text=True, check=True)
            ledger.add("roofline", package, name, {"figures": parse(done.stdout)})
        except (OSError, subprocess.CalledProcessError) as e:
            ledger.fail("roofline", name, str(e))
    ledger.report["bytes"] = {"weights": weight_bytes(folder), "kv_of_a_token": kv_bytes(folder)}
    if not ledger.has("roofline", "profiles", "16 streams"):
        print("roofline: profiles", file=sys.stderr, flush=True)
        try:
            ledger.add("roofline", "profiles", "16 streams", profiles(run, folder, 2 if quick else 8))
        except (OSError, ValueError, subprocess.SubprocessError) as e:
            ledger.fail("roofline", "profiles", str(e))
    ledger.write()


def profiles(run, folder, seconds):
    """Takes profiles of a server under load: Go's own of processor and memory, and the processor's of all threads if perf is there."""
    setup, admin = replace(run.setup, slots=16, context=256), f"127.0.0.1:{free_port()}"
    peer, found = Sluice("profiled", folder, "--no-speculation", "--admin-addr", admin), {}
    with peer.serving(setup) as (process, address):
        where = ("--addr", address)
        bench(setup, 1, where, *closed(16, 16, 64, 8))
        command = [setup.sluice, "bench", *where, "--concurrency", "16", "--requests", "100000", "--log-level", "error"]
        load = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            time.sleep(1)
            found["cpu"] = traces(setup, f"http://{admin}/debug/pprof/profile?seconds={seconds}", "cpu")
            found["heap"] = traces(setup, f"http://{admin}/debug/pprof/heap", "inuse_space")
            with contextlib.suppress(OSError, subprocess.SubprocessError):
                found["symbols"] = symbols(setup, process.pid, seconds)
        finally:
            load.terminate()
            load.wait()
    return found


def traces(setup, url, index):
    """Fetches a profile and returns [value, stack from the root] by value, in ms or KB."""
    path = setup.store.path(f"{index}.pprof")
    with urllib.request.urlopen(url, timeout=120) as response, open(path, "wb") as f:
        shutil.copyfileobj(response, f)
    unit = {"cpu": "ms"}.get(index, "kb")
    command = ["go", "tool", "pprof", "-traces", f"-sample_index={index}", f"-unit={unit}", path]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return collapse(text)[:250]


def collapse(text):
    """Reads the output of pprof -traces."""
    totals: dict[tuple[str, ...], float] = {}
    value, stack = 0.0, []

    def close():
        if stack:
            key = tuple(stack[::-1])
            totals[key] = totals.get(key, 0) + value
        stack.clear()

    for line in text.splitlines():
        if line.startswith("-----------+"):
            close()
            continue
        match = re.match(r" +([\d.]+)[a-zA-Z]+   (\S.*)$", line)
        if match:
            close()
            value = float(match[1])
            stack.append(match[2].strip())
        elif stack and line.startswith("             "):
            stack.append(line.strip())
    close()
    return [[round(v, 2), *key] for key, v in sorted(totals.items(), key=lambda item: -item[1]) if v > 0]


def symbols(setup, pid, seconds):
    """Returns [share, symbol, object] of the process's threads by perf, twenty of them."""
    data = setup.store.path("perf.data")
    quiet = {"check": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run(["perf", "record", "-F", "299", "-p", str(pid), "-o", data, "--", "sleep", str(seconds)], **quiet)
    command = ["perf", "report", "-i", data, "--stdio", "--no-children", "-s", "symbol,dso"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return merged(text)[:20]


def merged(text):
    """Reads the output of perf report; what has no symbol is one line an object."""
    totals: dict[tuple[str, str], float] = {}
    for share, symbol, dso in re.findall(r"^ +([\d.]+)% +\[[.k]\] (\S+) +(\S+)", text, re.MULTILINE):
        key = ("(no symbol)" if symbol.startswith("0x") else symbol, os.path.basename(dso))
        totals[key] = totals.get(key, 0) + float(share)
    return [[round(share, 2), *key] for key, share in sorted(totals.items(), key=lambda item: -item[1])]
