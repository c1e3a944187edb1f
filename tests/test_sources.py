"""The contract of all sources, and what is particular to each."""

import gzip
import logging
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import feather
from sklearn.utils import Bunch
from tests.settings import preprocess

from hourglass import intake
from hourglass.errors import DataError, UnknownNameError
from hourglass.paths import Paths
from hourglass.schema import Kind
from hourglass.sources import LABEL, SOURCES, Source
from hourglass.sources._delimited import COMPRESSIONS

NAMES = ("a", "b", "c")


def table(rows=50):
    return np.random.default_rng(0).normal(size=(rows, 3)).round(6)


def write_csv(path, rows_NF=None, names=NAMES, delimiter=","):
    rows_NF = table() if rows_NF is None else rows_NF
    lines = [delimiter.join(names)] + [delimiter.join(map(repr, map(float, r))) for r in rows_NF]
    text = "\n".join(lines) + "\n"
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def write(path, rows_NF):
    """Writes a table in the format of the file's suffix."""
    if path.suffix == ".npy":
        np.save(path, rows_NF)
    elif path.suffix == ".npz":
        np.savez(path, X=rows_NF)
    elif path.suffix == ".parquet":
        pq.write_table(pa.table(dict(zip(NAMES, rows_NF.T, strict=True))), path)
    elif path.suffix in (".arrow", ".feather", ".ipc"):
        feather.write_feather(pa.table(dict(zip(NAMES, rows_NF.T, strict=True))), path)
    else:
        write_csv(path, rows_NF)
    return path


def tabular(path, **changes):
    return SOURCES.load("tabular")(preprocess(source="tabular", **changes), path)


def builtin(dataset, **changes):
    return SOURCES.load("builtin")(preprocess(dataset=dataset, **changes), Path())


def values(source):
    return np.concatenate([chunk.values_NF for chunk in source.chunks()])


def _table_of_files(folder: Path) -> Source:
    return tabular(write_csv(folder / "table.csv", table(90)))


def _images(folder: Path) -> Source:
    pixels = np.random.default_rng(0).integers(256, size=(90, 5, 4), dtype=np.uint8)
    np.savez(folder / "images.npz", X=pixels, y=np.arange(90) % 3)
    return SOURCES.load("images")(preprocess(source="images"), folder / "images.npz")


def _windows(folder: Path) -> Source:
    path = write_csv(folder / "series.csv", table(400))
    own = preprocess(source="sequences", window={"length": 6, "stride": 3})
    return SOURCES.load("sequences")(own, path)


def _made_up(_: Path) -> Source:
    own = preprocess(source="synthetic", dataset="gauss", synthetic={"rows": 90, "columns": 5})
    return SOURCES.load("synthetic")(own, Path())


# A small example of each source: one that is missing here fails the contract.
EXAMPLES = {
    "builtin": lambda _: builtin("wine"),
    "tabular": _table_of_files,
    "images": _images,
    "sequences": _windows,
    "synthetic": _made_up,
}
TABLES = ("builtin", "tabular")


@pytest.fixture(params=SOURCES.names())
def source(request, tmp_path):
    return EXAMPLES[request.param](tmp_path)


@pytest.fixture(params=TABLES)
def of_columns(request, tmp_path):
    return EXAMPLES[request.param](tmp_path)


def test_every_source_is_a_source(source):
    assert isinstance(source, Source)


def test_labels_groups_and_times_stand_beside_the_values_one_a_row(source):
    for chunk in source.chunks():
        for beside in (chunk.row_N, chunk.group_N, chunk.time_N, chunk.label_N, chunk.split_N):
            assert beside is None or beside.shape == (len(chunk.values_NF),)


def test_a_shape_holds_every_column(source):
    layout = source.layout()
    assert layout.shape is None or np.prod(layout.shape) == len(layout.names)


def test_what_is_written_down_is_the_same_however_it_is_read(source, tmp_path, monkeypatch):
    found = []
    for size in ("CHUNK_VALUES", "small"):
        if size == "small":
            monkeypatch.setattr("hourglass.sources._table.CHUNK_VALUES", 60)
        folder = Paths(tmp_path / size)
        again = type(source)(source.options, source.path)
        taken = intake.take(again, again.layout(), source.options, folder)
        files = sorted(folder.interim.rglob("*.npy"))
        found.append((taken.digest, [(f.name, f.read_bytes()) for f in files]))
    assert found[0] == found[1]
    assert len(found[0][1]) >= 6


def test_chunks_have_the_columns_of_the_layout(source):
    width = len(source.layout().names)
    for chunk in source.chunks():
        assert chunk.values_NF.dtype == source.layout().dtype
        assert chunk.values_NF.shape[1] == width


def test_chunks_are_the_same_each_time(source):
    assert np.array_equal(values(source), values(source))


