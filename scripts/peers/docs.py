"""Puts the figures of bench.py into the documentation: tables between markers, and pictures.

    make bench-docs
    python scripts/peers/docs.py FIGURES.json [--docs docs]

A table stands between `<!-- figures: NAME -->` and `<!-- end of figures -->` in docs/benchmarks.md or a page of docs/benchmarks;
pictures and the figures themselves (results.json) go beside the pages. A name that this program does not know is an error; one
whose figures are not there yet leaves what stands between the markers.
"""

import argparse
import glob
import json
import os
import re
import sys

import chart
import growth
import table
from figures import GEMMA, GEMMA_GOALS, median
from ledger import upgraded

MARKED = re.compile(r"(<!-- figures: ([\w-]+) -->\n).*?(<!-- end of figures -->)", re.DOTALL)


def stages(report, *names):
    return any(r["stage"] in names for r in report["results"])


def benchmark(report, name):
    """Returns the figures of a Go benchmark, {} if it is not there."""
    found = (r["figures"] for r in report["results"] if r["stage"] == "roofline" and name in r.get("figures", {}))
    return next(found, {}).get(name, {})


def profile(report, kind):
    return next((r.get(kind) for r in report["results"] if r["peer"] == "profiles"), None)


def roofline_table(report):
    """What a step of one row reads, at the bandwidth measured in the same minutes, and what it takes."""
    bandwidth, size = benchmark(report, "Read/threads=2").get("MB/s"), report.get("bytes") or {}
    if not bandwidth or not size.get("weights"):
        return None
    rows = []

    def add(what, read, takes, speed):
        limit = read / 1e6 / bandwidth * 1e3
        rows.append([what, f"{read / 1e6:.1f}", f"{limit:.2f}", f"{takes:.2f}", speed, f"{100 * limit / takes:.0f} %"])

    def line(what, context, step_ms):
        if step_ms:
            add(what, size["weights"] + context * size["kv_of_a_token"], step_ms, f"{1e3 / step_ms:.0f}")

    def step_ms(context, n):
        return benchmark(report, f"Decode/threads=2/context={context}/rows={n}").get("ns/op", 0) / 1e6

    for context in (128, 1024):
        line(f"a step of one row, context {context:,}", context, step_ms(context, 1))
    for n in (1, 8):  # attention alone
        if step_ms(1024, n) > step_ms(128, n) > 0:
            what = f"what 896 more tokens of context cost {n} row{'s' if n > 1 else ''}"
            add(what, n * 896 * size["kv_of_a_token"], step_ms(1024, n) - step_ms(128, n), "–")
    for workload, context in (("1 stream", 192), ("context 1024, 1 stream", 1088)):
        speeds = [r.get("decode_tokens_per_s") for r in report["results"] if r["stage"] == "rounds" and (r["peer"], r["workload"]) == ("Sluice, no speculation", workload)]
        speed = median(speeds)
        line(f"a token through gRPC, context {context:,} on average", context, speed and 1e3 / speed)
    heads = ["", "MB read", f"at {bandwidth / 1e3:.1f} GB/s, ms", "takes, ms", "tokens/s", "of the limit"]
    return table.markdown(heads, rows)


def steps_table(report):
    """Steps of a session."""
    rows = []
    for context, n in ((128, 1), (128, 4), (128, 8), (128, 16), (1024, 1), (1024, 8)):
        b = benchmark(report, f"Decode/threads=2/context={context}/rows={n}")
        if b:
            rows.append([f"{n} rows, context {context:,}" if n > 1 else f"1 row, context {context:,}", f"{b['ns/op'] / 1e6:.2f}", f"{b['tokens/s']:.0f}", f"{b['allocs/op']:.0f}"])
    for prompts, n in ((1, 16), (1, 64), (1, 128), (1, 512), (4, 128)):
        b = benchmark(report, f"Prefill/threads=2/prompts={prompts}/tokens={n}")
        if b:
            rows.append([f"prefill of {prompts} × {n}" if prompts > 1 else f"prefill of {n}", f"{b['ns/op'] / 1e6:.2f}", f"{b['tokens/s']:.0f}", f"{b['allocs/op']:.0f}"])
    return table.markdown(["", "ms", "tokens/s", "allocations"], rows) if rows else None


def overhead_table(report):
    """What an engine's step takes beside the session's."""
    rows = []
    for n in (1, 16):
        for name, words in (("greedy", "greedy"), ("sampled", "drawn from the 40 most likely")):
            b = benchmark(report, f"EngineOverhead/{name}/rows={n}")
            if b:
                rows.append([f"{n} row{'s' if n > 1 else ''}, {words}", f"{b['µs/run'] / 1e3:.2f}", f"{b['µs-beside']:.0f}", f"{b['%-beside']:.1f} %"])
    return table.markdown(["", "session, ms", "beside it, µs", "share"], rows) if rows else None


