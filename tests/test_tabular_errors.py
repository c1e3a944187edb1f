"""What the user reads when a table can't be used: one message with file, place, value, remedy."""

import datetime
import gzip
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.settings import preprocess

from hourglass.errors import DataError, UnknownNameError
from hourglass.sources import SOURCES

TYPES = ".csv, .tsv (also .gz, .zst, .bz2 or .lz4), .parquet, .arrow, .feather, .ipc, .npy or .npz"


def among_numbers(file, column, place, text, hint="", also=""):
    """The error of a text among numbers."""
    shown = text if text.isalpha() and text != "true" else json.dumps(text, ensure_ascii=False)
    return (
        f"{file}: column {column!r}, {place}: {text!r} is text among numbers. {hint}"
        + (
            "If the column holds levels, say so in params.yaml: "
            if hint
            else "If it stands for a gap, add it to params.yaml: preprocess.missing_values: "
            f"[{shown}]; if the column holds levels, say so in "
        )
        + f"preprocess.kinds: {{{column}: categorical}}; else mend the text, or leave the column "
        f"out (preprocess.drop: [{column}{also and ', ' + also}])."
        + (f" Texts among numbers are also in: {also}." if also else "")
    )


def message(path, error=DataError, **changes):
    """The error that reading the whole file ends in, without the folder."""
    source = SOURCES.load("tabular")(preprocess(source="tabular", **changes), path)

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
        f"holds no table (it holds t.xlsx); put one there, {TYPES}, or name yours in params.yaml: "
        "preprocess.path"
    )


def test_a_folder_with_several_formats_lists_its_tables(csv, npy, tmp_path):
    csv("a\n1\n")
    npy(np.zeros((3, 1)))
    folder = tmp_path.name
    assert message(tmp_path) == (
        f"{folder} holds tables of several formats: t.csv, t.npy; name one, such as params.yaml: "
        f"preprocess.path: {folder}/t.csv, or those that belong together: {folder}/*.csv"
    )


def test_a_table_and_its_compressed_copy_are_two_formats(csv, tmp_path):
    path = csv("a\n1\n")
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(path.read_bytes()))
    assert "holds tables of several formats: t.csv, t.csv.gz;" in message(tmp_path)


def test_an_unknown_type_lists_the_known(tmp_path):
    (tmp_path / "t.xlsx").write_text("hello")
    assert message(tmp_path / "t.xlsx") == (
        f"t.xlsx: unknown type '.xlsx'; save the table as {TYPES}"
    )


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".arrow", ".npy", ".npz"])
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
    assert text == "t.parquet holds 1 column and 0 rows; add the rows"


def test_a_text_among_numbers_is_named_with_its_line(csv):
    text = message(csv("a,b\n1,1\n2,2\n3,oops\n4,4\n"))
    assert text == among_numbers("t.csv", "b", "line 4", "oops")


def test_all_columns_with_texts_late_in_the_file_stand_in_the_remedy(csv):
    lines = [f"{i},{i},{i}" for i in range(900_000)]
    lines[890_000], lines[890_900] = "1,oops,1", "?,1,1"
    text = message(csv("a,b,c\n" + "\n".join(lines) + "\n"))
    assert text == among_numbers("t.csv", "b", "line 890002", "oops", also="a")


@pytest.mark.parametrize(
    ("cell", "hint"),
    [
        ("?", ""),
        ("unknown", ""),
        ('"1,5"', "Decimals are written with a point where commas separate the cells. "),
        (
            '"1,500"',
            "It may be 1.500 or 1500: decimals are written with a point, thousands without a "
            "separator. ",
        ),
        ('"1,234,567"', "Thousands are written without a separator. "),
        ("12 kg", "Numbers are written without a unit. "),
        ("5%", "Numbers are written without a unit. "),
    ],
)
def test_a_text_among_numbers_comes_with_a_hint(csv, cell, hint):
    text = message(csv(f"a,b\n1,2\n3,{cell}\n5,6\n"))
    assert text == among_numbers("t.csv", "b", "line 3", cell.strip('"'), hint)


def test_quoted_decimals_with_a_comma_between_commas_are_no_levels(csv):
    text = message(csv('a,b\n1,"1,5"\n2,"2,5"\n3,"1,5"\n4,"1,5"\n5,"2,5"\n'))
    hint = "Decimals are written with a point where commas separate the cells. "
    assert text == among_numbers("t.csv", "b", "line 2", "1,5", hint)


