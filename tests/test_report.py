"""The report is one file: nothing is fetched, and no text of the data becomes markup."""

import re
from dataclasses import replace

import numpy as np
import pytest

from hourglass.figures import columns
from hourglass.report import Page, Picture, write

EVIL = "<script>alert(1)</script>"
LINE = {
    "loss": "mse",
    "scaler": "unit",
    "test": 2.34567,
    "bits_per_feature_masked": 2.6,
    "ci_low": 2.3,
    "ci_high": 2.4,
    "verdict": "best",
    "selected": True,
    "difference": 0.0,
    "p_adjusted": 1.0,
    "rmse": 12345.678,
    "mae": 1e-5,
    "skill_vs_pca": None,
}


@pytest.fixture
def page(tmp_path):
    picture = tmp_path / "columns.png"
    columns(picture, {"mse": np.array([1.0, 2.0])}, ["a", "b"], None)
    return Page(
        title=f"Hourglass · {EVIL}",
        verdict=f"mse is best; {EVIL}",
        unit="bits per feature",
        other=("bits_per_feature_masked", "bits per hidden value"),
        remarks=[EVIL],
        leaderboard=[LINE, LINE | {"loss": EVIL, "verdict": "worse", "selected": False}],
        cross=[{"trained": EVIL, "rmse": 1.0}],
        pictures=[Picture(picture, EVIL, f'"{EVIL}', EVIL)],
        rows=[{"row": "3", EVIL: EVIL, "bits": 3.25}],
        settings=[{"setting": EVIL, "rank correlation": -0.5}],
        advice=[EVIL],
        scalers=[
            {"loss": EVIL, EVIL: 1.5, "standard": None},
            {"loss": "mse", EVIL: 2.5, "standard": 2.0},
        ],
        leverage=EVIL,
        facts={EVIL: EVIL},
    )


def written(page, tmp_path) -> str:
    write(tmp_path / "report.html", page)
    return (tmp_path / "report.html").read_text(encoding="utf-8")


def test_texts_of_the_data_are_escaped_everywhere(page, tmp_path):
    html = written(page, tmp_path)
    assert "<script" not in html
    assert html.count("&lt;script&gt;alert(1)&lt;/script&gt;") == 19


def test_scalers_are_shown_where_several_were_tried(page, tmp_path):
    html = written(page, tmp_path)
    shown = html.partition("How much the scaler matters</h2>")[2].partition("</table>")[0]
    assert re.findall(r"<td[^>]*>(.*?)</td>", shown)[1:] == [
        "1.5000",
        "",
        "mse",
        "2.5000",
        "2.0000",
    ]
    alone = replace(page, scalers=[], leverage="")
    assert "How much the scaler matters" not in written(alone, tmp_path)


def test_every_picture_has_words_that_stand_for_it(page, tmp_path):
    html = written(page, tmp_path)
    assert html.count("<img ") == len(re.findall(r'<img [^>]*alt="[^"]+"', html)) == 1


def test_nothing_is_fetched_from_elsewhere(page, tmp_path):
    html = written(page, tmp_path)
    sources = re.findall(r"(?:src|href)\s*=\s*[\"']([^\"']*)", html)
    assert {s.partition("base64,")[0] for s in sources if s[0] != "#"} == {"data:image/png;"}
    anchors = [s.removeprefix("#") for s in sources if s[0] == "#"]
    assert anchors == re.findall(r'<h2 id="([^"]*)"', html)
    assert not re.search(r"@import|url\(|https?:|<link|<iframe|<script", html)


def test_numbers_are_short_and_what_is_unknown_is_blank(page, tmp_path):
    html = written(page, tmp_path)
    assert "<td>2.3457</td>" in html
    assert "<td>1.235e+04</td><td>1e-05</td>" in html
    assert "None" not in html


def test_the_selected_loss_is_marked_once(page, tmp_path):
    html = written(page, tmp_path)
    assert html.count('<tr class="selected">') == 1
    assert html.count("best · selected") == 1


def test_the_same_page_is_the_same_file(page, tmp_path):
    assert written(page, tmp_path) == written(page, tmp_path)