def symbols_table(report):
    rows = [[f"`{symbol}`", f"`{dso}`", f"{share:.1f} %"] for share, symbol, dso in profile(report, "symbols") or []]
    return table.markdown(["function", "of", "of the time"], rows, left=2) if rows else None


def self_table(report, kind, unit, head):
    """The leaves of a profile, by what they have themselves."""
    totals: dict[str, float] = {}
    for value, *stack in profile(report, kind) or []:
        totals[stack[-1]] = totals.get(stack[-1], 0) + value
    whole = sum(totals.values())
    top = sorted(totals.items(), key=lambda item: -item[1])[:12]
    rows = [[f"`{name}`", f"{value:,.0f}", f"{100 * value / whole:.1f} %"] for name, value in top]
    return table.markdown([head, unit, "share"], rows) if rows else None


def growth_table(report, peer, head):
    rows = []
    for x, r in growth.series(report["results"], peer).items():
        keys = ("tokens_per_s", "prompt_tokens_per_s", "decode_tokens_per_s", "ttft_ms", "itl_ms", "itl_p95_ms", "e2e_p95_ms", "rss_mb")
        rows.append([f"{x:,}", *(table.number(r.get(key)) for key in keys)])
    heads = [head, "tokens/s", "prefill, tokens/s", "decode, tokens/s", "first token p50, ms", "between tokens, ms", "p95", "whole answer p95, ms", "peak MB"]
    return table.markdown(heads, rows) if rows else None


def several_table(report, names, head):
    """Series side by side: tokens a second, and the time between tokens, by streams."""
    found = {name: growth.series(report["results"], name) for name in names}
    levels = sorted({x for s in found.values() for x in s})
    rows = []
    for name, points in found.items():
        if points:
            cells = [f"{table.number(points[x]['tokens_per_s'])} ({table.number(points[x]['itl_ms'])} ms)" if x in points else "–" for x in levels]
            rows.append([name.removeprefix("vocabulary of "), *cells, table.number(max(p.get("rss_mb") or 0 for p in points.values()) or None)])
    return table.markdown([head, *(f"{x} stream{'s' if x > 1 else ''}" for x in levels), "peak MB"], rows) if rows else None


VOCABULARIES = [f"vocabulary of {n}" for n in growth.VOCABULARIES]


def blocks():
    """Returns {name: a function of the report that gives Markdown, or None if the figures are not there}."""
    found = {
        "about": lambda r: table.about(r),
        "goals": lambda r: table.goals_table(r),
        "open": lambda r: table.open_table(r) if stages(r, "open") else None,
        "clients": lambda r: table.plain_table(r, "clients", table.CLIENTS) if stages(r, "clients") else None,
        "memory": lambda r: table.plain_table(r, "memory", table.MEMORY) if stages(r, "memory") else None,
        "failures": lambda r: table.failures_list(r),
        "concurrency": lambda r: growth_table(r, "concurrency", "streams"),
        "context": lambda r: growth_table(r, "context", "context"),
        "vocabulary": lambda r: several_table(r, VOCABULARIES, "vocabulary"),
        "replicas": lambda r: several_table(r, list(growth.REPLICAS), ""),
        "roofline": roofline_table,
        "steps": steps_table,
        "overhead": overhead_table,
        "symbols": symbols_table,
        "cpu": lambda r: self_table(r, "cpu", "ms", "function"),
        "heap": lambda r: self_table(r, "heap", "KB", "allocated by"),
    }
    for name, (_, workload, key, unit) in table.WORKLOADS.items():
        found[name] = lambda r, w=workload, k=key, u=unit: workload_block(r, w, k, u)
    for name in table.GEMMA_WORKLOADS:
        _, workload, key, unit = table.WORKLOADS[name]
        found[f"gemma-{name}"] = lambda r, w=workload, k=key, u=unit: workload_block(r, w, k, u, "gemma")
    found |= {
        "gemma-about": lambda r: table.about(r, "gemma") if stages(r, "gemma") else None,
        "gemma-goals": lambda r: table.goals_table(r, GEMMA_GOALS) if stages(r, "gemma") else None,
        "gemma-weights": lambda r: weights_block(r, GEMMA),
        "gemma-failures": lambda r: table.failures_list(r, GEMMA) if stages(r, "gemma") else None,
    }
    return found


def workload_block(report, workload, key, unit, stage="rounds"):
    if not any(r["stage"] == stage and r["workload"] == workload and r.get(key) for r in report["results"]):
        return None
    return table.workload_table(report["results"], workload, key, unit, report["failures"], stage)