def test_a_comma_that_may_separate_thousands_is_not_guessed(csv):
    text = message(csv("a;b\n1;1,234\n2;12,345\n"))
    assert text == among_numbers(
        "t.csv",
        "b",
        "line 2",
        "1,234",
        "It may be 1.234 or 1234: decimals are written with a point, thousands without a "
        "separator. ",
    )


def test_two_decimal_signs_in_a_column_are_not_guessed(csv):
    assert message(csv("a;b\n1,5;1,5\n2,5;2.5\n")) == (
        "t.csv: column 'b' holds '1,5' (line 2) and '2.5' (line 3): is the comma or the point the "
        "decimal sign? Write all numbers of the file alike, thousands without a separator, or "
        "leave the column out (params.yaml: preprocess.drop: [b])"
    )


def test_thousands_with_a_point_before_a_decimal_comma_are_text(csv):
    text = message(csv("a;b\n1,5;1.234,5\n2,5;2,25\n3,5;4\n4,5;5\n"))
    hint = "Thousands are written without a separator. "
    assert text == among_numbers("t.csv", "b", "line 2", "1.234,5", hint)


def test_a_late_point_among_decimal_commas_is_named(csv, monkeypatch):
    monkeypatch.setattr("hourglass.sources._delimited._GUESS_BYTES", 1)
    text = message(csv("a;b\n" + "1,5;1\n" * 400_000 + "1.5;1\n"))
    hint = "Decimals have a comma in this file, thousands no separator. "
    assert text == among_numbers("t.csv", "a", "line 400002", "1.5", hint)


def test_a_gap_among_decimal_commas_is_named_rather_than_a_number(csv):
    text = message(csv("a;b\n1;1,5\n2;2,5\n3;?\n4;3,5\n"))
    assert text == among_numbers("t.csv", "b", "line 4", "?")


def test_a_word_after_blocks_of_numbers(csv, monkeypatch):
    monkeypatch.setattr("hourglass.sources._delimited._GUESS_BYTES", 1)
    text = message(csv("a\n" + "1\n" * 1_000_000 + "true\n"))
    assert text == among_numbers("t.csv", "a", "line 1000002", "true")


def test_a_text_among_numbers_that_are_saved_as_text(parquet):
    table = pa.table({"a": ["1.5", "2.5", "x", "3.5"]})
    assert message(parquet(table)) == among_numbers("t.parquet", "a", "row 3", "x")


def test_numbers_that_are_saved_as_text(parquet):
    assert message(parquet(pa.table({"a": ["1.5", "2.5", None, "3.5"]}))) == (
        "t.parquet: column 'a', row 1: the number '1.5' is written as text. Save the column as "
        "numbers; if it holds levels, say so in params.yaml: preprocess.kinds: {a: categorical}; "
        "or leave it out (preprocess.drop: [a])"
    )


def test_a_text_in_a_column_that_is_said_to_hold_numbers(csv):
    text = message(csv("a,b\n1,x\n2,x\n3,y\n4,y\n"), kinds={"b": "continuous"})
    assert text == (
        "t.csv: column 'b', line 2: 'x' is text, but params.yaml: preprocess.kinds calls the "
        "column continuous. If it stands for a gap, add it to preprocess.missing_values: [x]; "
        "else mend the text, or say {b: categorical}"
    )


def test_dates_are_called_dates(csv, parquet):
    advice = (
        "is a date or time, and an autoencoder needs numbers or levels. Leave the column out "
        "(params.yaml: preprocess.drop: [{}]), or name it in preprocess.time if rows are to be "
        "split by it."
    )
    assert message(csv("a,day\n1,2024-05-01\n")) == (
        "t.csv: column 'day', line 2: '2024-05-01' " + advice.format("day")
    )
    assert message(csv("a,day,hour\n1,31.12.2024,7\n2,,7\n3,31.12.2024,7\n")) == (
        "t.csv: column 'day', line 2: '31.12.2024' " + advice.format("day")
    )
    table = pa.table({"day": [None, datetime.date(2024, 5, 1)], "t": [datetime.time(12)] * 2})
    assert message(parquet(table)) == (
        "t.parquet: column 'day', row 2: '2024-05-01' "
        + advice.format("day, t")
        + " Dates or times are also in: t."
    )


