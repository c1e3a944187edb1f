"""Writes report.html: one self-contained page: the verdict, why, and how to get it again."""

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from hourglass.paths import write_text
from hourglass.style import STYLE

AGAIN = "How to get these numbers again"
LONG = 40  # characters beyond which a text in a table is broken into lines


@dataclass(frozen=True)
class Picture:
    """A PNG with the words that stand for it.

    Attributes:
        path: The file.
        alternative: What it shows, for those who can't see it.
    """

    path: Path
    alternative: str


@dataclass(frozen=True)
class Section:
    """A part of the page; what is empty is left out.

    Attributes:
        title: Its heading.
        lead: What to know first, in a sentence.
        picture: Shown above the table.
        rows: Lines of a table, with the same keys.
        lines: A list of sentences.
        hint: How to read it.
    """

    title: str
    lead: str = ""
    picture: Picture | None = None
    rows: Sequence[Mapping[str, Any]] = ()
    lines: Sequence[str] = ()
    hint: str = ""

    @property
    def empty(self) -> bool:
        """Whether there is nothing to show."""
        return self.picture is None and not self.rows and not self.lines


@dataclass(frozen=True)
class Page:
    """All that the report shows.

    Attributes:
        title: Heading of the page.
        verdict: The verdict in one sentence.
        unit: What the leaderboard's numbers are counted in.
        other: Key and heading of the leaderboard's other code length.
        remarks: Further sentences: what could have been seen, whether test rows agree.
        leaderboard: Lines of leaderboard.csv.
        sections: What follows the leaderboard, the most important first.
        facts: Name -> value: data, split, digests, versions.
    """

    title: str
    verdict: str
    unit: str
    other: tuple[str, str]
    remarks: Sequence[str]
    leaderboard: Sequence[Mapping[str, Any]]
    sections: Sequence[Section]
    facts: Mapping[str, str]

    def shown(self) -> list[Section]:
        """The sections that hold something."""
        return [section for section in self.sections if not section.empty]

    def contents(self) -> list[str]:
        """The headings in their order."""
        return ["Leaderboard", *(section.title for section in self.shown()), AGAIN]


def write(path: Path, page: Page) -> None:
    """Renders the page; every text from the data is escaped, pictures are embedded."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.filters["figure"] = _figure
    environment.filters["inline"] = _inline
    environment.filters["anchor"] = _anchor
    environment.globals.update(AGAIN=AGAIN, LONG=LONG)
    write_text(path, environment.from_string(TEMPLATE).render(page=page, style=STYLE))


def _anchor(heading: str) -> str:
    return re.sub(r"\W+", "-", heading.lower()).strip("-")


def _figure(value: Any) -> str:
    """Numbers to four significant digits, everything else as it is."""
    if isinstance(value, bool):
        return "yes" if value else ""
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1e-3 or abs(value) >= 1e4 else f"{value:.4f}"
    return "" if value is None else str(value)


def _inline(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode("ascii")


TEMPLATE = """{% macro heading(name) %}<h2 id="{{ name|anchor }}">{{ name }}</h2>{% endmacro %}
{% macro table(rows) %}<div class="scroll"><table>
<tr>{% for name, value in rows[0].items() %}
<th{% if value is string %} class="word"{% endif %}>{{ name|replace("_", " ") }}</th>
{% endfor %}</tr>
{% for row in rows %}<tr>
{% for value in row.values() %}
<td{% if value is string %} class="word{{ " long" if value|length > LONG }}"{% endif %}>
{{- value|figure }}</td>
{% endfor %}</tr>
{% endfor %}
</table></div>{% endmacro %}
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
<p class="verdict">{{ page.verdict }}</p>
{% for remark in page.remarks %}<p>{{ remark }}</p>
{% endfor %}
<nav class="contents">{% for name in page.contents() %}
<a href="#{{ name|anchor }}">{{ name }}</a>
{% endfor %}</nav>
{{ heading("Leaderboard") }}
<div class="scroll"><table>
<tr><th>loss</th><th class="word">verdict</th><th>{{ page.unit }}</th><th>interval</th>
<th>behind the best</th><th>adjusted p</th><th>skill vs PCA</th><th>{{ page.other[1] }}</th>
<th>RMSE</th><th>MAE</th>
<th class="word">scaler</th></tr>
{% for row in page.leaderboard %}
<tr{% if row.selected %} class="selected"{% endif %}><td>{{ row.loss }}</td>
<td class="word {{ row.verdict }}">{{ row.verdict }}{% if row.selected %} · selected{% endif %}</td>
<td>{{ row.test|figure }}</td>
<td>{{ row.ci_low|figure }} to {{ row.ci_high|figure }}</td>
<td>{% if row.verdict == "best" %}–{% else %}{{ row.difference|figure }}{% endif %}</td>
<td>{% if row.verdict == "best" %}–{% else %}{{ row.p_adjusted|figure }}{% endif %}</td>
<td>{{ row.skill_vs_pca|figure }}</td><td>{{ row[page.other[0]]|figure }}</td>
<td>{{ row.rmse|figure }}</td><td>{{ row.mae|figure }}</td>
<td class="word">{{ row.scaler }}</td></tr>
{% endfor %}
</table></div>
<p class="hint">Bits: how many it takes to write down a held-out value to the data's own resolution,
given its reconstruction; lower is better, and losses and scalers compare. A hidden value was kept
from the model, which told it from the rest of its row: to copy noise doesn't help there.
All are measured on test rows, opened once. The verdict and “behind the best” come from
validation rows: a paired t test over the seeds, corrected for the number of losses
and for the leader having been picked.
Skill vs PCA: {{ page.unit }} saved against a PCA of the same bottleneck.</p>
{% for section in page.shown() %}
{{ heading(section.title) }}
{% if section.lead %}<p>{{ section.lead }}</p>
{% endif %}
{% if section.picture %}
<figure><img src="data:image/png;base64,{{ section.picture.path|inline }}"
alt="{{ section.picture.alternative }}"></figure>
{% endif %}
{% if section.rows %}{{ table(section.rows) }}
{% endif %}
{% if section.lines %}<ul>{% for line in section.lines %}<li>{{ line }}</li>{% endfor %}</ul>
{% endif %}
{% if section.hint %}<p class="hint">{{ section.hint }}</p>
{% endif %}
{% endfor %}
{{ heading(AGAIN) }}
<dl>
{% for name, value in page.facts.items() %}<dt>{{ name }}</dt><dd>{{ value }}</dd>{% endfor %}
</dl>
</main>
</body>
</html>
"""
