"""Columns of texts become codes; what stands for a gap becomes NaN."""

import datetime
import logging
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.tables import NAMED, TYPED, tabular, values, write

from hourglass import given as rows_given
from hourglass import incoming
from hourglass.errors import DataError
from hourglass.schema import Column, Kind, Schema
from hourglass.spelling import shortest

CITIES = ["Bern", "Basel", None, "Bern", "Chur", "Basel", "Chur"]
CODES = [0, 1, np.nan, 0, 2, 1, 2]


@pytest.fixture(params=NAMED)
def table(request, tmp_path):
    def of(**columns):
        return write(tmp_path / f"t{request.param}", **columns)

    return of


def read(source, column=0):
    return values(source)[:, column]


def same(found, expected):
    return np.array_equal(found, expected, equal_nan=True)


def refusal(source):
    with pytest.raises(DataError) as caught:
        list(source.chunks())
    return str(caught.value).replace(f"{source.path.parent}/", "")


# --- levels ---------------------------------------------------------------------------------------


def test_texts_become_codes_in_the_order_of_appearance(table):
    source = tabular(table(a=np.arange(7) / 4, city=CITIES))
    assert source.layout().names == ("a", "city")
    assert source.layout().categorical == {"city"}
    assert same(read(source, 1), CODES)
    assert read(source, 0).tolist() == (np.arange(7) / 4).tolist()
    assert source.levels() == {"city": ("Bern", "Basel", "Chur")}


def test_levels_are_told_anew_each_time(table):
    source = tabular(table(city=CITIES, a=np.arange(7)))
    assert source.levels() == {}
    assert same(read(source), CODES)
    assert same(read(source), CODES)
    assert source.levels() == {"city": ("Bern", "Basel", "Chur")}


@pytest.mark.parametrize("suffix", TYPED)
def test_categories_of_pandas_are_numbered_as_they_appear_not_as_they_are_listed(tmp_path, suffix):
    cities = pd.Categorical(CITIES, categories=["Aarau", "Chur", "Basel", "Bern"])
    path = tmp_path / f"t{suffix}"
    write(path, city=pa.array(cities))
    source = tabular(path)
    assert source.layout().categorical == {"city"}
    assert same(read(source), CODES)
    assert source.levels() == {"city": ("Bern", "Basel", "Chur")}


@pytest.mark.parametrize("kind", [pa.large_string(), pa.string_view()])
def test_texts_of_other_widths_are_texts(tmp_path, kind):
    source = tabular(write(tmp_path / "t.arrow", city=pa.array(CITIES, kind)))
    assert same(read(source), CODES)


def test_categories_that_are_numbers_are_levels_unless_kinds_says_otherwise(tmp_path):
    grades = pa.array([3, 5, None, 3, 5]).dictionary_encode()
    path = write(tmp_path / "t.arrow", grade=grades)
    assert same(read(tabular(path)), [0, 1, np.nan, 0, 1])
    numbers = tabular(path, kinds={"grade": "continuous"})
    assert same(read(numbers), [3, 5, np.nan, 3, 5])
    assert numbers.layout().categorical == frozenset()


def test_blanks_around_a_text_make_no_level(tmp_path):
    (tmp_path / "t.csv").write_text("a, city\n1, Bern\n2,Bern \n3,  NA\n4,Bern\n")
    source = tabular(tmp_path / "t.csv")
    assert same(read(source, 1), [0, 0, np.nan, 0])
    assert source.levels() == {"city": ("Bern",)}


def test_a_column_of_texts_that_begins_empty(tmp_path, monkeypatch):
    monkeypatch.setattr("hourglass.sources._delimited._GUESS_BYTES", 1)
    rows = "1,,,\n" * 400_000 + "1,Bern,5,true\n" * 2
    (tmp_path / "t.csv").write_text("a,city,n,yes\n" + rows)
    source = tabular(tmp_path / "t.csv")
    assert source.layout().categorical == {"city"}
    assert same(values(source)[-3:], [[1, *[np.nan] * 3], [1, 0, 5, 1], [1, 0, 5, 1]])


@pytest.mark.parametrize(
    ("numbers", "levels"),
    [
        ([3, 1, 3, 1, 2, 2], ("3", "1", "2")),
        ([3.0, 1.5, 3.0, 1.5, -2.0, -2.0], ("3", "1.5", "-2")),
        ([True, False, True, True, False, False], ("true", "false")),
        ([2**60 + 1, 2**60, 5] * 2, (str(2**60 + 1), str(2**60), "5")),
    ],
)
def test_numbers_become_levels_where_kinds_says_so(table, numbers, levels):
    source = tabular(table(a=numbers), kinds={"a": "categorical"})
    assert source.layout().categorical == {"a"}
    code = {text: i for i, text in enumerate(levels)}
    expected = [code[shortest(str(n).lower())] for n in numbers]
    assert read(source).tolist() == expected
    assert source.levels() == {"a": levels}


