"""Several files as one table: folders, patterns, partitions, and files that do not go together."""

import gzip
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.tables import NAMED, TYPED, beside, tabular, values, write

from hourglass.errors import DataError


def refusal(path, **changes):
    source = tabular(path, **changes)
    with pytest.raises(DataError) as caught:
        list(source.chunks())
    return str(caught.value).replace(f"{path if path.is_dir() else path.parent}/", "")


@pytest.mark.parametrize("suffix", NAMED)
def test_a_folder_of_files_is_one_table_in_sorted_order(tmp_path, suffix):
    write(tmp_path / f"2{suffix}", a=[3, 4], b=[0.5, 0.25])
    write(tmp_path / f"1{suffix}", a=[1, 2], b=[1.5, 1.25])
    source = tabular(tmp_path)
    assert values(source).tolist() == [[1, 1.5], [2, 1.25], [3, 0.5], [4, 0.25]]
    assert source.title == f"tabular: {tmp_path}"


def test_a_place_names_the_file_too(tmp_path):
    write(tmp_path / "1.csv", a=[1, 2])
    write(tmp_path / "2.csv", a=[3, 4])
    source = tabular(tmp_path)
    assert [source.place(row) for row in (0, 1, 2, 3)] == [
        "1.csv, line 2",
        "1.csv, line 3",
        "2.csv, line 2",
        "2.csv, line 3",
    ]


def test_a_place_tells_files_of_the_same_name_apart(tmp_path):
    for year in (2023, 2024):
        write(tmp_path / f"year={year}" / "part-0.csv", a=[1, 2])
    assert tabular(tmp_path).place(3) == "year=2024/part-0.csv, line 3"


def test_arrays_of_a_folder_are_one_table(tmp_path):
    np.save(tmp_path / "1.npy", np.ones((3, 2)))
    np.save(tmp_path / "2.npy", np.zeros((2, 2)))
    assert values(tabular(tmp_path))[:, 0].tolist() == [1, 1, 1, 0, 0]


def test_columns_may_come_in_any_order(tmp_path):
    write(tmp_path / "1.csv", a=[1], b=[2])
    write(tmp_path / "2.csv", b=[4], a=[3])
    assert values(tabular(tmp_path)).tolist() == [[1, 2], [3, 4]]


def test_a_pattern_takes_the_files_that_match(tmp_path):
    for name in ("2024-01", "2024-02", "2023-12"):
        write(tmp_path / f"{name}.csv", a=[int(name.replace("-", ""))])
    source = tabular(tmp_path / "2024-*.csv")
    assert values(source).ravel().tolist() == [202401, 202402]
    assert source.title == f"tabular: {tmp_path / '2024-*.csv'}"


def test_a_pattern_may_reach_into_folders(tmp_path):
    write(tmp_path / "x" / "1.csv", a=[1])
    write(tmp_path / "y" / "z" / "2.csv", a=[2])
    assert values(tabular(tmp_path / "*" / "*.csv")).ravel().tolist() == [1]
    assert values(tabular(tmp_path / "**" / "*.csv")).ravel().tolist() == [1, 2]


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(tmp_path):
    write(tmp_path / "a[1].csv", a=[1])
    write(tmp_path / "a1.csv", a=[2])
    assert values(tabular(tmp_path / "a[1].csv")).ravel().tolist() == [1]


def test_a_pattern_without_a_match_says_what_lies_there(tmp_path):
    write(tmp_path / "t.csv", a=[1])
    text = refusal(tmp_path / "2024-*.csv")
    assert text.startswith(f"2024-*.csv matches no file ({tmp_path} holds t.csv); mend params.yaml")


