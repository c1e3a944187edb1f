"""What the user reads when a table can't be used: one message with file, place, value, remedy."""

import datetime
import gzip

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hourglass.errors import DataError, UnknownNameError
from hourglass.sources import SOURCES

ADVICE = (
    "Leave the column out (params.yaml: preprocess.drop: {}), name it in preprocess.label if it is "
    "the label, or encode it as numbers in the file."
)


def message(path, drop=(), label="", error=DataError):
    """The error that reading the whole file ends in, without the folder."""
    source = SOURCES.load("tabular")("", path, drop, label)

    def read():
        source.layout()
        return list(source.chunks())

    with pytest.raises(error) as caught:
        read()
    folder = path.parent
    return str(caught.value).replace(f"{folder}/", "").replace(str(folder), "FOLDER")


@pytest.fixture
def csv(tmp_path):
    def write(text):
        path = tmp_path / "t.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


@pytest.fixture
def npy(tmp_path):
    def write(array):
        np.save(tmp_path / "t.npy", array, allow_pickle=True)
        return tmp_path / "t.npy"

    return write


@pytest.fixture
def parquet(tmp_path):
    def write(table):
        pq.write_table(table, tmp_path / "t.parquet")
        return tmp_path / "t.parquet"

    return write


def test_a_missing_file_lists_what_lies_there_and_the_nearest(csv, tmp_path):
    csv("a\n1\n")
    assert message(tmp_path / "t.cvs") == (
        "t.cvs is missing, did you mean 't.csv'? (FOLDER holds t.csv); "
        "mend params.yaml: preprocess.path"
    )


def test_a_missing_folder_is_said(tmp_path):
    text = message(tmp_path / "no" / "t.csv")
    assert (
        text == "t.csv is missing, and so is its folder FOLDER; mend params.yaml: preprocess.path"
    )


def test_a_folder_without_a_table_says_what_belongs_there(tmp_path):
    (tmp_path / "README.md").write_text("hello")
    (tmp_path / "t.xlsx").write_text("hello")
    assert message(tmp_path).endswith(
        "holds no table (it holds t.xlsx); put one file there, .csv, .tsv (also .gz, .zst, .bz2 or "
        ".lz4), .parquet, .npy or .npz, or name yours in params.yaml: preprocess.path"
    )


def test_a_folder_with_several_tables_lists_them(csv, npy, tmp_path):
    csv("a\n1\n")
    npy(np.zeros((3, 1)))
    assert "holds 2 tables: t.csv, t.npy; name one, such as params.yaml: preprocess.path:" in (
        message(tmp_path)
    )


def test_an_unknown_type_lists_the_known(tmp_path):
    (tmp_path / "t.xlsx").write_text("hello")
    assert message(tmp_path / "t.xlsx") == (
        "t.xlsx: unknown type '.xlsx'; save the table as .csv, .tsv (also .gz, .zst, .bz2 or "
        ".lz4), .parquet, .npy or .npz"
    )


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".npy", ".npz"])
def test_an_empty_file(tmp_path, suffix):
    (tmp_path / f"t{suffix}").touch()
    assert message(tmp_path / f"t{suffix}") == (
        f"t{suffix} is empty; put a table with at least some dozens of rows there"
    )


def test_a_file_of_blank_lines(csv):
    assert message(csv("\n\n")) == "t.csv is empty; put a table with a header line there"


def test_a_header_without_rows(csv):
    assert message(csv("a,b\n")) == "t.csv holds a header line but no rows; add the rows"


def test_a_parquet_file_without_rows(parquet):
    text = message(parquet(pa.table({"a": pa.array([], pa.float64())})))
    assert text == "t.parquet holds 1 columns and 0 rows; add the rows"


def test_a_text_column_is_named_with_its_first_value_and_line(csv):
    assert message(csv("a,city\n1,Bern\n2,Basel\n")) == (
        "t.csv: column 'city', line 2: 'Bern' is text, and an autoencoder needs numbers. "
        + ADVICE.format("[city]")
    )


def test_all_text_columns_stand_in_the_remedy(csv):
    text = message(csv("city,a,first name\nBern,1,\nBasel,2,Eva\n"))
    assert text == (
        "t.csv: column 'city', line 2: 'Bern' is text, and an autoencoder needs numbers. "
        + ADVICE.format('[city, "first name"]')
        + " Texts are also in: first name."
    )