def test_numbers_of_arrays_become_levels_too(tmp_path):
    np.save(tmp_path / "t.npy", np.array([[0.5, 7], [1.5, 3], [2.5, 7], [3.5, np.nan]]))
    source = tabular(tmp_path / "t.npy", kinds={"1": "categorical"})
    assert same(values(source), [[0.5, 0], [1.5, 1], [2.5, 0], [3.5, np.nan]])
    assert source.levels() == {"1": ("7", "3")}


def test_the_same_number_written_in_two_ways_is_one_level(tmp_path):
    (tmp_path / "t.csv").write_text("a\n3\n3.0\n3.00\n2.5\n2.50\n")
    source = tabular(tmp_path / "t.csv", kinds={"a": "categorical"})
    assert read(source).tolist() == [0, 0, 0, 1, 1]
    assert source.levels() == {"a": ("3", "2.5")}


def test_texts_among_numbers_are_levels_where_kinds_says_so(table):
    stages = ["1", "2", "2", "X", "1", "X"]
    source = tabular(table(stage=stages), kinds={"stage": "categorical"})
    assert read(source).tolist() == [0, 1, 1, 2, 0, 2]


def test_dates_are_levels_where_kinds_says_so(table):
    days = [datetime.date(2024, 5, d) for d in (1, 2, 1, 2)]
    source = tabular(table(day=days), kinds={"day": "categorical"})
    assert read(source).tolist() == [0, 1, 0, 1]
    assert source.levels() == {"day": ("2024-05-01", "2024-05-02")}


def test_a_few_levels_in_few_rows_are_an_identifier_unless_kinds_says_otherwise(table):
    path = table(a=[1.5, 2.5, 3.5], city=["x", "y", "x"])
    assert "column 'city' holds 2 different values in 3 rows" in refusal(tabular(path))
    assert read(tabular(path, kinds={"city": "categorical"}), 1).tolist() == [0, 1, 0]


def test_one_level_is_none_too_many(table):
    assert read(tabular(table(city=["x"]))).tolist() == [0]


def test_a_thousand_levels_are_allowed_and_no_more(tmp_path):
    path = write(tmp_path / "t.parquet", k=[f"k{i % 1000}" for i in range(4000)])
    assert read(tabular(path)).max() == 999
    path = write(tmp_path / "t.parquet", k=[i % 1001 for i in range(4000)])
    text = refusal(tabular(path, kinds={"k": "categorical"}))
    assert "column 'k' holds 1001 different values in 4000 rows (such as '0', '1', '2')" in text


def test_the_first_text_among_numbers_is_found_in_a_later_file(tmp_path):
    write(tmp_path / "1.parquet", a=["1", "2", "3"])
    write(tmp_path / "2.parquet", a=["4", "x", "5"])
    with pytest.raises(DataError, match=r"column 'a', 2\.parquet, row 2: 'x' is text among"):
        values(tabular(tmp_path))


@given(st.lists(st.sampled_from(["x", "y", "z", None]), min_size=8, max_size=60), st.integers(1, 9))
def test_codes_and_levels_give_the_texts_back(tmp_path_factory, texts, rows):
    path = tmp_path_factory.mktemp("levels") / "t.arrow"
    with pa.OSFile(str(path), "wb") as file:
        column = pa.table({"a": pa.array(texts, pa.string())})
        with pa.ipc.new_file(file, column.schema) as writer:
            writer.write_table(column, max_chunksize=rows)
    source = tabular(path, kinds={"a": "categorical"})
    code_N = read(source)
    levels = source.levels()["a"]
    assert [None if np.isnan(c) else levels[int(c)] for c in code_N] == texts
    assert list(levels) == [t for t in dict.fromkeys(texts) if t]


@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers())
def test_the_shortest_text_is_of_the_same_number(number):
    text = shortest(str(number))
    assert len(text) <= len(str(number))
    assert float(text) == float(number) if isinstance(number, float) else int(text) == number


# --- gaps -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64])
def test_numbers_that_stand_for_a_gap_are_found_by_value(table, dtype):
    path = table(a=np.array([1, -9999, 3, 999], dtype), b=np.array([5, 6, 999, 8], dtype))
    source = tabular(path, missing_values=[-9999, 999.0])
    expected = [[1, 5], [np.nan, 6], [3, np.nan], [np.nan, 8]]
    assert same(values(source), expected)


def test_fractions_that_stand_for_a_gap_are_found_in_float32(tmp_path):
    path = write(tmp_path / "t.parquet", a=np.array([1, -99.9], np.float32), b=[1.5, -99.9])
    assert same(values(tabular(path, missing_values=[-99.9])), [[1, 1.5], [np.nan, np.nan]])
    alone = tabular(path, drop=["b"], missing_values=[-99.9])
    assert alone.layout().dtype == np.float32
    assert same(read(alone), [1, np.nan])


def test_numbers_that_stand_for_a_gap_in_an_array(tmp_path):
    np.save(tmp_path / "t.npy", np.array([[1, -1], [-1, 2]]))
    assert same(
        values(tabular(tmp_path / "t.npy", missing_values=[-1])), [[1, np.nan], [np.nan, 2]]
    )


