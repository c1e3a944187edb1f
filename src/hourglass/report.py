"""Writes report.html: one self-contained page: the verdict, why, and how to get it again."""

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from hourglass.paths import write_text
from hourglass.style import STYLE
from hourglass.verdict import headline

AGAIN = "How to get these numbers again"
LONG = 32  # characters beyond which a text in a table is broken into lines
SMALL_P = 0.001  # below, a p value's digits say nothing more


@dataclass(frozen=True)
class Picture:
    """A PNG with the words that stand for it.

    Attributes:
        path: The file.
        alternative: What it shows, for those who can't see it.
        chart: Whether it is drawn in ink on white, so that a dark page may turn it round; images of
            the data are only dimmed.
    """

    path: Path
    alternative: str
    chart: bool = True


@dataclass(frozen=True)
class Table:
    """Lines of a table, with the same keys.

    Attributes:
        rows: The lines.
        bold: (number of a line, heading) of cells that stand out.
        groups: Number of a line -> the heading above it.
    """

    rows: Sequence[Mapping[str, Any]]
    bold: frozenset[tuple[int, str]] = frozenset()
    groups: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Section:
    """A part of the page; what is empty is left out.

    Attributes:
        title: Its heading.
        lead: What it comes to, in a sentence.
        picture: Shown above the table.
        table: Shown above the sentences.
        lines: A list of sentences.
        hint: How to read it.
        source: The file that its numbers are from.
    """

    title: str
    lead: str = ""
    picture: Picture | None = None
    table: Table | None = None
    lines: Sequence[str] = ()
    hint: str = ""
    source: str = ""

    @property
    def empty(self) -> bool:
        """Whether there is nothing to show."""
        return not (self.picture or self.lines or (self.table and self.table.rows))


@dataclass(frozen=True)
class Page:
    """All that the report shows.

    Attributes:
        title: Heading of the page.
        verdict: The verdict in sentences, of which the first stands out (see `verdict.headline`).
        unit: What the leaderboard's numbers are counted in.
        other: Key and heading of the leaderboard's other code length.
        level: Of the intervals: "95 %".
        remarks: Further sentences: the delivered model, whether test rows agree.
        leaderboard: Lines of leaderboard.csv, and of a tie which sort it is.
        terms: Words of the leaderboard -> what they mean.
        sections: What follows the leaderboard, the most important first.
        facts: Name -> value: commit, data, split, digests, versions.
        params: The settings, as params.yaml has them; "" if they are not known.
    """

    title: str
    verdict: str
    unit: str
    other: tuple[str, str]
    level: str
    remarks: Sequence[str]
    leaderboard: Sequence[Mapping[str, Any]]
    terms: Mapping[str, str]
    sections: Sequence[Section]
    facts: Mapping[str, str]
    params: str = ""

    def shown(self) -> list[Section]:
        """The sections that hold something."""
        return [section for section in self.sections if not section.empty]

    def contents(self) -> list[str]:
        """The headings in their order."""
        return ["Leaderboard", *(section.title for section in self.shown()), AGAIN]