def weights_block(report, model):
    of = [q for q in report["quality"] if q.get("model", "") == model]
    return table.quality_table(of) if of else None


PICTURES = ("concurrency-throughput", "concurrency-latency", "context", "context-prefill", "vocabulary", "replicas", "open-loop", "cpu", "heap")


def pictures(report):
    """Returns {file name: SVG} of what is there, of PICTURES."""
    found = {}

    def of(peer, **keys):
        points = growth.series(report["results"], peer)
        return {name: {x: r.get(key) for x, r in points.items()} for name, key in keys.items()}

    if growth.series(report["results"], "concurrency"):
        found["concurrency-throughput.svg"] = chart.lines("Throughput", "streams", "tokens/s", of("concurrency", throughput="tokens_per_s"), log=True)
        latency = of("concurrency", **{"first token p50": "ttft_ms", "between tokens": "itl_ms", "between tokens p95": "itl_p95_ms"})
        found["concurrency-latency.svg"] = chart.lines("Latency", "streams", "ms", latency, log=True)
    if growth.series(report["results"], "context"):
        found["context.svg"] = chart.lines("Decoding, one stream", "context, tokens", "tokens/s", of("context", decode="decode_tokens_per_s"))
        found["context-prefill.svg"] = chart.lines("Prefill, one prompt", "prompt, tokens", "tokens/s", of("context", prefill="prompt_tokens_per_s"))
    sizes = {n: growth.series(report["results"], f"vocabulary of {n}") for n in growth.VOCABULARIES}
    if any(sizes.values()):
        lines = {f"{s} stream{'s' if s > 1 else ''}": {n: points[s]["tokens_per_s"] for n, points in sizes.items() if s in points} for s in (1, 16)}
        found["vocabulary.svg"] = chart.lines("Vocabulary", "tokens in the vocabulary", "tokens/s", lines)
    replicas = {name: {x: r["tokens_per_s"] for x, r in growth.series(report["results"], name).items()} for name in growth.REPLICAS}
    if any(replicas.values()):
        found["replicas.svg"] = chart.lines("Replicas", "streams", "tokens/s", replicas)
    if stages(report, "open"):
        lines = {}
        for r in (r for r in report["results"] if r["stage"] == "open"):
            lines.setdefault(r["peer"], {})[r["rate"]] = min(r["ttft_p95_ms"], 5000)
        found["open-loop.svg"] = chart.lines("Open loop: p95 of the time to first token (cut off at 5 s)", "arrivals a second", "ms", lines)
    if cpu := profile(report, "cpu"):
        found["cpu.svg"] = chart.flame("Processor time of the Go side, 16 streams", "ms", cpu)
    if heap := profile(report, "heap"):
        found["heap.svg"] = chart.flame("Go's memory in use, 16 streams", "KB", heap)
    return found


def fill(text, report, known):
    """Returns a page with its marked tables replaced, and the names of those whose figures are not there."""
    missing = []

    def block(match):
        if match[2] not in known:
            sys.exit(f"no figures are called {match[2]}")
        made = known[match[2]](report)
        if made is None:
            missing.append(match[2])
            return match[0]
        return f"{match[1]}\n{made}\n{match[3]}"

    return MARKED.sub(block, text), missing


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("figures")
    parser.add_argument("--docs", default="docs")
    args = parser.parse_args()
    with open(args.figures, encoding="utf-8") as f:
        report = upgraded(json.load(f))
    folder, known = os.path.join(args.docs, "benchmarks"), blocks()
    os.makedirs(folder, exist_ok=True)
    for path in [os.path.join(args.docs, "benchmarks.md"), *sorted(glob.glob(os.path.join(folder, "*.md")))]:
        with open(path, encoding="utf-8") as f:
            old = f.read()
        new, missing = fill(old, report, known)
        if new != old:
            with open(path, "w", encoding="utf-8") as f:
                f.write(new)
        print(f"{path}: {'new figures' if new != old else 'as it was'}{'; not measured: ' + ', '.join(missing) if missing else ''}")
    made = pictures(report)
    for name in (f"{name}.svg" for name in PICTURES):
        if name not in made and os.path.exists(os.path.join(folder, name)):
            continue  # of an earlier run
        with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
            f.write(made.get(name) or chart.lines(name.removesuffix(".svg"), "", "", {}))
    with open(os.path.join(folder, "results.json"), "w", encoding="utf-8") as f:
        json.dump(report, f, ensure_ascii=False, separators=(",", ":"))
        f.write("\n")


if __name__ == "__main__":
    main()