def test_codes_are_never_taken_for_gaps(table):
    path = table(a=[0, 1, 5, 7], city=["x", "y", "x", "y"])
    source = tabular(path, missing_values=[0, 1])
    assert same(values(source), [[np.nan, 0], [np.nan, 1], [5, 0], [7, 1]])


@pytest.mark.parametrize("kinds", [{}, {"k": "categorical"}])
def test_numbers_that_stand_for_a_gap_are_no_levels(table, kinds):
    texts = ["x", "-9", "x", "y", "y"] if not kinds else [4, -9, 4, 5, 5]
    source = tabular(table(k=texts), missing_values=[-9], kinds=kinds)
    assert same(read(source), [0, np.nan, 0, 1, 1])


def test_texts_that_stand_for_a_gap(table):
    path = table(a=[1.5, 2.5, 3.5, 4.5, 5.5], city=["x", "?", "y", "y", "x"])
    source = tabular(path, missing_values=["?"])
    assert same(read(source, 1), [0, np.nan, 1, 1, 0])


def test_texts_that_stand_for_a_gap_among_numbers(tmp_path):
    (tmp_path / "t.csv").write_text("a,b\n1,true\n?,false\n3,?\n")
    source = tabular(tmp_path / "t.csv", missing_values=["?"])
    assert source.layout().categorical == frozenset()
    assert same(values(source), [[1, 1], [np.nan, 0], [3, np.nan]])


def test_a_number_that_occurs_in_no_column_is_warned_of_once(table, caplog):
    path = table(a=[1.5, -99.0], city=["-7", "-7"])
    source = tabular(path, missing_values=[-99, -7, -9999], kinds={"city": "categorical"})
    with caplog.at_level(logging.WARNING):
        values(source)
        values(source)
    assert [r.getMessage() for r in caplog.records] == [
        f"{path}: no column holds -9999, which params.yaml: preprocess.missing_values names"
    ]


def test_a_label_keeps_its_numbers_and_loses_its_texts(table):
    path = table(a=[1.5, 2.5, -1], y=["p", "?", "q"])
    source = tabular(path, label="y", missing_values=["?", -1])
    (chunk,) = source.chunks()
    assert same(chunk.label_N, [0, np.nan, 1])
    assert same(chunk.values_NF[:, 0], [1.5, 2.5, np.nan])


def test_a_group_that_stands_for_a_gap_is_missing(table):
    source = tabular(table(a=[1.5, 2.5], g=["u", "?"]), group="g", missing_values=["?"])
    assert "(preprocess.group)" in refusal(source)
    assert "the value is missing" in refusal(source)


@pytest.mark.parametrize(
    ("cells", "levels"),
    [
        (["1.0", "2.0", "", "3.0"], ("1", "2", "3")),  # as pandas writes 1, 2 beside a gap
        (["01", "2", "03", "1"], ("1", "2", "3")),
        (["True", "false", "TRUE", ""], ("true", "false")),
        (["1,5", "2,0", "0,25", "10"], ("1.5", "2", "0.25", "10")),
        (["1e3", "1000", "-0.50", "7"], ("1000", "-0.5", "7")),
        (["1", "01", "A", " A "], ("1", "01", "A")),  # texts stay as they are
    ],
)
def test_a_file_that_is_scored_has_the_levels_that_it_was_trained_on(tmp_path, cells, levels):
    """A regression: `hourglass predict` took them for levels that the model had not seen."""
    path = tmp_path / "t.csv"
    path.write_text("\n".join(["a;x", *(f"{cell};{i}" for i, cell in enumerate(cells)), ""]))
    source = tabular(path, kinds={"a": "categorical"})
    trained = read(source)
    assert source.levels() == {"a": levels}
    column = Column("a", Kind.CATEGORICAL, None, None, None, 0, levels)
    schema = Schema("t", (column,), {}, {}, None, {}, "d", gaps=True)
    chunk = next(incoming.opened(path, schema).chunks(100))
    assert same(rows_given.read(chunk.load()[0], schema).rows_NF[:, 0], trained)


def test_decimals_of_parquet_are_numbers_and_levels_there_too(tmp_path):
    values = [Decimal("0.50"), Decimal("1.25"), None, Decimal("3.00")]
    path = write(tmp_path / "t.parquet", a=values, b=values)
    trained = tabular(path, kinds={"a": "categorical"})
    of_training = [read(trained, column) for column in (0, 1)]
    columns = (
        Column("a", Kind.CATEGORICAL, None, None, None, 0, trained.levels()["a"]),
        Column("b", Kind.CONTINUOUS, None, None, None, 0),
    )
    schema = Schema("t", columns, {}, {}, None, {}, "d", gaps=True)
    chunk = next(incoming.opened(path, schema).chunks(100))
    found = rows_given.read(chunk.load()[0], schema)
    assert not found.wrong
    assert all(same(found.rows_NF[:, i], of_training[i]) for i in (0, 1))
