"""Tables as a European spreadsheet saves them: `;` between the cells, decimals with a comma."""

import numpy as np
import pytest
from tests.settings import preprocess
from tests.tables import beside, tabular, values

from hourglass.sources import SOURCES


def saved(path, separator=";", comma=",", rows=40):
    """Columns t, g, a, b, n: a time, a group, two fractions, a count."""
    random = np.random.default_rng(0).normal(size=(rows, 2)).round(3)
    lines = [f"{t / 4};{t % 3 + 0.5};{a};{b};{t}" for t, (a, b) in enumerate(random.tolist())]
    text = "\n".join(["t;g;a;b;n", *lines, ""])
    path.write_text(text.replace(".", comma).replace(";", separator))
    return path


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_a_decimal_comma_reads_as_a_decimal_point_does(tmp_path, separator):
    with_comma = tabular(saved(tmp_path / "comma.csv", separator))
    with_point = tabular(saved(tmp_path / "point.csv", separator, comma="."))
    assert values(with_comma).tolist() == values(with_point).tolist()
    assert with_comma.layout() == with_point.layout()


@pytest.mark.parametrize("role", ["label", "group", "time", "weight"])
def test_so_does_a_column_with_a_role(tmp_path, role):
    name = {"label": "a", "group": "g", "time": "t", "weight": "g"}[role]
    columns = [
        beside(tabular(saved(tmp_path / f"{comma}.csv", comma=comma), **{role: name}), f"{role}_N")
        for comma in ",."
    ]
    assert columns[0].tolist() == columns[1].tolist()


def test_levels_that_are_numbers_have_a_point_as_in_any_other_file(tmp_path):
    source = tabular(saved(tmp_path / "t.csv"), kinds={"g": "categorical"})
    values(source)
    assert source.levels() == {"g": ("0.5", "1.5", "2.5")}


def test_series_read_it_too_beside_the_channels_as_well(tmp_path):
    options = {"source": "sequences", "window": {"length": 2, "stride": 1}, "time": "t"}
    chunks = [
        list(SOURCES.load("sequences")(preprocess(**options), path).chunks())
        for path in (saved(tmp_path / "c.csv"), saved(tmp_path / "p.csv", comma="."))
    ]
    for comma, point in zip(*chunks, strict=True):
        assert comma.values_NF.tolist() == point.values_NF.tolist()
        assert comma.time_N.tolist() == point.time_N.tolist()


def test_the_log_says_so_once_with_what_tells(tmp_path, caplog):
    folder = tmp_path / "raw"
    folder.mkdir()
    for name in ("1.csv", "2.csv"):
        saved(folder / name)
    with caplog.at_level("INFO"):
        values(tabular(folder))
    assert [r.getMessage() for r in caplog.records] == [
        f"{folder / '1.csv'}: the comma is read as the decimal sign, as in column 't': 0,0"
    ]


def test_nothing_is_said_of_points(tmp_path, caplog):
    with caplog.at_level("INFO"):
        values(tabular(saved(tmp_path / "t.csv", comma=".")))
    assert not caplog.records


def test_a_pair_among_columns_with_points_does_not_make_them_texts(tmp_path):
    path = tmp_path / "t.tsv"
    path.write_text("a\tb\tpair\n" + "1.5\t2.5\t1,2\n0.5\t0.25\t3,4\n" * 10)
    assert values(tabular(path, drop=["pair"]))[:2].tolist() == [[1.5, 2.5], [0.5, 0.25]]


def test_gaps_and_a_first_block_of_integers_do_not_hide_it(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a;b\n1;\n" + "-;-0,231\n" * 3 + "2;1\n" * 10)
    got = values(tabular(path, missing_values=["-"]))
    assert np.array_equal(got[:3], [[1, np.nan], [np.nan, -0.231], [np.nan, -0.231]], True)