def test_a_text_late_in_the_file_is_found(csv):
    lines = [f"{i},{i}" for i in range(400_000)]
    lines[390_000] = "1,oops"
    text = message(csv("a,b\n" + "\n".join(lines) + "\n"))
    assert text.startswith("t.csv: column 'b', line 390002: 'oops' is text")


@pytest.mark.parametrize(
    ("cell", "hint"),
    [
        ("?", "If it stands for a missing value, leave the cell empty."),
        ("unknown", "If it stands for a missing value, leave the cell empty."),
        (" NA", "If it stands for a missing value, leave the cell empty."),
        ('"1,5"', "Decimals are written with a point."),
        ('"1,500"', "Decimals are written with a point, thousands without a separator."),
        ('"1,234,567"', "Thousands are written without a separator."),
        ("12 kg", "Numbers are written without a unit."),
        ("5%", "Numbers are written without a unit."),
    ],
)
def test_a_text_among_numbers_comes_with_a_hint(csv, cell, hint):
    text = message(csv(f"a,b\n1,2\n3,{cell}\n"))
    shown = cell.strip('"')
    assert text == (
        f"t.csv: column 'b', line 3: {shown!r} is text, and an autoencoder needs numbers. {hint} "
        + ADVICE.format("[b]")
    )


def test_a_word_after_blocks_of_numbers(csv, monkeypatch):
    monkeypatch.setattr("hourglass.sources._delimited.CHUNK_VALUES", 1)
    text = message(csv("a\n" + "1\n" * 1_000_000 + "true\n"))
    assert text.startswith("t.csv: column 'a', line 1000002: 'true' is text")


def test_dates_are_called_dates(csv, parquet):
    assert message(csv("a,day\n1,2024-05-01\n")).startswith(
        "t.csv: column 'day', line 2: '2024-05-01' is a date or time, and an autoencoder needs"
    )
    table = pa.table({"day": [datetime.date(2024, 5, 1)]})
    assert message(parquet(table)).startswith(
        "t.parquet: column 'day', row 1: '2024-05-01' is a date or time"
    )


def test_a_parquet_text_column_shows_its_first_value(parquet):
    text = message(parquet(pa.table({"a": [1, 2], "city": [None, "Bern"]})))
    assert text == (
        "t.parquet: column 'city', row 2: 'Bern' is text, and an autoencoder needs numbers. "
        + ADVICE.format("[city]")
    )


def test_columns_with_the_same_name(csv):
    assert message(csv("a,b,a\n1,2,3\n")) == (
        "t.csv: columns 1 and 3 are both named 'a'; give each column its own name in the file"
    )


def test_a_column_without_a_name(csv):
    assert message(csv(",a\n0,2\n")) == (
        "t.csv: column 1 has no name; give it one in the file "
        "(a row index that pandas wrote: save again with index=False)"
    )


def test_a_separator_at_the_end_of_the_header_line(csv):
    assert message(csv("a,b,\n1,2,\n")) == (
        "t.csv: column 3 has no name; give it one in the file "
        "(a separator too many at the end of the line?)"
    )


def test_a_separator_that_is_not_known(csv):
    assert message(csv("a b\n1 2\n3 4\n")) == (
        "t.csv: the only column, 'a b', holds text: '1 2' in line 2. If these are several columns, "
        "put a comma, a semicolon, a tab or a bar between them; else encode the column as numbers"
    )


def test_numbers_instead_of_a_header(csv):
    assert message(csv("0.5,-1.25,7\n1,2,3\n")) == (
        "t.csv: the first line holds numbers (0.5, -1.25, 7, ...) where the names of the columns "
        "are expected; add a header line"
    )


@pytest.mark.parametrize("row", ["3", "3,4,5"])
def test_a_ragged_row(csv, row):
    cells = {"3": "1 cell", "3,4,5": "3 cells"}[row]
    assert message(csv(f"a,b\n1,2\n\n{row}\n5,6\n")) == (
        f"t.csv: line 4 has {cells}, but the header names 2 columns (separated by ','); mend "
        "the line (a cell that holds the separator must stand in quotes)"
    )


def test_a_feature_in_another_encoding(csv):
    text = message(csv(b"a,b\n1,2\n3,\xe9t\xe9\n"))
    assert "column 'b', line 3:" in text
    assert "It is not in UTF-8: save the file in that encoding." in text