def test_folders_may_tell_columns(tmp_path):
    for year, city in ((2023, "Bern"), (2024, "Basel"), (2024, "Bern")):
        folder = tmp_path / f"year={year}" / f"city={city}"
        write(folder / "part-0.parquet", a=[year + 0.5] * 4)
    (tmp_path / "_SUCCESS").touch()
    source = tabular(tmp_path)
    assert source.layout().names == ("a", "year", "city")
    assert values(source)[::4].tolist() == [[2023.5, 2023, 0], [2024.5, 2024, 1], [2024.5, 2024, 0]]
    assert source.levels() == {"city": ("Bern", "Basel")}


def test_a_column_that_folders_tell_may_be_the_group(tmp_path):
    for name in ("m1", "m2"):
        write(tmp_path / f"machine={name}" / "1.csv", a=[1.5, 2.5])
    source = tabular(tmp_path, group="machine")
    assert source.layout().names == ("a",)
    assert beside(source, "group_N").tolist() == [0, 0, 1, 1]


def test_a_folder_that_tells_no_value_gives_gaps(tmp_path):
    write(tmp_path / "year=__HIVE_DEFAULT_PARTITION__" / "1.csv", a=[1])
    write(tmp_path / "year=2024" / "1.csv", a=[2])
    assert np.array_equal(values(tabular(tmp_path)), [[2, 2024], [1, np.nan]], equal_nan=True)


def test_files_without_rows_among_others_are_no_error(tmp_path):
    write(tmp_path / "1.parquet", a=pa.array([], pa.float64()))
    write(tmp_path / "2.parquet", a=[1.5])
    assert values(tabular(tmp_path)).tolist() == [[1.5]]
    write(tmp_path / "only" / "1.parquet", a=pa.array([], pa.float64()))
    assert refusal(tmp_path / "only") == "1.parquet holds 1 column and 0 rows; add the rows"


@pytest.mark.parametrize("suffix", NAMED)
def test_a_file_that_lacks_columns_is_named_with_them(tmp_path, suffix):
    write(tmp_path / f"1{suffix}", a=[1], b=[2], c=[3])
    write(tmp_path / f"2{suffix}", a=[1], d=[3], c=[2])
    assert refusal(tmp_path) == (
        f"2{suffix} lacks b and has d besides, compared with the columns of 1{suffix}; all files "
        "must have the same columns: mend the file, or name the files that belong together with a "
        "pattern (params.yaml: preprocess.files)"
    )


@pytest.mark.parametrize("suffix", TYPED)
def test_a_column_that_changes_its_type_is_named_with_both_files(tmp_path, suffix):
    write(tmp_path / f"1{suffix}", a=[1, 2], b=[True, False])
    write(tmp_path / f"2{suffix}", a=[1, 2], b=[1, 0])
    assert refusal(tmp_path) == (
        f"2{suffix}: column 'b' holds numbers, but booleans in 1{suffix}; a column must hold the "
        "same in all files"
    )


@pytest.mark.parametrize("later", [True, False])
def test_a_text_in_one_file_and_numbers_in_the_other(tmp_path, later):
    names = ("1.csv", "2.csv") if later else ("2.csv", "1.csv")
    write(tmp_path / names[0], a=[1, 2, 3])
    write(tmp_path / names[1], a=["4", "?", "6"])
    has = ("texts", "numbers") if later else ("numbers", "texts")
    assert refusal(tmp_path) == (
        f"2.csv: column 'a' holds {has[0]}, but {has[1]} in 1.csv ({names[1]}, line 3: '?'; if "
        'that stands for a gap, add it to params.yaml: preprocess.missing_values: ["?"]); a column '
        "must hold the same in all files"
    )
    assert np.isnan(values(tabular(tmp_path, missing_values=["?"]))).sum() == 1


def test_times_may_be_written_in_another_way_in_each_file(tmp_path):
    (tmp_path / "1.csv").write_text("a,t\n1,2024-05-01\n")
    (tmp_path / "2.csv").write_text("a,t\n2,2024-05-02T00:00\n3,2024-05-02T03:00+02:00\n")
    assert np.diff(beside(tabular(tmp_path, time="t"), "time_N")).tolist() == [86400, 3600]