def test_names_of_columns_differ(source):
    names = source.layout().names
    assert len(set(names)) == len(names)


def test_a_dropped_column_takes_its_values_along(of_columns):
    source = of_columns
    names = source.layout().names
    less = type(source)(source.options.model_copy(update={"drop": (names[1],)}), source.path)
    assert less.layout().names == names[:1] + names[2:]
    assert less.layout().dropped == {names[1]: "named in preprocess.drop"}
    assert np.array_equal(values(less), np.delete(values(source), 1, axis=1))


def test_the_title_begins_with_the_name_of_the_source(source):
    assert source.title.split(": ")[0] == type(source).__module__.rsplit(".", 1)[1]


def test_an_unknown_column_to_drop_is_answered_with_the_nearest(of_columns):
    source = of_columns
    name = source.layout().names[0]
    wrong = type(source)(source.options.model_copy(update={"drop": (name + "x",)}), source.path)
    with pytest.raises(UnknownNameError, match=r"preprocess\.drop: no column ") as error:
        wrong.layout()
    assert (f"did you mean {name!r}?" in str(error.value)) or len(name) == 1


@pytest.mark.parametrize(
    "suffix",
    [".csv", ".csv.gz", ".tsv", ".parquet", ".arrow", ".feather", ".ipc", ".npy", ".npz"],
)
def test_each_format_gives_the_same_rows(tmp_path, suffix):
    path = tmp_path / f"t{suffix}"
    if suffix == ".tsv":
        write_csv(path, table(), delimiter="\t")
    else:
        write(path, table())
    assert np.array_equal(values(tabular(path)), table())


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".arrow", ".npy", ".npz"])
def test_rows_are_the_same_for_any_chunk_size(tmp_path, monkeypatch, suffix):
    rows_NF = table(40_000)
    path = write(tmp_path / f"t{suffix}", rows_NF)
    monkeypatch.setattr("hourglass.sources._table.CHUNK_VALUES", 3000)
    chunks = [chunk.values_NF for chunk in tabular(path).chunks()]
    assert {len(chunk_NF) for chunk_NF in chunks} == {1000}
    assert np.array_equal(np.concatenate(chunks), rows_NF)


@pytest.mark.parametrize("suffix", [".gz", ".zst", ".bz2", ".lz4"])
@pytest.mark.parametrize("inner", [".csv", ".tsv"])
def test_texts_may_be_compressed(tmp_path, inner, suffix):
    plain = write_csv(tmp_path / "plain", delimiter="," if inner == ".csv" else "\t")
    path = tmp_path / f"t{inner}{suffix}"
    with pa.output_stream(str(path), compression=COMPRESSIONS[suffix]) as out:
        out.write(plain.read_bytes())
    assert np.array_equal(values(tabular(path)), table())


def test_a_folder_with_one_table_is_that_table(tmp_path):
    write(tmp_path / "mine.npy", table())
    for other in ("README.md", ".gitkeep", "notes.txt"):
        (tmp_path / other).write_text("hello")
    assert tabular(tmp_path).title == f"tabular: {tmp_path / 'mine.npy'}"


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_separator_is_told_from_the_header(tmp_path, delimiter):
    path = write_csv(tmp_path / "t.csv", delimiter=delimiter)
    assert np.array_equal(values(tabular(path)), table())


