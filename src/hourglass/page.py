"""The advisor's findings as one self-contained page; every text from the data is escaped.

Shapes: E examples, H x W pixels, C channels, T steps of a window.
"""

import base64
import io
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from jinja2 import Environment, StrictUndefined
from numpy.typing import NDArray
from PIL import Image

from hourglass.advice import Profile, parts_of, size
from hourglass.catalog import listed
from hourglass.examples import Examples
from hourglass.schema import Array, Column, Kind, Schema
from hourglass.style import STYLE

DRAWN = 200  # columns on the page
THUMBNAIL = 96  # pixels of the longer side
LINE_WIDTH, LINE_HEIGHT = 120, 40
BY_ROLE = "named in preprocess."
Bar = tuple[float, float, float, str]


def html(schema: Schema, profile: Profile, shown: Examples, warnings: Sequence[str] = ()) -> str:
    """The page.

    Args:
        schema: The columns.
        profile: The content of profile.json.
        shown: Rows to draw, and the classes.
        warnings: What to look at first.
    """
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.filters["short"] = _short
    template = environment.from_string(TEMPLATE)
    figures = profile["columns"] if profile["channels"] is None else profile["channels"]
    columns = dict(zip(figures, schema.columns, strict=False))
    drawn = list(figures)[:DRAWN]
    return template.render(
        schema=schema,
        profile=profile,
        warnings=[f"{note[:1].upper()}{note[1:]}.".split(" ") for note in warnings],
        size=size(schema),
        columns=[(name, figures[name], _bars(columns[name], figures[name])) for name in drawn],
        rest=len(figures) - len(drawn),
        pictures=_pictures(schema, profile, shown),
        lines=_lines(schema, shown),
        classes=shown.classes,
        channels=_channels(schema),
        roles=_roles(schema),
        style=STYLE,
    )


def _roles(schema: Schema) -> str:
    """Columns that the user has named for something else."""
    named = {n: w.removeprefix(BY_ROLE) for n, w in schema.dropped.items() if w.startswith(BY_ROLE)}
    return listed([f"{name} ({role})" for name, role in named.items()])


def _channels(schema: Schema) -> str:
    """What the rows of an image's or a window's table are; "" of a table."""
    if schema.shape is None:
        return ""
    *places, channels = schema.shape
    each = f"{' x '.join(map(str, places))} {parts_of(schema.shape)}"
    several = f"each of {channels} channels" if channels > 1 else "one channel"
    return f"{each} of {several}: figures and histograms are over all {parts_of(schema.shape)}."


