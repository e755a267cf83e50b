#!/usr/bin/env python3
"""Draws one trace of a --trace-file as an SVG: every span a row, and below them the batch's steps that it took part in.

    bin/sluice serve --trace-file trace.jsonl & bin/sluice generate "Name three rivers."
    scripts/trace_picture.py trace.jsonl --out trace.svg

Without --trace it takes the last trace that has a decode span. Needs nothing but Python."""

import argparse
import html
import json
import sys

ROW, LEFT, WIDTH, TOP = 19, 300, 760, 58
COLORS = {"tokenize": "#8e7cc3", "queue": "#b0b0b0", "prefill": "#e69138", "decode": "#3d85c6", "detokenize": "#6aa84f",
          "engine.step": "#cc4125"}
RPC, OPERATION = "#45818e", "#134f5c"


def read(path):
    """Returns the spans of a file of one OTLP/JSON TracesData a line, attributes as a plain dict."""
    spans = []
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            for resource in json.loads(line)["resourceSpans"]:
                for scope in resource["scopeSpans"]:
                    for span in scope["spans"]:
                        span["from"], span["to"] = int(span["startTimeUnixNano"]), int(span["endTimeUnixNano"])
                        span["with"] = {a["key"]: next(iter(a["value"].values()), "") for a in span.get("attributes", [])}
                        spans.append(span)
    return spans


def choose(spans, trace):
    """Returns the spans of a trace, as a reader goes through the tree, and those of the steps that link to it."""
    if trace is None:
        decodes = [s for s in spans if s["name"] == "decode"]
        if not decodes:
            sys.exit("no trace in the file has a decode span: was the request sampled?")
        trace = max(decodes, key=lambda s: s["to"])["traceId"]
    own = sorted((s for s in spans if s["traceId"] == trace), key=lambda s: (s["from"], -s["to"]))
    if not own:
        sys.exit(f"the file has no trace {trace}")
    ids, tree = {s["spanId"] for s in own}, []

    def walk(parent, depth):
        for span in own:
            above = span.get("parentSpanId", "")
            if above == parent if depth else above not in ids:
                span["depth"] = depth
                tree.append(span)
                walk(span["spanId"], depth + 1)

    walk(None, 0)
    steps = [s for s in spans if s["name"] == "engine.step" and any(link["traceId"] == trace for link in s.get("links", []))]
    return tree, sorted(steps, key=lambda s: s["from"])


def color(span):
    if span["name"] in COLORS:
        return COLORS[span["name"]]
    return RPC if span.get("kind") == 2 else OPERATION


def note(span):
    """Returns what a row says beside its bar."""
    took = (span["to"] - span["from"]) / 1e6
    parts = [f"{took:.1f} ms" if took >= 0.1 else f"{took * 1e3:.0f} µs"]
    for key, label in (("gen_ai.usage.input_tokens", "input tokens"), ("gen_ai.usage.output_tokens", "output tokens"),
                       ("sluice.token.index", "token"), ("sluice.tokens", "tokens"), ("sluice.cached_tokens", "cached"),
                       ("sluice.batch.size", "batch"), ("sluice.context.length", "context")):
        value = span["with"].get(key)
        if value is not None and not (label == "tokens" and value == "1"):
            parts.append(f"{label} {value}" if label in ("token", "batch", "context") else f"{value} {label}")
    return ", ".join(parts)


def draw(tree, steps):
    start, end = min(s["from"] for s in tree), max(s["to"] for s in tree)
    scale = WIDTH / (end - start)
    rows = len(tree) + (1 if steps else 0)
    height = TOP + rows * ROW + 34
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + 20}" height="{height}" '
           f'font-family="Helvetica, Arial, sans-serif" font-size="11">',
           f'<rect width="100%" height="100%" fill="#ffffff"/>',
           f'<text x="12" y="22" font-size="14" font-weight="bold">Trace {tree[0]["traceId"]}</text>',
           f'<text x="12" y="40" fill="#555">{len(tree)} spans, {(end - start) / 1e6:.1f} ms; below them the '
           f'{len(steps)} engine.step spans that link to it</text>']
    for i in range(6):
        x = LEFT + WIDTH * i / 5
        out.append(f'<line x1="{x:.1f}" y1="{TOP - 4}" x2="{x:.1f}" y2="{height - 24}" stroke="#dddddd"/>')
        out.append(f'<text x="{x:.1f}" y="{height - 10}" text-anchor="middle" fill="#555">{(end - start) * i / 5e6:.0f} ms</text>')

    def bar(span, y):
        x, w = LEFT + (span["from"] - start) * scale, max(1.5, (span["to"] - span["from"]) * scale)
        out.append(f'<rect x="{x:.1f}" y="{y + 3}" width="{w:.1f}" height="{ROW - 6}" rx="2" fill="{color(span)}">'
                   f'<title>{html.escape(json.dumps(span["with"], ensure_ascii=False))}</title></rect>')
        return x, w

    for i, span in enumerate(tree):
        y = TOP + i * ROW
        out.append(f'<text x="{12 + 14 * span["depth"]}" y="{y + 13}">{html.escape(span["name"])}</text>')
        x, w = bar(span, y)
        text = html.escape(note(span))
        room = 6.0 * len(text)
        if x + w + room < LEFT + WIDTH + 15:
            out.append(f'<text x="{x + w + 5:.1f}" y="{y + 13}" fill="#333">{text}</text>')
        elif w > room:
            out.append(f'<text x="{x + w - 5:.1f}" y="{y + 13}" text-anchor="end" fill="#fff">{text}</text>')
        else:
            out.append(f'<text x="{x - 5:.1f}" y="{y + 13}" text-anchor="end" fill="#333">{text}</text>')
    if steps:
        y = TOP + len(tree) * ROW
        out.append(f'<text x="12" y="{y + 13}" font-style="italic">engine.step (traces of their own)</text>')
        for span in steps:
            bar(span, y)
    out.append("</svg>")
    return "\n".join(out) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", help="what --trace-file wrote")
    parser.add_argument("--trace", help="the trace's id in hexadecimal")
    parser.add_argument("--out", default="trace.svg")
    arguments = parser.parse_args()
    picture = draw(*choose(read(arguments.file), arguments.trace))
    with open(arguments.out, "w", encoding="utf-8") as out:
        out.write(picture)


if __name__ == "__main__":
    main()