def test_a_byte_order_mark_is_not_part_of_the_first_name(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(b"\xef\xbb\xbfa,b\n1,2\n")
    assert tabular(path).layout().names == ("a", "b")


def test_blank_lines_are_no_rows_but_count_as_lines(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("\na,b\n1,2\n\n\n3,4\n")
    source = tabular(path)
    assert values(source).tolist() == [[1, 2], [3, 4]]
    assert [source.place(0), source.place(1)] == ["line 3", "line 6"]


def test_a_line_break_in_quotes_does_not_end_a_row(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text('a,note,b\n1,"x\ny",2\n3,z,4\n')
    source = tabular(path, drop=("note",))
    assert values(source).tolist() == [[1, 2], [3, 4]]
    assert [source.place(0), source.place(1)] == ["line 2", "line 4"]


def test_line_breaks_in_quotes_do_not_matter_where_blocks_meet(tmp_path, monkeypatch):
    monkeypatch.setattr("hourglass.sources._delimited._LEAST_BLOCK", 1)
    note = '"' + "x\n" * 50 + '"'
    rows = "".join(f"{i},{note}\n" for i in range(30_000))
    (tmp_path / "t.csv").write_text("a,note\n" + rows)
    read = values(tabular(tmp_path / "t.csv", drop=("note",)))
    assert np.array_equal(read[:, 0], np.arange(30_000))


def test_missing_values_are_nan_in_each_usual_spelling(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,b\n1,2\n" + "".join(f"{s},1\n" for s in ("", "NA", "NaN", "null", "None")))
    assert np.isnan(values(tabular(path))[:, 0]).tolist() == [False] + [True] * 5


def test_the_row_index_of_pandas_is_no_column(tmp_path):
    pq.write_table(pa.table({"a": [1.5, 2], "__index_level_0__": [7, 9]}), tmp_path / "t.parquet")
    assert tabular(tmp_path / "t.parquet").layout().names == ("a",)


def test_missing_values_of_parquet_are_nan(tmp_path):
    pq.write_table(pa.table({"a": [1, None, 3]}), tmp_path / "t.parquet")
    assert np.isnan(values(tabular(tmp_path / "t.parquet")))[:, 0].tolist() == [False, True, False]


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".npy"])
def test_booleans_become_0_and_1(tmp_path, suffix):
    path = tmp_path / f"t{suffix}"
    if suffix == ".csv":
        path.write_text("a\ntrue\nFalse\nTrue\n")
    elif suffix == ".parquet":
        pq.write_table(pa.table({"a": [True, False, True]}), path)
    else:
        np.save(path, np.array([[True], [False], [True]]))
    assert values(tabular(path)).ravel().tolist() == [1, 0, 1]


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".npy"])
def test_integers_beyond_2_to_the_53_are_warned_of_once(tmp_path, caplog, suffix):
    path, large = tmp_path / f"t{suffix}", [2**53 + 1, 5]
    if suffix == ".csv":
        path.write_text(f"id\n{large[0]}\n{large[1]}\n")
    elif suffix == ".parquet":
        pq.write_table(pa.table({"id": large}), path)
    else:
        np.save(path, np.array(large)[:, None])
    source = tabular(path)
    with caplog.at_level(logging.WARNING):
        values(source)
        values(source)
    assert [r.levelname for r in caplog.records] == ["WARNING"]
    assert "holds integers from 2^53 on, whose last digits are lost" in caplog.text


def test_the_label_may_be_a_column(tmp_path):
    source = tabular(write_csv(tmp_path / "t.csv"), label="b")
    assert source.layout().names == ("a", "c")
    assert source.layout().dropped == {"b": "named in preprocess.label"}


def test_the_label_may_be_another_array_of_an_archive(tmp_path):
    np.savez(tmp_path / "t.npz", X=table(), y=np.zeros(50))
    source = tabular(tmp_path / "t.npz", label="y")
    assert source.layout().names == ("0", "1", "2")
    assert source.layout().dropped == {}


def test_an_archive_may_name_its_only_table_as_it_likes(tmp_path):
    np.savez_compressed(tmp_path / "t.npz", rows=np.asfortranarray(table()), y=np.zeros(50))
    assert np.array_equal(values(tabular(tmp_path / "t.npz")), table())


def test_arrays_of_other_byte_order_are_read_right(tmp_path):
    np.savez(tmp_path / "t.npz", X=table().astype(">f4"))
    assert np.array_equal(values(tabular(tmp_path / "t.npz")), table().astype(np.float32))


def test_a_text_column_that_is_left_out_may_be_in_any_encoding(tmp_path):
    (tmp_path / "t.csv").write_bytes(b"a,city\n1,Z\xfcrich\n2,Bern\n")
    assert values(tabular(tmp_path / "t.csv", drop=("city",))).tolist() == [[1], [2]]


def test_names_may_be_numbers_that_count_up(tmp_path):
    path = write_csv(tmp_path / "t.csv", names=("0", "1", "2"))
    assert tabular(path).layout().names == ("0", "1", "2")


def test_digits_is_an_image_with_walls():
    layout = builtin("digits").layout()
    assert (layout.kind, layout.bounds) == (Kind.CONTINUOUS, (0.0, 16.0))
    assert layout.shape == (8, 8, 1)
    assert values(builtin("digits")).shape == (1797, 64)


def test_digits_without_a_pixel_is_no_image():
    layout = builtin("digits", drop=("pixel_0_0",)).layout()
    assert (layout.bounds, layout.shape, len(layout.names)) == ((0.0, 16.0), None, 63)


@pytest.mark.parametrize(
    ("dataset", "shape"),
    [("breast_cancer", (569, 30)), ("wine", (178, 13)), ("diabetes", (442, 10))],
)
def test_builtin_tables_leave_kind_and_walls_to_inference(dataset, shape):
    layout = builtin(dataset).layout()
    assert (layout.kind, layout.bounds, layout.shape) == (None, None, None)
    assert values(builtin(dataset)).shape == shape


def test_an_unknown_builtin_data_set_is_answered_with_the_nearest():
    with pytest.raises(UnknownNameError) as error:
        builtin("digit").layout()
    assert str(error.value) == (
        "params.yaml: preprocess.dataset: unknown builtin data set 'digit', did you mean 'digits'? "
        "(known: breast_cancer, california_housing, diabetes, digits, wine, openml:NAME, "
        "openml:NAME:VERSION)"
    )