def write(path: Path, page: Page) -> None:
    """Renders the page; every text from the data is escaped, pictures are embedded."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    filters = {"figure": _figure, "bits": _bits, "p": _p, "inline": _inline, "anchor": _anchor}
    environment.filters.update(filters)
    environment.globals.update(AGAIN=AGAIN, LONG=LONG)
    first, rest = headline(page.verdict)
    rendered = environment.from_string(TEMPLATE).render(
        page=page, style=STYLE, first=first, rest=rest
    )
    write_text(path, rendered)


def _anchor(heading: str) -> str:
    return re.sub(r"\W+", "-", heading.lower()).strip("-")


def _figure(value: Any) -> str:
    """Numbers to four significant digits, everything else as it is."""
    if isinstance(value, bool):
        return "yes" if value else ""
    if isinstance(value, float):
        return f"{value:#.4g}".rstrip(".")
    return "" if value is None else str(value)


def _bits(value: float | None) -> str:
    """A thousandth of a bit is a fifth of the usual margin."""
    return "" if value is None else f"{value:.3f}"


def _p(value: float) -> str:
    return f"< {SMALL_P:g}" if value < SMALL_P else f"{value:.3f}"


def _inline(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode("ascii")


TEMPLATE = """{% macro heading(name) %}<h2 id="{{ name|anchor }}">{{ name }}</h2>{% endmacro %}
{% macro show(table) %}<div class="scroll"><table>
<tr>{% for name, value in table.rows[0].items() %}
<th{% if value is string %} class="word"{% endif %}>{{ name }}</th>
{% endfor %}</tr>
{% for row in table.rows %}{% set at = loop.index0 %}
{% if at in table.groups %}
<tr class="group"><th colspan="{{ row|length }}">{{ table.groups[at] }}</th></tr>
{% endif %}
<tr>{% for name, value in row.items() %}
<td{% if value is string %} class="word{{ " long" if value|length > LONG }}"{% endif %}>
{%- if (at, name) in table.bold %}<b>{{ value|figure }}</b>{% else %}{{ value|figure }}{% endif %}
</td>
{% endfor %}</tr>
{% endfor %}
</table></div>{% endmacro %}
{% macro from(source) %}<p class="source">From <code>{{ source }}</code></p>
{% endmacro %}
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{{ page.title }}</title>
<style>
{{ style|safe }}</style>
</head>
<body>
<main>
<h1>{{ page.title }}</h1>
<p class="verdict">{{ first }}</p>
{% if rest %}<p>{{ rest }}</p>
{% endif %}
{% for remark in page.remarks %}<p>{{ remark }}</p>
{% endfor %}
<nav class="contents">{% for name in page.contents() %}
<a href="#{{ name|anchor }}">{{ name }}</a>
{% endfor %}</nav>
{{ heading("Leaderboard") }}
<div class="scroll"><table class="board">
<tr><th></th><th></th><th colspan="3" class="over">validation rows decide</th>
<th colspan="6" class="over">test rows report</th><th class="edge"></th></tr>
<tr><th>loss</th><th class="word">verdict</th>
<th class="edge">mean</th><th>behind the best</th><th>adjusted p</th>
<th class="edge">{{ page.unit }}</th><th>{{ page.level }} interval</th><th>skill vs PCA</th>
<th>{{ page.other[1] }}</th><th>RMSE</th><th>MAE</th>
<th class="word edge">scaler</th></tr>
{% for row in page.leaderboard %}
<tr{% if row.selected %} class="selected"{% endif %}><td>{{ row.loss }}</td>
<td class="word {{ row.verdict }}">{{ row.verdict }}{% if row.tie %}, {{ row.tie }}{% endif %}
{% if row.selected %} · selected{% endif %}</td>
<td class="edge">{{ row.validation|bits }}</td>
{% if row.verdict == "best" %}<td>–</td><td>–</td>
{% else %}<td>{{ row.difference|bits }}
<small>({{ row.difference_low|bits }} to {{ row.difference_high|bits }})</small></td>
<td>{{ row.p_adjusted|p }}</td>
{% endif %}
<td class="edge">{{ row.test|bits }}</td>
<td>{{ row.ci_low|bits }} to {{ row.ci_high|bits }}</td>
<td>{{ row.skill_vs_pca|bits }}</td><td>{{ row[page.other[0]]|bits }}</td>
<td>{{ row.rmse|figure }}</td><td>{{ row.mae|figure }}</td>
<td class="word edge">{{ row.scaler }}</td></tr>
{% endfor %}
</table></div>
{{ from("reports/evaluate/leaderboard.csv") }}
<dl class="terms">
{% for name, value in page.terms.items() %}<dt>{{ name }}</dt><dd>{{ value }}</dd>{% endfor %}
</dl>
{% for section in page.shown() %}
{{ heading(section.title) }}
{% if section.lead %}<p>{{ section.lead }}</p>
{% endif %}
{% if section.picture %}
<figure{% if section.picture.chart %} class="chart"{% endif %}>
<img src="data:image/png;base64,{{ section.picture.path|inline }}"
alt="{{ section.picture.alternative }}"></figure>
{% endif %}
{% if section.table and section.table.rows %}{{ show(section.table) }}
{% endif %}
{% if section.lines %}<ul>{% for line in section.lines %}<li>{{ line }}</li>{% endfor %}</ul>
{% endif %}
{% if section.source %}{{ from(section.source) }}
{% endif %}
{% if section.hint %}<p class="hint">{{ section.hint }}</p>
{% endif %}
{% endfor %}
{{ heading(AGAIN) }}
<dl>
{% for name, value in page.facts.items() %}<dt>{{ name }}</dt><dd>{{ value }}</dd>{% endfor %}
</dl>
{% if page.params %}
<details><summary>All settings that can change a number</summary><pre>{{ page.params }}</pre>
</details>
{% endif %}
</main>
</body>
</html>
"""