@pytest.mark.parametrize("cell", ["7:30", "12:30:00", "26:10:05", "01.02.24", "1/2/2024"])
def test_the_time_is_no_advice_for_what_it_would_refuse(csv, cell):
    text = message(csv(f"a,t\n1,{cell}\n2,{cell}\n"))
    assert text.endswith(
        f"{cell!r} is a date or time, and an autoencoder needs numbers or levels. Leave the column "
        "out (params.yaml: preprocess.drop: [t]), or save it as a number, such as hours or days."
    )


def test_an_identifier_is_no_feature(csv):
    rows = "".join(f"{i},P{i},x\n" for i in range(300))
    assert message(csv("a,id,b\n" + rows)) == (
        "t.csv: column 'id' holds 300 different values in 300 rows (such as 'P0', 'P1', 'P2'): an "
        "identifier or free text is no feature, whose values recur: two rows for each at least. "
        "Leave the column out (params.yaml: preprocess.drop: [id]), or name it in preprocess.label "
        "or preprocess.group if it is one."
    )


def test_more_than_1000_levels_are_told_before_the_file_is_read_to_its_end(parquet, monkeypatch):
    monkeypatch.setattr("hourglass.sources._table.CHUNK_VALUES", 4000)
    levels = np.arange(60_000) % 1500
    table = {"id": [f"P{k}" for k in levels], "name": [f"N{k}" for k in levels]}
    text = message(parquet(pa.table(table)))
    assert "column 'id' holds 1500 different values in 2000 rows" in text
    assert "which has at most 1000." in text
    assert "preprocess.drop: [id, name]" in text
    assert text.endswith("The same holds for: name.")


def test_a_list_in_each_cell(parquet):
    assert message(parquet(pa.table({"a": [1.0, 2.0], "b": [[1.0], [2.0]]}))) == (
        "t.parquet: column 'b' is of type list<element: double>, which is neither number nor text; "
        "save one column for each number, or leave it out (params.yaml: preprocess.drop: [b])"
    )


@pytest.mark.parametrize("role", ["label", "group", "time", "weight"])
def test_a_list_in_each_cell_of_a_column_with_a_role(parquet, role):
    path = parquet(pa.table({"a": [1.0, 2.0], "b": [[1.0], [2.0]]}))
    assert "column 'b' is of type list<element: double>" in message(path, **{role: "b"})


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


@pytest.mark.parametrize("first", ["sep=;", "# exported by X", "Report, 2024-05-31", "Report"])
def test_lines_before_the_header_are_named_rather_than_the_header(csv, first):
    assert message(csv(f"{first}\na;b;c\n1;2;3\n4;5;6\n")) == (
        f"t.csv: line 1, {first!r}, is not the header line: the table seems to begin in line 2, "
        "'a;b;c'; delete what stands before it"
    )


@pytest.mark.parametrize("text", ["#id,b\n1,2\n3,4\n", "note\nx;y\nx;y\n"])
def test_a_header_is_no_line_before_the_header(csv, text):
    source = SOURCES.load("tabular")(preprocess(source="tabular"), csv(text))
    assert len(source.layout().names) == text.count(",", 0, 5) + 1


@pytest.mark.parametrize("cells", [["3.2 mm", "4.1 mm", "5 mm"], ["5.0%", "7.5%", "5.0%"]])
def test_numbers_with_a_unit_are_called_so(csv, cells):
    unit = cells[0].lstrip("0123456789. ")
    assert message(csv("a,b\n" + "".join(f"1,{cell}\n" for cell in cells))) == (
        f"t.csv: column 'b', line 2: {cells[0]!r} is a number with a unit. Take {unit!r} out of "
        "all its cells (name it in the header, if you like); if the column holds levels, say so in "
        "params.yaml: preprocess.kinds: {b: categorical}; or leave it out (preprocess.drop: [b])"
    )


def test_names_with_a_comma_stand_in_quotes_in_lists(csv):
    text = message(csv('"Name, Vorname",b\n1,2\n'), drop=("c",), error=UnknownNameError)
    assert text.endswith("(columns: 'Name, Vorname', b)")


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
    assert "is not in UTF-8; save the file in that encoding" in text


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


@pytest.mark.parametrize("suffix", [".parquet", ".arrow", ".npy", ".npz"])
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
        "t.csv: no feature is left: all 2 columns are left out (named in preprocess.label, named "
        "in preprocess.drop); leave at least one in (params.yaml: preprocess)"
    )