def test_a_download_that_fails_says_what_to_do(monkeypatch):
    def offline():
        raise OSError("no network")

    monkeypatch.setattr("sklearn.datasets.fetch_california_housing", offline)
    with pytest.raises(DataError) as error:
        builtin("california_housing").layout()
    assert str(error.value) == (
        "builtin: california_housing: the download failed (no network); connect to the internet "
        "once, or set params.yaml: preprocess.dataset to digits, breast_cancer, wine or diabetes"
    )


def labels(source):
    return np.concatenate([chunk.label_N for chunk in source.chunks()])


def test_a_builtin_data_set_gives_its_target_as_the_label():
    source = builtin("digits")
    assert labels(source)[:10].tolist() == list(range(10))
    assert source.levels() == {}
    source = builtin("wine")
    assert np.bincount(labels(source).astype(int)).tolist() == [59, 71, 48]
    assert source.levels() == {LABEL: ("class_0", "class_1", "class_2")}
    assert labels(builtin("diabetes")).max() == 346


def test_a_column_of_a_builtin_data_set_may_have_a_role():
    source = builtin("diabetes", label="sex", weight="bmi", columns=["s*"])
    assert source.layout().names == ("s1", "s2", "s3", "s4", "s5", "s6")
    assert set(labels(source)) == {1, 2}
    assert next(source.chunks()).weight_N[0] == 32.1


@pytest.fixture
def openml(monkeypatch):
    """A stand-in for openml.org that holds one data set."""
    asked = []
    frame = pd.DataFrame(
        {
            "age": [39, 50, 38, 53, 28, 37],
            "work": pd.Categorical(
                ["state", "self", None, "state", "self", "state"], ["never", "self", "state"]
            ),
            "sex": ["f", "m", "m", "f", "f", "m"],
        }
    )

    def fetch(name, *, version, as_frame, parser):
        asked.append((name, version))
        assert (as_frame, parser) == (True, "auto")
        if name != "adult":
            raise ValueError(f"No active dataset {name} found.")
        warnings.warn("Multiple active versions\n exist.", UserWarning, stacklevel=2)
        target = pd.Series(pd.Categorical(["<=50K", ">50K"] * 3), name="class")
        return Bunch(data=frame, target=target)

    monkeypatch.setattr("sklearn.datasets.fetch_openml", fetch)
    return asked


def test_a_data_set_of_openml_has_levels_and_a_label(openml, caplog):
    source = builtin("openml:adult:2")
    assert source.title == "builtin: openml:adult:2"
    assert source.layout().names == ("age", "work", "sex")
    assert source.layout().categorical == {"work", "sex"}
    expected = [[39, 0, 0], [50, 1, 1], [38, np.nan, 1], [53, 0, 0], [28, 1, 0], [37, 0, 1]]
    assert np.array_equal(values(source), expected, equal_nan=True)
    assert labels(source).tolist() == [0, 1] * 3
    assert source.levels() == {
        "work": ("state", "self"),
        "sex": ("f", "m"),
        LABEL: ("<=50K", ">50K"),
    }
    assert openml == [("adult", 2)]
    assert "builtin: openml:adult:2: Multiple active versions exist." in caplog.text


def test_without_a_version_openml_gives_the_active_one(openml):
    builtin("openml:adult").layout()
    assert openml == [("adult", "active")]


def test_a_column_of_openml_may_be_dropped_or_the_label(openml):
    source = builtin("openml:adult", drop=["w*"], label="sex")
    assert source.layout().names == ("age",)
    assert labels(source).tolist() == [0, 1, 1, 0, 0, 1]


def test_a_data_set_that_openml_does_not_have(openml):
    with pytest.raises(DataError) as error:
        builtin("openml:adlut").layout()
    assert str(error.value) == (
        "builtin: openml:adlut: No active dataset adlut found; look its name and version up at "
        "openml.org (params.yaml: preprocess.dataset)"
    )


@pytest.mark.parametrize("dataset", ["openml:", "openml:adult:two", "openml:adult:"])
def test_a_name_that_openml_can_not_have(openml, dataset):
    with pytest.raises(UnknownNameError, match="write openml:NAME or openml:NAME:VERSION"):
        builtin(dataset).layout()
    assert openml == []


def test_a_download_from_openml_that_fails_says_what_to_do(monkeypatch):
    def offline(*args, **kwargs):
        raise OSError("no network")

    monkeypatch.setattr("sklearn.datasets.fetch_openml", offline)
    with pytest.raises(
        DataError, match=r"^builtin: openml:adult: the download failed \(no network"
    ):
        builtin("openml:adult").layout()