def test_a_header_in_another_encoding(csv):
    assert message(csv(b"a,\xe9\n1,2\n")) == (
        "t.csv: the header line is not in UTF-8 (byte 0xe9 at position 3); save the file in UTF-8"
    )


def test_utf_16_and_binary_files(csv):
    assert message(csv("a,b\n1,2\n".encode("utf-16"))) == (
        "t.csv is in UTF-16; save it as CSV in UTF-8"
    )
    assert message(csv(b"a,b\n\0\0")) == (
        "t.csv is no text file (it holds NUL bytes); save it as CSV in UTF-8"
    )


def test_a_truncated_archive(tmp_path):
    whole = gzip.compress(b"a,b\n" + b"1,2\n" * 100_000)
    (tmp_path / "t.csv.gz").write_bytes(whole[: len(whole) // 2])
    text = message(tmp_path / "t.csv.gz")
    assert text.startswith("t.csv.gz can't be read: ")
    assert text.endswith("; check that the file is whole")


@pytest.mark.parametrize("suffix", [".parquet", ".npy", ".npz"])
def test_a_file_that_is_not_what_its_name_says(tmp_path, suffix):
    (tmp_path / f"t{suffix}").write_text("hello, world")
    assert message(tmp_path / f"t{suffix}").startswith(f"t{suffix} can't be read as ")


@pytest.mark.parametrize(
    ("array", "complaint"),
    [
        (np.zeros(5), "t.npy has shape (5,); a table has two dimensions, rows and columns: save "
         "array.reshape(-1, 1)"),
        (np.zeros((5, 2, 2)), "t.npy has shape (5, 2, 2); a table has two dimensions, rows and "
         "columns: save array.reshape(len(array), -1)"),
        (np.zeros((0, 2)), "t.npy has shape (0, 2) and holds no values; add the rows"),
        (np.zeros((5, 2), complex), "t.npy is complex; save its real and imaginary parts, or its "
         "modulus and phase, as columns"),
        (np.full((5, 2), "x"), "t.npy holds text (<U1), and an autoencoder needs numbers; encode "
         "it as numbers"),
        (np.zeros((5, 2), "M8[s]"), "t.npy holds dates or times; save them as numbers, such as "
         "days since a date"),
        (np.zeros((5, 2), object), "t.npy holds Python objects, which only a pickle could load; "
         "save array.astype(float)"),
        (np.zeros(5, object), "t.npy holds Python objects, which only a pickle could load; "
         "save array.astype(float)"),
        (np.zeros((5, 2), [("x", "f8"), ("y", "f8")]), "t.npy is a structured array (fields x, y); "
         "save one plain array of numbers"),
    ],
)  # fmt: skip
def test_arrays_that_are_no_table_of_numbers(npy, array, complaint):
    assert message(npy(array)) == complaint


def test_an_archive_whose_table_can_not_be_told(tmp_path):
    np.savez(tmp_path / "t.npz", one=np.zeros((3, 2)), two=np.zeros((3, 2)), y=np.zeros(3))
    assert message(tmp_path / "t.npz") == (
        "t.npz: which array is the table? Arrays: one (3, 2), two (3, 2), y (3,); name it X, or "
        "leave just one with two dimensions"
    )


def test_objects_in_an_archive_are_never_unpickled(tmp_path):
    np.savez(tmp_path / "t.npz", X=np.zeros((3, 2), object))
    assert message(tmp_path / "t.npz").startswith("t.npz: array 'X' holds Python objects")


def test_a_truncated_array(npy):
    path = npy(np.zeros((100, 5)))
    path.write_bytes(path.read_bytes()[:-100])
    assert message(path).startswith("t.npy can't be read as NPY: ")


def test_unknown_columns_are_answered_with_the_nearest(csv):
    path = csv("height,weight\n1,2\n")
    assert message(path, drop=("heigth",), error=UnknownNameError) == (
        "params.yaml: preprocess.drop: no column 'heigth' in t.csv, did you mean 'height'? "
        "(columns: height, weight)"
    )
    assert message(path, label="wait", error=UnknownNameError) == (
        "params.yaml: preprocess.label: no column 'wait' in t.csv, did you mean 'weight'? "
        "(columns: height, weight)"
    )


def test_no_feature_left(csv):
    assert message(csv("a,b\n1,2\n"), drop=("a",), label="b") == (
        "t.csv: no feature is left: all 2 columns are named in params.yaml: preprocess.drop or "
        "preprocess.label; leave at least one column in"
    )
