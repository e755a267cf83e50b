"""The figures as Markdown: tables with medians, ranges, and how many times a peer's figure Sluice's is."""

import statistics

from figures import GEMMA, GEMMA_GOALS, GOALS, WAYS, best_level, kl, median, model_of, rounds_of

OURS = tuple(WAYS.values())


def number(x):
    if x is None:
        return "–"
    if abs(x) >= 100:
        return f"{x:,.0f}"
    return f"{x:.3g}"


def spread(values):
    """Returns the median and, of several values, their range."""
    values = [v for v in values if v is not None]
    if not values:
        return "–"
    text = number(statistics.median(values))
    return text + (f" ({number(min(values))}–{number(max(values))})" if len(values) > 1 else "")


def row(cells):
    return "| " + " | ".join(cells) + " |"


def markdown(heads, rows, left=1):
    """Returns a table whose first columns are words."""
    marks = ["---"] * left + ["---:"] * (len(heads) - left)
    return "\n".join([row(heads), row(marks), *map(row, rows)]) + "\n"


def loss(peer, model):
    value = kl(peer, model)
    return "–" if value is None else "0" if value == 0 else f"{value:.4f}"


def peers_of(results):
    """Returns the peers' names as they came first, Sluice's in front."""
    names = list(dict.fromkeys(r["peer"] for r in results))
    return [n for n in names if n.startswith("Sluice")] + [n for n in names if not n.startswith("Sluice")]


def faults(mine):
    """What went wrong in the measurements, to stand behind the speed."""
    return "".join(f", {n} {key}" for key in ("failed", "short") if (n := sum(r.get(key) or 0 for r in mine)))


def times(results, workload, peer, key, ours, stage="rounds"):
    """Returns how many times the peer's figure ours is: the median of the rounds' own ratios."""
    mine, theirs = (rounds_of(results, workload, name, key, stage) for name in (ours, peer))
    return median([mine[n] / theirs[n] for n in mine.keys() & theirs.keys() if theirs[n]])


def workload_table(results, workload, key, unit, failures=(), stage="rounds"):
    """A table of one workload of the rounds, or of another stage that has rounds."""
    here = [r for r in results if r["stage"] == stage and r["workload"] == workload]
    rows = []
    for peer in peers_of(here):
        mine = [r for r in here if r["peer"] == peer]
        ratios = ["" if peer in OURS else number(times(here, workload, peer, key, ours, stage)) for ours in OURS]
        cells = [peer, spread([r.get(key) for r in mine]) + faults(mine), *ratios, loss(peer, model_of(stage))]
        cells.append(number(median([r.get("ttft_ms") for r in mine])) if key != "decode_tokens_per_s" else
                     number(median([r.get("prompt_tokens_per_s") for r in mine])))  # fmt: skip
        if key != "prompt_tokens_per_s":
            cells.append(number(median([r.get("itl_ms") for r in mine])))
        cells += [str(len(mine)), number(max((r.get("foreign_cores") or 0 for r in mine), default=None))]
        rows.append(cells)
    for f in failures:
        if f["workload"] == workload and f.get("model", "") == model_of(stage):
            rows.append([f["peer"], f["reason"]])
    heads = ["", unit, "Sluice is × of it", *list(WAYS)[1:], "KL"]
    heads.append("prefill, tokens/s" if key == "decode_tokens_per_s" else "first token, ms")
    if key != "prompt_tokens_per_s":
        heads.append("between tokens, ms")
    heads += ["rounds", "others' cores"]
    return markdown(heads, [cells + ["–"] * (len(heads) - len(cells)) for cells in rows])


def goals_table(report, goals=GOALS):
    """What the project set out to reach, against the best peer of each line."""
    rows = []
    for goal in goals:
        best, theirs, ours = goal.judge(report["results"])
        if best is None:
            rows.append([goal.work, "not measured", *["–"] * len(WAYS), goal.asked, "–"])
            continue
        cells = [goal.work, f"{best}, {number(theirs)} {goal.unit}"]
        for value, ratio in ours:
            cells.append("–" if ratio is None else f"{number(value)}: {ratio:.2f} ×")
        reached = [ratio is not None and goal.reached(ratio) for _, ratio in ours]
        cells += [goal.asked, "yes" if reached[1] else "`row8`" if reached[2] else "with speculation" if reached[0] else "no"]
        rows.append(cells)
    return markdown(["work", "best peer", *WAYS, "goal", "reached"], rows)


def open_table(report):
    """The open loop: what each server keeps up with."""
    results = [r for r in report["results"] if r["stage"] == "open"]
    rows = []
    for peer in peers_of(results):
        for r in sorted((r for r in results if r["peer"] == peer), key=lambda r: r["rate"]):
            mark = " **" if r is best_level(results, peer) else " "
            cells = [number(r["rate"]), number(r["ttft_ms"]), number(r["ttft_p95_ms"]), number(r["itl_ms"]), number(r["tokens_per_s"]), number(r["goodput_per_s"])]
            rows.append([peer, *((mark + c + mark.strip()).strip() for c in cells), str(r.get("requests", "–"))])
    heads = ["", "arrivals/s", "first token p50, ms", "p95, ms", "between tokens, ms", "tokens/s", "goodput, requests/s", "requests"]
    return markdown(heads, rows)


