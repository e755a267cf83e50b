"""Pictures as SVG, by hand: lines over an axis, and a flame graph. They need nothing to be looked at, and follow a dark page."""

import html
import math

COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#8c6d1f", "#56b4e9")  # Okabe and Ito's, told apart by the colour-blind
WIDTH, HEIGHT, LEFT, RIGHT, TOP, FOOT = 640, 300, 60, 16, 34, 46
STYLE = (
    "text{font:12px sans-serif;fill:#222}.axis{stroke:#888}.grid{stroke:#8884}"
    "@media(prefers-color-scheme:dark){text{fill:#ddd}.axis{stroke:#999}}"
)


def round_ticks(limit, count=5):
    """Returns about so many round numbers from 0 to no less than a limit."""
    if not limit > 0 or math.isinf(limit):
        return [0.0, 1.0]
    unit = 10.0 ** math.floor(math.log10(limit / count))
    step = next(unit * f for f in (1, 2, 5, 10) if limit / (unit * f) <= count + 1)
    ticks = [0.0]
    while ticks[-1] < limit * (1 - 1e-9):
        ticks.append(len(ticks) * step)
    return ticks


def text(x, y, words, anchor="middle", more=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{more}>{html.escape(words)}</text>'


def document(width, height, title, body):
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">'
        f"<title>{html.escape(title)}</title><style>{STYLE}</style>\n" + "\n".join(body) + "\n</svg>\n"
    )


def lines(title, x_label, y_label, series, log=False):
    """Draws {name: {x: y}} over axes that begin at zero; log: the x axis by powers of two."""
    series = {name: {x: y for x, y in points.items() if y is not None} for name, points in series.items()}
    series = {name: points for name, points in series.items() if points}
    xs = sorted({x for points in series.values() for x in points})
    if not xs:
        return document(WIDTH, HEIGHT, title, [text(WIDTH / 2, HEIGHT / 2, f"{title}: not measured")])
    scale = (lambda x: math.log2(max(x, 1))) if log else float
    low, high = (scale(xs[0]), scale(xs[-1])) if log else (0.0, float(xs[-1]))
    ticks = round_ticks(max(y for points in series.values() for y in points.values()))

    def at_x(x):
        return LEFT + (scale(x) - low) / ((high - low) or 1) * (WIDTH - LEFT - RIGHT)

    def at_y(y):
        return HEIGHT - FOOT - y / ticks[-1] * (HEIGHT - TOP - FOOT)

    body = []
    for tick in ticks:
        body.append(f'<path class="grid" d="M{LEFT} {at_y(tick):.1f}H{WIDTH - RIGHT}"/>')
        body.append(text(LEFT - 6, at_y(tick) + 4, f"{tick:g}", "end"))
    last = -math.inf
    for x in xs:
        if at_x(x) - last >= 34:  # labels must not touch
            body.append(text(at_x(x), HEIGHT - FOOT + 17, f"{x:g}"))
            last = at_x(x)
    body.append(f'<path class="axis" d="M{LEFT} {TOP}V{HEIGHT - FOOT}H{WIDTH - RIGHT}" fill="none"/>')
    body.append(text((LEFT + WIDTH) / 2, HEIGHT - 10, x_label))
    body.append(text(14, (TOP + HEIGHT - FOOT) / 2, y_label, more=f' transform="rotate(-90 14 {(TOP + HEIGHT - FOOT) / 2:.1f})"'))
    place = 12.0
    for color, (name, points) in zip(COLORS * 4, series.items(), strict=False):
        path = "L".join(f"{at_x(x):.1f} {at_y(y):.1f}" for x, y in sorted(points.items()))
        body.append(f'<path d="M{path}" fill="none" stroke="{color}" stroke-width="2"/>')
        for x, y in sorted(points.items()):
            dot = html.escape(f"{name} at {x:g}: {y:g}")
            body.append(f'<circle cx="{at_x(x):.1f}" cy="{at_y(y):.1f}" r="3" fill="{color}"><title>{dot}</title></circle>')
        body.append(f'<path d="M{place:.1f} 16h14" stroke="{color}" stroke-width="3"/>' + text(place + 18, 20, name, "start"))
        place += 30 + 6.4 * len(name)
    return document(WIDTH, HEIGHT, title, body)


def flame(title, unit, stacks, width=900, least=0.004):
    """Draws [value, root, …, leaf] as a flame graph from the top down; what is narrower than least of it all is left out."""
    total, row, body, deepest = sum(s[0] for s in stacks) or 1, 18, [], 0

    def draw(group, depth, x):
        nonlocal deepest
        children: dict[str, list] = {}
        for stack in group:
            if len(stack) > depth + 1:
                children.setdefault(stack[depth + 1], []).append(stack)
        for name, inside in sorted(children.items()):
            value = sum(s[0] for s in inside)
            wide = value / total * width
            if value / total < least:
                x += wide
                continue
            deepest = max(deepest, depth + 1)
            label = html.escape(f"{name}: {value:.0f} {unit}, {100 * value / total:.1f} %")
            hue = 15 + hash_of(name) % 40
            body.append(
                f'<g><title>{label}</title><rect x="{x:.1f}" y="{28 + depth * row}" width="{max(wide - 0.5, 0.5):.1f}" height="{row - 1}" '
                f'fill="hsl({hue} 80% 68%)"/>'
            )
            fits = int((wide - 6) / 6.2)
            if fits >= 4:
                short = name.rsplit("/", 1)[-1]
                short = short if len(short) <= fits else short[: fits - 1] + "…"
                body.append(text(x + 3, 28 + depth * row + 13, short, "start", ' style="font-size:11px;fill:#222"'))
            body.append("</g>")
            draw(inside, depth + 1, x)
            x += wide

    draw(stacks, 0, 0.0)
    head = text(4, 18, f"{title}: {total:.0f} {unit}", "start")
    return document(width, 36 + deepest * row, title, [head, *body])


def hash_of(name):
    """Returns a number that is the same in every run."""
    return sum(ord(c) * (i + 1) for i, c in enumerate(name))
