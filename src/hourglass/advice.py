"""The advisor's findings for people: text for a terminal, a page for a browser."""

import textwrap
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from jinja2 import Environment, StrictUndefined

from hourglass.catalog import counted
from hourglass.schema import Column, Kind, Schema
from hourglass.style import STYLE

WIDTH = 100
SHOWN = 40  # columns in the text
DRAWN = 200  # columns on the page
Profile = dict[str, Any]


def text(schema: Schema, profile: Profile, warnings: Sequence[str] = ()) -> str:
    """What the columns look like and which losses suit them, at most 100 letters wide."""
    its = _lines(schema, profile)
    longest = min(28, max(len(name) for name, _ in its))
    rows = [_wrapped(f"{_cut(name, longest):{longest}}  ", looks) for name, looks in its[:SHOWN]]
    if len(its) > SHOWN:
        rows.append(f"... and {len(its) - SHOWN} more (profile.json has all)")
    count = sum(schema.rows.values())
    notes = [_wrapped("! ", note) for note in warnings]
    parts = [
        f"{schema.source}: {counted(count, 'row')}, {counted(len(schema.columns), 'column')}",
        *notes,
        "\n".join(rows),
        _wrapped("Likely good: ", f"{', '.join(profile['likely_good'])}: {profile['why']}."),
        _wrapped("Scaler: ", f"{profile['scaler']}."),
    ]
    for kind, loss in profile["heads"].items():
        parts.append(_wrapped(f"For {kind} columns: ", f"{loss}: {profile['heads_why'][kind]}."))
    parts.append("\n".join(_losses(profile)))
    parts.append("This is advice; the search decides.")
    return "\n\n".join(parts) + "\n"


def _losses(profile: Profile) -> list[str]:
    lines = []
    for status in ("admissible", "dubious", "blocked"):
        for name, own in profile["losses"].items():
            if own["status"] == status:
                head = f"{status:10}  {name:20}  "
                change = f"; would change it: {own['change']}" if status != "blocked" else ""
                lines.append(_wrapped(head, f"{own['reason']}{change}"))
    return lines


def _wrapped(head: str, words: str) -> str:
    indent = " " * min(len(head), 36)
    return textwrap.fill(head + words, WIDTH, subsequent_indent=indent, break_on_hyphens=False)


def _cut(name: str, longest: int) -> str:
    return name if len(name) <= longest else name[: longest - 1] + "…"


def _lines(schema: Schema, profile: Profile) -> list[tuple[str, str]]:
    """Name and looks of each column; of an image or a window once for each channel."""
    every = [(c.name, str(profile["columns"][c.name]["looks"])) for c in schema.columns]
    if schema.shape is None:
        return every
    channels, shape = schema.shape[-1], " x ".join(map(str, schema.shape))
    what = "pixels" if len(schema.shape) == 3 else "steps"
    middle = np.ravel_multi_index((*(n // 2 for n in schema.shape[:-1]), 0), schema.shape)
    return [
        (f"channel {c + 1}", f"one of {shape} {what}, in the middle: {every[middle + c][1]}")
        for c in range(channels)
    ]


def html(schema: Schema, profile: Profile, warnings: Sequence[str] = ()) -> str:
    """One self-contained page; every text from the data is escaped."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    template = environment.from_string(TEMPLATE)
    shown = [(c, profile["columns"][c.name]) for c in schema.columns[:DRAWN]]
    columns = [(c.name, its, _bars(c, its)) for c, its in shown]
    rest = len(schema.columns) - len(shown)
    return template.render(
        schema=schema, profile=profile, warnings=warnings, columns=columns, rest=rest, style=STYLE
    )


def _bars(column: Column, its: dict[str, Any]) -> list[tuple[float, float, float, str]]:
    """Bars of a small histogram, 120 x 32: left, width, height, what they stand for."""
    if "top" in its:
        labels, values = list(its["top"]), list(its["top"].values())
    elif its.get("histogram", {}).get("counts"):
        edges, values = its["histogram"]["edges"], its["histogram"]["counts"]
        labels = [f"{a:.4g} to {b:.4g}" for a, b in pairwise(edges)]
        if column.kind is not Kind.CONTINUOUS:
            labels = [f"{(a + b) / 2:.4g}" for a, b in pairwise(edges)]
    else:
        return []
    top, width = max(values) or 1, 120 / len(values)
    return [
        (i * width, max(width - 1, 0.5), 31 * v / top, f"{label}: {v:.4g}")
        for i, (label, v) in enumerate(zip(labels, values, strict=True))
    ]


TEMPLATE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Hourglass · {{ schema.source }}</title>
<style>{{ style|safe }}
svg { display: block; } rect { fill: var(--tied); }
td.words { white-space: normal; text-align: left; min-width: 16rem; }
td.admissible { color: var(--best); } td.dubious { color: var(--worse); }
td.blocked { color: var(--soft); }
</style>
</head>
<body>
<main>
<h1>{{ schema.source }}</h1>
<p class="verdict">Likely good: {{ profile.likely_good|join(", ") }};
scaler {{ profile.scaler }}.</p>
<p>{{ profile.why[0]|upper }}{{ profile.why[1:] }}.
This is advice from the training rows; the search decides.</p>
{% if warnings %}
<h2>Look at these first</h2>
{% for note in warnings %}<p>{{ note[0]|upper }}{{ note[1:] }}.</p>
{% endfor %}{% endif %}
{% for kind, loss in profile.heads.items() %}
<p>{{ kind|capitalize }} columns: {{ loss }}; {{ profile.heads_why[kind] }}.</p>
{% endfor %}
<h2>Losses</h2>
<div class="scroll"><table>
<tr><th>loss</th><th class="word">status</th><th class="word">why</th>
<th class="word">what would change it</th><th class="word">scalers</th></tr>
{% for name, own in profile.losses.items() %}
<tr><td>{{ name }}</td><td class="word {{ own.status }}">{{ own.status }}</td>
<td class="words">{{ own.reason }}</td><td class="words">{{ own.change }}</td>
<td class="word">{{ own.scalers|join(", ") }}</td></tr>
{% endfor %}
</table></div>
<h2>Columns</h2>
<div class="scroll"><table>
<tr><th>column</th><th class="word">values</th><th class="word">looks</th></tr>
{% for name, its, bars in columns %}
<tr><td>{{ name }}</td><td>{% if bars %}
<svg width="120" height="32" role="img" aria-label="histogram of {{ name }}">
{% for left, width, height, label in bars %}<rect x="{{ "%.1f"|format(left) }}"
 y="{{ "%.1f"|format(32 - height) }}" width="{{ "%.1f"|format(width) }}"
 height="{{ "%.1f"|format(height) }}"><title>{{ label }}</title></rect>
{% endfor %}</svg>{% endif %}</td>
<td class="words">{{ its.looks }}</td></tr>
{% endfor %}
</table></div>
{% if rest %}<p class="hint">{{ rest }} more columns are in profile.json.</p>{% endif %}
</main>
</body>
</html>
"""
