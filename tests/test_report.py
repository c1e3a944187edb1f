"""The report is one file: nothing is fetched, and no text of the data becomes markup."""

import re
from dataclasses import replace

import numpy as np
import pytest

from hourglass.figures import columns
from hourglass.report import LONG, Page, Picture, Section, write

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
        sections=[
            Section(EVIL, EVIL, Picture(picture, f'"{EVIL}'), hint=EVIL),
            Section("Rows", rows=[{"row": "3", EVIL: EVIL, "bits": 3.25}], lines=[EVIL]),
            Section("Nothing", "a lead alone", hint="a hint alone"),
        ],
        facts={EVIL: EVIL},
    )


def written(page, tmp_path) -> str:
    write(tmp_path / "report.html", page)
    return (tmp_path / "report.html").read_text(encoding="utf-8")


def test_texts_of_the_data_are_escaped_everywhere(page, tmp_path):
    html = written(page, tmp_path)
    assert "<script" not in html
    assert html.count("&lt;script&gt;alert(1)&lt;/script&gt;") == 15


def test_a_section_shows_its_picture_then_its_table_then_its_sentences(page, tmp_path):
    both = replace(page.sections[0], rows=[{"a": "first"}], lines=["second"], hint="third")
    html = written(replace(page, sections=[both]), tmp_path)
    shown = html.partition("<img ")[2].partition("<h2")[0]
    places = [shown.index(text) for text in ("first", "second", "third")]
    assert places == sorted(places)


def test_a_section_with_nothing_to_show_is_left_out_with_its_link(page, tmp_path):
    html = written(page, tmp_path)
    assert "Nothing" not in html
    assert "a lead alone" not in html


def test_long_texts_of_a_table_are_broken_into_lines(page, tmp_path):
    rows = [{"short": "x" * LONG, "long": "y" * (LONG + 1)}]
    html = written(replace(page, sections=[Section("Rows", rows=rows)]), tmp_path)
    assert f'<td class="word">{"x" * LONG}</td>' in html
    assert f'<td class="word long">{"y" * (LONG + 1)}</td>' in html


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