def plain_table(report, stage, columns):
    """A table of a stage that has one figure for each peer; columns: head → key."""
    results = [r for r in report["results"] if r["stage"] == stage]
    rows = []
    for peer in peers_of(results):
        mine = [r for r in results if r["peer"] == peer]
        rows.append([peer, loss(peer, model_of(stage)), *(spread([r.get(key) for r in mine]) for key in columns.values())])
    return markdown(["", "KL", *columns], rows)


def failures_list(report, model=""):
    """What a model's peers did not do; a failure that stands in a table of its workload is not named again."""
    shown = {r["workload"] for r in report["results"] if model_of(r["stage"]) == model}
    broken = [f for f in report["failures"] if f.get("model", "") == model and (f["workload"] is None or f["workload"] not in shown)]
    return "\n".join(f"- {f['peer']}{', ' + f['workload'] if f['workload'] else ''}: {f['reason']}" for f in broken) + "\n" if broken else "Nothing failed.\n"


def quality_table(quality):
    """How far the weights are from float32."""
    rows = [[q["peer"], q["weights"], f"{q['kl']:.4f}", f"{q['same_top']} %", f"{q['perplexity']:.2f}"] for q in quality]
    return markdown(["", "weights", "KL", "same best token", "perplexity"], rows, left=2)


def about(report, stage="rounds"):
    """On what machine, when and with which versions a stage's model was measured."""
    model = model_of(stage)
    mine = [r for r in report["results"] if model_of(r["stage"]) == model]
    rounds = max((r["round"] for r in mine if r["stage"] == stage), default=0)
    days = sorted({r["date"] for r in mine})
    when = " to ".join(dict.fromkeys([*days[:1], *days[-1:]]))
    builds = " + ".join(dict.fromkeys(part for r in mine for part in r["build"].split(" + ")))
    versions = ", ".join(f"{k} {v}" for k, v in {"sluice": builds, **report["versions"].get(model, {})}.items())
    return f"{report['machine']}; {report['threads']} threads, {rounds} interleaved rounds, {when}.\n\nVersions: {versions}.\n"


WORKLOADS = {  # of the rounds: title, workload, figure, unit
    "decode": ("Decoding alone, prompt 128, 1 stream", "1 stream", "decode_tokens_per_s", "tokens/s"),
    "chat-1": ("1 stream", "1 stream", "tokens_per_s", "tokens/s"),
    "chat-8": ("8 streams", "8 streams", "tokens_per_s", "tokens/s"),
    "chat-16": ("16 streams", "16 streams", "tokens_per_s", "tokens/s"),
    "prefill-512": ("A prompt of 512", "prefill of 512", "prompt_tokens_per_s", "prompt tokens/s"),
    "prefill-16": ("16 prompts of 128 at once", "prefill of 16 × 128", "prompt_tokens_per_s", "prompt tokens/s"),
    "long-1": ("Context 1,024, 1 stream", "context 1024, 1 stream", "decode_tokens_per_s", "tokens/s"),
    "long-8": ("Context 1,024, 8 streams", "context 1024, 8 streams", "decode_tokens_per_s", "tokens/s"),
}
GEMMA_WORKLOADS = ("decode", "chat-1", "chat-8", "chat-16", "prefill-512")
CLIENTS = {"tokens/s": "tokens_per_s", "whole answer p95, ms": "e2e_p95_ms", "first token p50, ms": "ttft_ms"}
MEMORY = {"peak MB": "rss_mb", "tokens/s": "tokens_per_s"}


def document(report):
    """All tables, for bin/peers.md."""
    parts = ["# Peers\n", about(report), "## Goals\n", goals_table(report)]
    results = report["results"]
    for title, workload, key, unit in WORKLOADS.values():
        if any(r["workload"] == workload for r in results):
            parts += [f"## {title}\n", workload_table(results, workload, key, unit, report["failures"])]
    known = {workload for _, workload, _, _ in WORKLOADS.values()}
    for workload in dict.fromkeys(r["workload"] for r in results if r["stage"] == "rounds" and r["workload"] not in known):  # of --quick
        parts += [f"## {workload}\n", workload_table(results, workload, "tokens_per_s", "tokens/s", report["failures"])]
    parts += ["## Open loop\n", open_table(report), "## 16 clients\n", plain_table(report, "clients", CLIENTS)]
    parts += ["## Memory\n", plain_table(report, "memory", MEMORY)]
    if report["quality"]:
        parts += ["## Weights\n", quality_table(report["quality"])]
    parts += ["## What failed\n", failures_list(report)]
    if any(r["stage"] == "gemma" for r in results):
        parts += ["# Gemma 3 270M\n", about(report, "gemma"), "## Goals\n", goals_table(report, GEMMA_GOALS)]
        for title, workload, key, unit in (WORKLOADS[name] for name in GEMMA_WORKLOADS):
            parts += [f"## {title}\n", workload_table(results, workload, key, unit, report["failures"], "gemma")]
        parts += ["## What failed\n", failures_list(report, GEMMA)]
    return "\n".join(parts)
