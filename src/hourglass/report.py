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

ROWS = "Rows that stand out"
CROSS = "Every trained loss by every metric"
SETTINGS = "Which settings mattered"
SCALERS = "How much the scaler matters"
ADVICE = "Why these losses competed"
AGAIN = "How to get these numbers again"
HEADINGS = {
    "ROWS": ROWS,
    "CROSS": CROSS,
    "SETTINGS": SETTINGS,
    "SCALERS": SCALERS,
    "ADVICE": ADVICE,
    "AGAIN": AGAIN,
}


@dataclass(frozen=True)
class Picture:
    """A PNG with the words that stand for it.

    Attributes:
        path: The file.
        title: Its heading.
        alternative: What it shows, for those who can't see it.
        hint: How to read it; may be empty.
    """

    path: Path
    title: str
    alternative: str
    hint: str = ""


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
        cross: Lines of cross.csv.
        pictures: In the order shown.
        rows: Rows that stand out, a line each; may be empty.
        settings: A line for each hyperparameter of each loss; may be empty.
        advice: Why these losses competed.
        scalers: A row a loss, its best objective in the search under each scaler; may be empty.
        leverage: How much loss and scaler matter, in a sentence; may be empty.
        facts: Name -> value: data, split, digests, versions.
    """

    title: str
    verdict: str
    unit: str
    other: tuple[str, str]
    remarks: Sequence[str]
    leaderboard: Sequence[Mapping[str, Any]]
    cross: Sequence[Mapping[str, Any]]
    pictures: Sequence[Picture]
    rows: Sequence[Mapping[str, Any]]
    settings: Sequence[Mapping[str, Any]]
    advice: Sequence[str]
    scalers: Sequence[Mapping[str, Any]]
    leverage: str
    facts: Mapping[str, str]

    def contents(self) -> list[str]:
        """The headings in their order."""
        return [
            "Leaderboard",
            *(picture.title for picture in self.pictures),
            *([ROWS] if self.rows else []),
            CROSS,
            *([SETTINGS] if self.settings else []),
            *([SCALERS] if self.scalers else []),
            ADVICE,
            AGAIN,
        ]


def write(path: Path, page: Page) -> None:
    """Renders the page; every text from the data is escaped, pictures are embedded."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.filters["figure"] = _figure
    environment.filters["inline"] = _inline
    environment.filters["anchor"] = _anchor
    environment.globals.update(HEADINGS)
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
<th{% if value is string %} class="word"{% endif %}>{{ name }}</th>
{% endfor %}</tr>
{% for row in rows %}<tr>
{% for value in row.values() %}
<td{% if value is string %} class="word"{% endif %}>{{ value|figure }}</td>
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
<nav>{% for name in page.contents() %}<a href="#{{ name|anchor }}">{{ name }}</a> {% endfor %}</nav>
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
{% for picture in page.pictures %}
{{ heading(picture.title) }}
<figure><img src="data:image/png;base64,{{ picture.path|inline }}" alt="{{ picture.alternative }}">
</figure>
{% if picture.hint %}<p class="hint">{{ picture.hint }}</p>{% endif %}
{% endfor %}
{% if page.rows %}{{ heading(ROWS) }}
{{ table(page.rows) }}
<p class="hint">Test rows with the shortest, a middling and the longest code under the delivered
model, and the columns that cost most: value, what the model answered, bits.</p>
{% endif %}
{{ heading(CROSS) }}
{{ table(page.cross) }}
<p class="hint">Test rows, mean over the seeds, original units; nrmse and nmae divide each column by
its standard deviation.</p>
{% if page.settings %}{{ heading(SETTINGS) }}
{{ table(page.settings) }}
<p class="hint">Over the complete trials of each loss: Spearman's rank correlation of a setting
with the bits on validation rows. Negative: higher was better; near 0: it hardly mattered, or the
best lay in the middle. Of a handful of trials it is a rough guide.</p>
{% endif %}
{% if page.scalers %}{{ heading(SCALERS) }}
<p>{{ page.leverage }}</p>
{{ table(page.scalers) }}
<p class="hint">The best trial of each loss under each scaler, by the search's objective on
validation rows, in bits per feature. A scaler that looked bad got few trials.</p>
{% endif %}
{{ heading(ADVICE) }}
<ul>{% for line in page.advice %}<li>{{ line }}</li>{% endfor %}</ul>
{{ heading(AGAIN) }}
<dl>
{% for name, value in page.facts.items() %}<dt>{{ name }}</dt><dd>{{ value }}</dd>{% endfor %}
</dl>
</main>
</body>
</html>
"""