def _short(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _bars(column: Column, its: dict[str, Any]) -> list[Bar]:
    """Bars of a small histogram, 120 x 32: left, width, height, what they stand for."""
    if "top" in its:
        labels, values = list(its["top"]), list(its["top"].values())
    elif its.get("histogram", {}).get("counts"):
        drawn = its["histogram"]
        edges, values = drawn["edges"], drawn["counts"]
        labels = [f"{a:.4g} to {b:.4g}" for a, b in pairwise(edges)]
        if column.kind is not Kind.CONTINUOUS:
            labels = [f"{(a + b) / 2:.4g}" for a, b in pairwise(edges)]
        if drawn["below"]:
            labels[0] = f"up to {edges[1]:.4g}"
        if drawn["above"]:
            labels[-1] = f"from {edges[-2]:.4g}"
    else:
        return []
    top, width = max(values) or 1, 120 / len(values)
    return [
        (i * width, max(width - 1, 0.5), 31 * v / top, f"{label}: {v:.4g}")
        for i, (label, v) in enumerate(zip(labels, values, strict=True))
    ]


def _pictures(schema: Schema, profile: Profile, shown: Examples) -> list[tuple[str, str]]:
    """Example images as PNG files within the page, each with its class."""
    if schema.shape is None or len(schema.shape) == 2:
        return []
    ends = [
        (its["min"] if c.low is None else c.low, its["max"] if c.high is None else c.high)
        for c, its in zip(schema.columns, profile["channels"].values(), strict=False)
    ]
    low_C, high_C = np.transpose(ends)
    span_C = np.where(high_C > low_C, high_C - low_C, 1.0)
    unit_EHWC = (shown.rows_EF.reshape(-1, *schema.shape) - low_C) / span_C
    bytes_EHWC = (255 * np.clip(np.nan_to_num(unit_EHWC), 0, 1)).round().astype(np.uint8)
    names = shown.names or ("",) * len(bytes_EHWC)
    return [(_png(pixels), name) for pixels, name in zip(bytes_EHWC, names, strict=True)]


def _png(pixels_HWC: NDArray[np.uint8]) -> str:
    """A small PNG as a data URI: colour of three channels, else the first one in grey."""
    three = pixels_HWC.shape[2] == 3
    image = Image.fromarray(pixels_HWC if three else pixels_HWC[:, :, 0])
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    file = io.BytesIO()
    image.save(file, "PNG")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


def _lines(schema: Schema, shown: Examples) -> list[list[list[str]]]:
    """Of each channel of a window, of each example: the lines between its gaps, for SVG."""
    if schema.shape is None or len(schema.shape) == 3:
        return []
    rows_ETC = shown.rows_EF.reshape(-1, *schema.shape)
    return [_drawn(rows_ETC[:, :, c]) for c in range(min(DRAWN, schema.shape[1]))]


def _drawn(rows_ET: Array) -> list[list[str]]:
    """Points of each example, all on one scale."""
    seen = rows_ET[~np.isnan(rows_ET)]
    low, span = (seen.min(), np.ptp(seen) or 1.0) if len(seen) else (0.0, 1.0)
    x_T = np.linspace(1, LINE_WIDTH - 1, rows_ET.shape[1])
    y_ET = 1 + (LINE_HEIGHT - 2) * (1 - (rows_ET - low) / span)
    lines = []
    for y_T in y_ET:
        seen_T = np.flatnonzero(~np.isnan(y_T))
        runs = np.split(seen_T, np.flatnonzero(np.diff(seen_T) > 1) + 1)
        lines.append([" ".join(f"{x_T[t]:.1f},{y_T[t]:.1f}" for t in run) for run in runs])
    return lines


TEMPLATE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Hourglass · {{ schema.source }}</title>
<style>{{ style|safe }}
h1, li, .verdict, p { overflow-wrap: anywhere; }
svg { display: block; } rect { fill: var(--tied); }
polyline { fill: none; stroke: var(--tied); stroke-width: 1.2; }
.first { border: 1px solid var(--worse); border-radius: .5rem; padding: .1rem 1.1rem .3rem;
  margin: 1.4rem 0; }
.first h2 { margin: .7rem 0 0; color: var(--worse); }
.first ul { margin: .5rem 0; padding: 0 1rem; }
.strip { display: flex; flex-wrap: wrap; gap: .7rem; }
.strip div { text-align: center; font-size: .86rem; color: var(--soft); max-width: 96px;
  overflow-wrap: anywhere; }
.strip img { display: block; width: 84px; image-rendering: pixelated; border: 1px solid var(--line);
  margin: 0 auto .2rem; }
.windows { display: flex; gap: .6rem; }
code { white-space: nowrap; padding: 0 .2em; }
td.words { white-space: normal; text-align: left; min-width: 16rem; }
td.name { max-width: 22rem; overflow: hidden; text-overflow: ellipsis; }
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
<p class="hint">{{ size }}.
{% if roles %}Not among them: {{ roles }}.{% endif %}</p>
{% if warnings %}
<section class="first">
<h2>Look at these first</h2>
<ul>
{% for words in warnings %}<li>
{%- for word in words %}
{% if word.startswith(("--", "(--")) %}<code>{{ word }}</code>{% else %}{{ word }}{% endif %}
 {% endfor %}</li>
{% endfor %}</ul>
</section>
{% endif %}
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
{% if pictures %}
<h2>Some training images</h2>
<div class="strip">
{% for source, name in pictures %}<div><img src="{{ source }}" alt="example {{ name }}">{{ name }}
</div>
{% endfor %}</div>
{% endif %}
{% if classes %}
<p class="hint">Rows by label:
{% for name, n in classes.items() %}{{ name }} ({{ n }}){{ ", " if not loop.last else "." }}
{% endfor %}</p>
{% endif %}
<h2>{{ "Channels" if channels else "Columns" }}</h2>
{% if channels %}<p class="hint">{{ channels }}</p>{% endif %}
<div class="scroll"><table>
<tr><th>{{ "channel" if channels else "column" }}</th><th class="word">values</th>
{% if lines %}<th class="word">{{ lines[0]|length }} training windows</th>{% endif %}
<th>min</th><th>median</th><th>max</th><th>mean</th>
{% if channels %}<th>at min</th><th>at max</th>{% endif %}<th>distinct</th><th>missing</th>
<th class="word">looks</th></tr>
{% for name, its, bars in columns %}
<tr><td class="name" title="{{ name }}">{{ name }}</td><td>{% if bars %}
<svg width="120" height="32" role="img" aria-label="histogram of {{ name }}">
{% for left, width, height, label in bars %}<rect x="{{ "%.1f"|format(left) }}"
 y="{{ "%.1f"|format(32 - height) }}" width="{{ "%.1f"|format(width) }}"
 height="{{ "%.1f"|format(height) }}"><title>{{ label }}</title></rect>
{% endfor %}</svg>{% endif %}</td>
{% if lines %}<td><div class="windows">{% for runs in lines[loop.index0] %}
<svg width="120" height="40" role="img" aria-label="a window of {{ name }}">
{% for points in runs %}<polyline points="{{ points }}"/>{% endfor %}</svg>{% endfor %}</div></td>
{% endif %}
{% if "min" in its %}
<td>{{ its.min|short }}</td><td>{{ its.median|short }}</td><td>{{ its.max|short }}</td>
<td>{{ its.mean|short }}</td>
{% else %}<td></td><td></td><td></td><td></td>
{% endif %}
{% if channels %}<td>{{ "%.1f %%"|format(100 * its.mass_low) }}</td>
<td>{{ "%.1f %%"|format(100 * its.mass_high) }}</td>{% endif %}
<td>{{ its.distinct }}</td>
<td>{{ "%.1f %%"|format(100 * its.missing) if its.missing else "" }}</td>
<td class="words">{{ its.looks }}</td></tr>
{% endfor %}
</table></div>
<p class="hint">Of training rows{% if profile.sampled < schema.rows.train %}; medians, histograms,
distinct values and gaps from {{ profile.sampled }} of the {{ schema.rows.train }}, evenly spaced
{%- endif %}. The end bars of a histogram take what lies beyond.
{% if rest %}{{ rest }} more columns are in profile.json.{% endif %}</p>
</main>
</body>
</html>
"""
