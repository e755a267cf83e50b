"""How Sluice's cost grows: with concurrency, context, vocabulary and replicas; without speculation, which hangs on the text."""

import contextlib
import json
import os
import shutil
import struct
from dataclasses import replace

import install
from load import Workload
from peers import Sluice

CONCURRENCY = (1, 2, 4, 8, 16, 32, 64)
CONTEXTS = (128, 512, 1024, 2048, 4096, 8000)
VOCABULARIES = (49152, 100352, 151936)
REPLICAS = {"1 replica of 1 thread": ("cpu:threads=1",), "1 replica of 2 threads": ("cpu:threads=2",), "2 replicas of 1 thread": ("cpu:threads=1",) * 2}


def streams(n, each=1):
    return Workload(f"{n} streams", 128, 128, n, each)


def widened(store, size, sluice=None):
    """Returns the default model with rows of its embedding and head repeated to a vocabulary of that size, as int4 blocks."""
    folder, work = store.path(f"vocabulary-{size}"), store.path("vocabulary-source")

    def make():
        try:
            widen(install.checkpoint(store), install.fresh(work), size)
            store.run("vocabulary", sluice, "convert", work, "--out", install.fresh(folder), "--quantize", "int4", "--method", "rtn")
        finally:
            shutil.rmtree(work, ignore_errors=True)

    if sluice:
        store.once(f"vocabulary-{size}", size, make)
    return folder


def widen(source, out, size):
    """Writes a checkpoint with a larger vocabulary."""
    shutil.copytree(source, out, ignore=shutil.ignore_patterns("*.safetensors"))
    path = os.path.join(out, "config.json")
    with open(path, encoding="utf-8") as f:
        config = json.load(f)
    config["vocab_size"] = size
    with open(path, "w", encoding="utf-8") as f:
        json.dump(config, f)
    with open(os.path.join(source, "model.safetensors"), "rb") as f, open(os.path.join(out, "model.safetensors"), "wb") as g:
        (length,) = struct.unpack("<Q", f.read(8))
        header, begin = json.loads(f.read(length)), 8 + length
        header.pop("__metadata__", None)
        places, end = {name: t["data_offsets"] for name, t in header.items()}, 0
        for name, tensor in header.items():
            size_of = places[name][1] - places[name][0]
            if wide(name):
                size_of = size_of // tensor["shape"][0] * size
                tensor["shape"][0] = size
            tensor["data_offsets"] = [end, end + size_of]
            end += size_of
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        g.write(struct.pack("<Q", len(text)) + text)
        for name, (first, last) in places.items():
            f.seek(begin + first)
            data, (to, until) = f.read(last - first), header[name]["data_offsets"]
            whole, rest = divmod(until - to, len(data))
            g.write(data * whole + data[:rest])


def wide(name):
    return name in ("model.embed_tokens.weight", "lm_head.weight")


def prepare(store, sluice):
    for size in VOCABULARIES:
        widened(store, size, sluice)


def measure(run, folder, quick):
    """Measures all four into the run's ledger, stage growth; the peer is what grows."""

    def visit(name, where, setup, workloads, *flags):
        peer = Sluice(name, where, "--no-speculation", *flags)
        run.visit("growth", peer, replace(run.setup, **setup), workloads)

    levels = (1, 2) if quick else CONCURRENCY
    visit("concurrency", folder, {"slots": max(levels), "context": 256}, [streams(n, max(4 // n, 1)) for n in levels])
    contexts = (32, 64) if quick else CONTEXTS
    long = [Workload(f"context {n}", n, 64, 1, 1, decode=True) for n in contexts]
    visit("context", folder, {"slots": 1, "context": max(contexts) + 64, "keep": 3 * max(contexts)}, long)
    for size in VOCABULARIES:
        levels = (1,) if quick else (1, 16)
        if os.path.exists(where := widened(run.setup.store, size)):
            visit(f"vocabulary of {size}", where, {"slots": 16, "context": 256}, [streams(n, max(3 // n, 1)) for n in levels])
    for name, devices in REPLICAS.items():
        flags = [part for device in devices for part in ("--device", device)]
        levels = (2,) if quick else (1, 4, 16)
        visit(name, folder, {"slots": 16, "context": 256}, [streams(n, max(4 // n, 1)) for n in levels], *flags)


def series(results, peer):
    """Returns the results of a series by the number in their workload's name."""
    found = {}
    for r in results:
        if r["stage"] == "growth" and r["peer"] == peer:
            with contextlib.suppress(StopIteration):
                found[next(int(word) for word in r["workload"].split() if word.isdigit())] = r
    return dict(sorted(found.items()))
