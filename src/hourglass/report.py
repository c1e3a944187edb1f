"""Writes report.html: one self-contained page: the verdict, why, and how to get it again."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from hourglass.paths import write_text
from hourglass.style import STYLE


@dataclass(frozen=True)
class Picture:
    """A PNG with the words that stand for it.

    Attributes:
        path: The file.
        title: Its heading.
        alternative: What it shows, for those who can't see it.
    """

    path: Path
    title: str
    alternative: str


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
    advice: Sequence[str]
    scalers: Sequence[Mapping[str, Any]]
    leverage: str
    facts: Mapping[str, str]


def write(path: Path, page: Page) -> None:
    """Renders the page; every text from the data is escaped, pictures are embedded."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.filters["figure"] = _figure
    environment.filters["inline"] = _inline
    write_text(path, environment.from_string(TEMPLATE).render(page=page, style=STYLE))


def _figure(value: Any) -> str:
    """Numbers to four significant digits, everything else as it is."""
    if isinstance(value, bool):
        return "yes" if value else ""
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1e-3 or abs(value) >= 1e4 else f"{value:.4f}"
    return "" if value is None else str(value)


def _inline(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode("ascii")


TEMPLATE = """<!doctype html>
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
<h2>Leaderboard</h2>
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
<h2>{{ picture.title }}</h2>
<figure><img src="data:image/png;base64,{{ picture.path|inline }}" alt="{{ picture.alternative }}">
</figure>
{% endfor %}
<h2>Every trained loss by every metric</h2>
<div class="scroll"><table>
<tr>{% for name in page.cross[0] %}<th>{{ name }}</th>{% endfor %}</tr>
{% for row in page.cross %}<tr>
{% for value in row.values() %}<td>{{ value|figure }}</td>{% endfor %}
</tr>
{% endfor %}
</table></div>
<p class="hint">Test rows, mean over the seeds, original units; nrmse and nmae divide each column by
its standard deviation.</p>
{% if page.scalers %}<h2>How much the scaler matters</h2>
<p>{{ page.leverage }}</p>
<div class="scroll"><table>
<tr>{% for name in page.scalers[0] %}<th>{{ name }}</th>{% endfor %}</tr>
{% for row in page.scalers %}<tr>
{% for value in row.values() %}<td>{{ value|figure }}</td>{% endfor %}
</tr>
{% endfor %}
</table></div>
<p class="hint">The best trial of each loss under each scaler, by the search's objective on
validation rows, in bits per feature. A scaler that looked bad got few trials.</p>
{% endif %}
<h2>Why these losses competed</h2>
<ul>{% for line in page.advice %}<li>{{ line }}</li>{% endfor %}</ul>
<h2>How to get these numbers again</h2>
<dl>
{% for name, value in page.facts.items() %}<dt>{{ name }}</dt><dd>{{ value }}</dd>{% endfor %}
</dl>
</main>
</body>
</html>
"""
