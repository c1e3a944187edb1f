"""The report is one file: nothing is fetched, and no text of the data becomes markup."""

import re
from dataclasses import replace

import numpy as np
import pytest

from hourglass.pictures import columns
from hourglass.report import LONG, Page, Picture, Section, Table, write

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
    "tie": "",
    "validation": 2.4,
    "difference": 0.0,
    "difference_low": 0.0,
    "difference_high": 0.0,
    "p_adjusted": 1.0,
    "rmse": 12345.678,
    "mae": 1e-5,
    "skill_vs_pca": None,
}
WORSE = {"verdict": "worse", "selected": False, "p_adjusted": 0.0123, "difference": 0.0512}


@pytest.fixture
def page(tmp_path):
    picture = tmp_path / "columns.png"
    columns(picture, {"mse": np.array([1.0, 2.0])}, ["a", "b"], None, [False] * 2)
    return Page(
        title=f"Hourglass · {EVIL}",
        verdict=f"mse is best; {EVIL}. The rest is {EVIL}.",
        level="95 %",
        unit="bits per feature",
        other=("bits_per_feature_masked", "bits per hidden value"),
        remarks=[EVIL],
        leaderboard=[LINE, LINE | {"loss": EVIL} | WORSE],
        terms={EVIL: EVIL},
        sections=[
            Section(EVIL, EVIL, Picture(picture, f'"{EVIL}'), hint=EVIL),
            Section(
                "Rows",
                table=Table([{"row": "3", EVIL: EVIL, "bits": 3.25}], groups={0: EVIL}),
                lines=[EVIL],
                source=EVIL,
            ),
            Section("Nothing", "a lead alone", hint="a hint alone"),
        ],
        facts={EVIL: EVIL},
        params=f"a: {EVIL}",
    )


def written(page, tmp_path) -> str:
    write(tmp_path / "report.html", page)
    return (tmp_path / "report.html").read_text(encoding="utf-8")


def test_texts_of_the_data_are_escaped_everywhere(page, tmp_path):
    html = written(page, tmp_path)
    assert "<script" not in html
    assert html.count("&lt;script&gt;alert(1)&lt;/script&gt;") == 21


def test_a_section_shows_its_picture_then_its_table_then_its_sentences(page, tmp_path):
    both = replace(page.sections[0], table=Table([{"a": "first"}]), lines=["second"], hint="third")
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
    html = written(replace(page, sections=[Section("Rows", table=Table(rows))]), tmp_path)
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
    assert '<td class="edge">2.346</td>' in html
    assert "<td>1.235e+04</td><td>1.000e-05</td>" in html
    assert "None" not in html


@pytest.mark.parametrize(("p", "shown"), [(7.5e-05, "&lt; 0.001"), (0.0123, "0.012")])
def test_a_small_p_value_is_no_row_of_digits(page, tmp_path, p, shown):
    lines = [LINE, LINE | WORSE | {"p_adjusted": p}]
    assert f"<td>{shown}</td>" in written(replace(page, leaderboard=lines), tmp_path)


def test_the_first_sentence_of_the_verdict_stands_out_alone(page, tmp_path):
    html = written(replace(page, verdict="mse is best: 1.5 bits. mae is worse by 0.1."), tmp_path)
    assert '<p class="verdict">mse is best: 1.5 bits.</p>' in html
    assert "<p>mae is worse by 0.1.</p>" in html


def test_a_tie_says_which_sort_it_is(page, tmp_path):
    tied = LINE | WORSE | {"verdict": "tied", "tie": "unclear"}
    html = written(replace(page, leaderboard=[LINE, tied]), tmp_path)
    assert re.search(r'<td class="word tied">tied, unclear\s*</td>', html)


def test_the_difference_on_validation_rows_comes_with_its_interval(page, tmp_path):
    near = {"difference_low": 0.0411, "difference_high": 0.0613}
    html = written(replace(page, leaderboard=[LINE, LINE | WORSE | near]), tmp_path)
    assert re.search(r"<td>0\.051\s+<small>\(0\.041 to 0\.061\)</small></td>", html)


def test_a_cell_that_stands_out_is_bold_and_a_group_has_its_heading(page, tmp_path):
    rows = [{"loss": "mse", "rmse": 1.0}, {"loss": "mean", "rmse": 2.0}]
    table = Table(rows, frozenset({(0, "rmse")}), {1: "baselines"})
    html = written(replace(page, sections=[Section("Rows", table=table)]), tmp_path)
    assert html.count("<b>1.000</b>") == 1
    assert "<b>2" not in html
    assert html.index("<b>1.000") < html.index('colspan="2">baselines') < html.index("2.000")


def test_the_selected_loss_is_marked_once(page, tmp_path):
    html = written(page, tmp_path)
    assert html.count('<tr class="selected">') == 1
    assert len(re.findall(r"best\s+· selected", html)) == 1


def test_the_same_page_is_the_same_file(page, tmp_path):
    assert written(page, tmp_path) == written(page, tmp_path)
