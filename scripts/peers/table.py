"""The results as Markdown: a table for each workload, with medians, ranges and ratios to Sluice."""

import statistics


def number(x):
    if x is None:
        return "–"
    if abs(x) >= 100:
        return f"{x:.0f}"
    return f"{x:.3g}"


def median_and_range(values):
    values = [v for v in values if v is not None]
    if not values:
        return "–"
    text = number(statistics.median(values))
    if len(values) > 1:
        text += f" ({number(min(values))}–{number(max(values))})"
    return text


def median(values):
    values = [v for v in values if v is not None]
    return statistics.median(values) if values else None


def row(cells):
    return "| " + " | ".join(cells) + " |"


RATIO = "of Sluice's"


def columns(workload):
    """The columns of figures: a head, and what it is of a peer's results."""

    def spread(key):
        return lambda mine: median_and_range([r.get(key) for r in mine])

    heads = {"prompt tokens/s" if workload.prefill else "tokens/s": lambda mine: spread("tokens_per_s")(mine) + faults(mine)}
    heads[RATIO] = lambda mine: ""  # filled in by the table
    heads["TTFT p50, ms"] = spread("ttft_ms")
    if workload.rate:
        heads["TTFT p95, ms"] = spread("ttft_p95_ms")
        heads["goodput, requests/s"] = spread("goodput_per_s")
    if not workload.prefill:
        heads["ITL p50, ms"] = spread("itl_ms")
    heads["peak MB"] = lambda mine: number(median([r.get("rss_mb") for r in mine]))
    heads["others' cores"] = lambda mine: number(max((r["foreign_cores"] or 0 for r in mine), default=None))
    return heads


def faults(mine):
    """What went wrong in the measurements, to stand behind the speed."""
    text = ""
    for key in ("failed", "short"):
        if n := sum(r.get(key) or 0 for r in mine):
            text += f", {n} {key}"
    return text


def workload_table(workload, peers, results, failures):
    """A table of one workload. results: dictionaries with peer, workload and figures."""
    asked = f"{workload.streams} at a time" if not workload.rate else f"{workload.rate:g} random arrivals a second"
    lengths = f"Prompts of {workload.prompt}, answers of {workload.answer}"
    if workload.rate:
        lengths = f"ShareGPT-like lengths about {workload.prompt} and {workload.answer}"
    lines = [f"### {workload.name}", "", f"{lengths}, {asked}.", ""]
    heads = columns(workload)
    lines.append(row(["", "weights", "through", *heads]))
    lines.append(row(["---"] * 3 + ["---:"] * len(heads)))
    base = {}  # Sluice's speed in each round
    for peer in peers:
        if not peer.takes(workload):
            continue
        mine = [r for r in results if r["peer"] == peer.name and r["workload"] == workload.name]
        if not mine:
            reason = failures.get((peer.name, workload.name)) or ((peer.name, None) in failures and "see below")
            lines.append(row([peer.name, peer.weights, peer.through, reason or "not measured"] + ["–"] * (len(heads) - 1)))
            continue
        if peer is peers[0]:
            base = {r["round"]: r["tokens_per_s"] for r in mine}
        ratio = median([r["tokens_per_s"] / base[r["round"]] for r in mine if base.get(r["round"])])
        cells = [("–" if ratio is None else f"{ratio:.2f}") if head == RATIO else cell(mine) for head, cell in heads.items()]
        lines.append(row([peer.name, peer.weights, peer.through, *cells]))
    return "\n".join(lines) + "\n"


def quality_table(quality):
    """How far the weights are from float32."""
    lines = ["### Weights", "", f"Against the same weights in float32, {quality[0]['positions']} positions of one text.", ""]
    lines += [row(["", "weights", "KL", "same best token", "perplexity"]), row(["---"] * 2 + ["---:"] * 3)]
    for q in quality:
        lines.append(row([q["peer"], q["weights"], f"{q['kl']:.4f}", f"{q['same_top']} %", f"{q['perplexity']:.2f}"]))
    return "\n".join(lines) + "\n"


def document(report, peers, workloads, results, quality, failures):
    parts = [
        "# Peers\n",
        f"{report['machine']}; {report['rounds']} interleaved rounds, {report['threads']} threads, {report['date']}. "
        "Medians with the range of the rounds; ratios are medians of the rounds' own. All start from the same GGUF.\n",
        "Servers are put under load by `sluice bench`, which runs on the same processors; what runs in process has no "
        "server and no client to pay for and gets all prompts of a batch at once. Tokens a second are those of the answers "
        "of all streams together, their prefill included. The last column is how many cores other programs of the machine "
        "kept busy, at worst.\n",
        "Versions: " + ", ".join(f"{k} {v}" for k, v in report["versions"].items()) + ".\n",
    ]
    parts += [workload_table(w, peers, results, failures) for w in workloads]
    if quality:
        parts.append(quality_table(quality))
    broken = {peer: reason for (peer, workload), reason in failures.items() if workload is None}
    if broken:
        parts.append("### What failed\n\n" + "\n".join(f"- {p}: {r}" for p, r in broken.items()) + "\n")
    return "\n".join(parts)