def test_a_text_that_kinds_calls_a_number_is_told_with_its_file(tmp_path):
    write(tmp_path / "1.csv", a=[1], b=pa.array([None], pa.string()))
    write(tmp_path / "2.csv", a=[1], b=["x"])
    text = refusal(tmp_path, kinds={"b": "count"})
    assert text.startswith("2.csv: column 'b', line 2: 'x' is text, but params.yaml")


def test_integers_and_fractions_are_both_numbers(tmp_path):
    write(tmp_path / "1.parquet", a=[1, 2])
    write(tmp_path / "2.parquet", a=[1.5, None])
    assert np.array_equal(values(tabular(tmp_path)).ravel(), [1, 2, 1.5, np.nan], equal_nan=True)


def test_a_file_may_leave_a_column_of_texts_empty(tmp_path):
    write(tmp_path / "1.csv", a=[1, 2], city=pa.array([None, None], pa.string()))
    write(tmp_path / "2.csv", a=[1, 2], city=["Bern", "Bern"])
    source = tabular(tmp_path)
    assert np.array_equal(values(source)[:, 1], [np.nan, np.nan, 0, 0], equal_nan=True)
    assert source.levels() == {"city": ("Bern",)}


def test_several_files_may_be_compressed(tmp_path):
    for name in ("1", "2"):
        (tmp_path / f"{name}.csv.gz").write_bytes(gzip.compress(f"a\n{name}\n".encode()))
    assert values(tabular(tmp_path)).ravel().tolist() == [1, 2]


def test_a_stream_of_arrow_is_read_like_a_file(tmp_path):
    table = pa.table({"a": [1.5, None], "city": ["x", "x"]})
    with (
        pa.OSFile(str(tmp_path / "t.arrow"), "wb") as file,
        pa.ipc.new_stream(file, table.schema) as stream,
    ):
        stream.write_table(table, max_chunksize=1)
    assert np.array_equal(values(tabular(tmp_path)), [[1.5, 0], [np.nan, 0]], equal_nan=True)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cuts=st.lists(st.integers(1, 199), unique=True, max_size=4),
    chunk=st.integers(1, 300),
    suffix=st.sampled_from(NAMED),
)
def test_rows_do_not_depend_on_how_they_are_cut_into_files(
    tmp_path_factory, monkeypatch, cuts, chunk, suffix
):
    monkeypatch.setattr("hourglass.sources._table.CHUNK_VALUES", chunk * 2)
    numbers = np.random.default_rng(0).integers(0, 9, 200)
    columns = {
        "a": [None if k == 8 else float(k) / 4 for k in numbers],
        "city": [f"c{k}" for k in numbers],
        "g": [f"g{k // 2}" for k in numbers],
    }
    folder = tmp_path_factory.mktemp("cut")
    edges = [0, *sorted(cuts), 200]
    for i, (start, stop) in enumerate(pairwise(edges)):
        write(folder / f"{i}{suffix}", **{n: c[start:stop] for n, c in columns.items()})
    source = tabular(folder, group="g")
    first = {k: i for i, k in enumerate(dict.fromkeys(numbers))}
    group = {k: i for i, k in enumerate(dict.fromkeys(numbers // 2))}
    expected = [[np.nan if k == 8 else k / 4, first[k]] for k in numbers]
    assert np.array_equal(values(source), expected, equal_nan=True)
    assert beside(source, "group_N").tolist() == [group[k // 2] for k in numbers]
    assert source.levels() == {"city": tuple(f"c{k}" for k in first)}


@pytest.mark.parametrize("name", ["t.tsv", "t.tsv.gz"])
def test_commas_in_names_separate_nothing_where_a_file_says_that_tabs_do(tmp_path, name):
    text = "0,0\t0,1\t0,2\n1\t2\t3\n4\t5\t6\n"
    data = text.encode()
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    assert values(tabular(tmp_path / name)).tolist() == [[1, 2, 3], [4, 5, 6]]
