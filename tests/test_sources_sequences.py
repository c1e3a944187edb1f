"""Series become windows that cross no border; what can't be used is named."""

import gzip
import logging
import re
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.settings import preprocess

from hourglass.errors import ConfigError, DataError, UnknownNameError
from hourglass.sources import LABEL, SOURCES

TRAIN, VAL, TEST = 0, 1, 2


def sequences(path, length=2, stride=1, **changes):
    window = {"length": length, "stride": stride}
    return SOURCES.load("sequences")(preprocess(source="sequences", window=window, **changes), path)


def values(source):
    return np.concatenate([chunk.values_NF for chunk in source.chunks()])


def beside(source, field):
    return np.concatenate([getattr(chunk, field) for chunk in source.chunks()])


def message(source, error=DataError):
    """The error that reading all of it ends in."""
    with pytest.raises(error) as caught:
        for _ in [source.layout(), *source.chunks()]:
            pass
    return str(caught.value)


def csv(path, text):
    path.write_text(text)
    return path


def series(path, rows=20, channels=("u", "v"), start=0):
    """A CSV of one series: u counts from `start`, further channels are its multiples."""
    lines = [",".join(str((start + t) * 10**c) for c in range(len(channels))) for t in range(rows)]
    return csv(path, "\n".join([",".join(channels), *lines]) + "\n")


def grouped(path, groups, extra=""):
    """A CSV with the column g, and u that counts all rows."""
    lines = [f"{g},{u}{extra}" for u, g in enumerate(groups)]
    return csv(path, "g,u" + ",x" * bool(extra) + "\n" + "\n".join(lines) + "\n")


# --- windows --------------------------------------------------------------------------------------


def test_windows_are_consecutive_rows_time_first(tmp_path):
    source = sequences(series(tmp_path / "s.csv", 20))
    assert source.layout().names == ("u@0", "v@0", "u@1", "v@1")
    assert source.layout().shape == (2, 2)
    assert source.layout().dtype == np.float64
    assert values(source)[:2].tolist() == [[0, 0, 1, 10], [1, 10, 2, 20]]
    assert source.place(1) == "line 3"


@pytest.mark.parametrize("split", ["auto", "time"])
def test_cuts_lie_at_the_fractions_of_the_length(tmp_path, split):
    source = sequences(series(tmp_path / "s.csv", 40), length=2, stride=3, split=split)
    # Cuts at 28 and 34; the windows at 27 and 33 would straddle.
    assert beside(source, "row_N").tolist() == [0, 3, 6, 9, 12, 15, 18, 21, 24, 30, 36]
    assert beside(source, "split_N").tolist() == [TRAIN] * 9 + [VAL, TEST]
    assert values(source)[1].tolist() == [3, 30, 4, 40]


def reference(lengths, length, stride, val, test):
    """(series, first row, split) of each window, by trying them all."""
    found = []
    for s, rows in enumerate(lengths):
        ends = [round((1 - val - test) * rows), round((1 - test) * rows), rows]
        for start in range(0, rows - length + 1, stride):
            for split, (low, high) in enumerate(zip([0, *ends[:2]], ends, strict=True)):
                if low <= start and start + length <= high:
                    found.append((s, start, split))
    return found


@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=4),
    st.integers(1, 9),
    st.integers(1, 12),
    st.sampled_from([(0.15, 0.15), (0.3, 0.3), (0.1, 0.5), (0.45, 0.25)]),
    st.sampled_from([1, 30, 1 << 21]),
)
def test_windows_cross_no_border_of_series_or_split(
    tmp_path_factory, lengths, length, stride, fractions, chunk
):
    folder = tmp_path_factory.mktemp("s")
    group_N = np.repeat(np.arange(len(lengths)), lengths)
    row_N = np.arange(len(group_N))
    pq.write_table(pa.table({"g": group_N, "u": row_N, "v": -row_N}), folder / "s.parquet")
    val, test = fractions
    expected = reference(lengths, length, stride, val, test)
    source = sequences(
        folder / "s.parquet", length, stride, group="g", val_fraction=val, test_fraction=test
    )
    if {split for *_, split in expected} != {TRAIN, VAL, TEST}:
        message(source)
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hourglass.sources._table.CHUNK_VALUES", chunk)
        chunks = list(source.chunks())
    firsts = np.concatenate([[0], np.cumsum(lengths)])
    given_rows = np.concatenate([c.row_N for c in chunks])
    assert given_rows.tolist() == [firsts[s] + start for s, start, _ in expected]
    assert np.concatenate([c.group_N for c in chunks]).tolist() == [s for s, *_ in expected]
    assert np.concatenate([c.split_N for c in chunks]).tolist() == [p for *_, p in expected]
    windows = np.concatenate([c.values_NF for c in chunks]).reshape(-1, length, 2)
    assert np.array_equal(windows[..., 0], given_rows[:, None] + np.arange(length))
    assert np.array_equal(windows[..., 1], -windows[..., 0])


@given(st.integers(0, 5), st.integers(3, 30), st.integers(1, 4))
def test_whole_groups_stay_in_one_split(tmp_path_factory, seed, groups, length):
    folder = tmp_path_factory.mktemp("s")
    lengths = 4 + np.arange(groups) % 3
    group_N = np.repeat(np.arange(groups), lengths)
    np.save(folder / "s.npy", np.column_stack([group_N, np.arange(len(group_N))]))
    source = sequences(folder / "s.npy", length, group="0", split="group", seed=seed)
    u = (np.random.default_rng(seed).random() + np.arange(groups) * 0.6180339887498949) % 1
    split = np.where(u < 0.15, TEST, np.where(u < 0.3, VAL, TRAIN))
    if len(set(split)) < 3:
        assert "preprocess.split: group keeps series whole" in message(source)
        return
    assert np.array_equal(beside(source, "split_N"), split[beside(source, "group_N")])
    assert len(beside(source, "row_N")) == (lengths - length + 1).sum()


def test_each_file_is_a_series_of_its_own(tmp_path):
    for number in range(2):
        series(tmp_path / f"{number}.csv", 10, start=100 * number)
    (tmp_path / "README.md").write_text("hello")
    source = sequences(tmp_path, val_fraction=0.3, test_fraction=0.3)
    assert beside(source, "row_N").tolist() == [0, 1, 2, 4, 5, 7, 8, 10, 11, 12, 14, 15, 17, 18]
    assert beside(source, "group_N").tolist() == [0] * 7 + [1] * 7
    assert values(source)[:, 0].tolist()[6:8] == [8, 100]
    assert source.place(0) == f"{tmp_path / '0.csv'}, line 2"
    assert source.place(14) == f"{tmp_path / '1.csv'}, line 6"


def test_a_pattern_names_several_files(tmp_path):
    (tmp_path / "deep").mkdir()
    for name in ("a1.csv", "a2.csv", "b.csv", "deep/a3.csv"):
        series(tmp_path / name, 10)
    options = {"val_fraction": 0.3, "test_fraction": 0.3}
    assert beside(sequences(tmp_path / "a*.csv", **options), "group_N").max() == 1
    assert beside(sequences(tmp_path / "**" / "a*.csv", **options), "group_N").max() == 2


def test_a_group_in_several_files_is_one_group_but_no_window_joins_them(tmp_path):
    for number in range(2):
        grouped(tmp_path / f"{number}.csv", "a" * 10 + "b" * 10)
    source = sequences(tmp_path, group="g", val_fraction=0.3, test_fraction=0.3)
    assert np.unique(beside(source, "group_N")).tolist() == [0, 1]
    assert (np.diff(values(source), axis=1) == 1).all()
    assert len(values(source)) == 4 * 7


def test_a_single_series_has_no_groups(tmp_path):
    source = sequences(series(tmp_path / "s.csv"))
    assert [chunk.group_N for chunk in source.chunks()] == [None]


# --- formats --------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".tsv", ".parquet", ".npy"])
def test_each_format_gives_the_same_windows(tmp_path, suffix):
    rows = np.random.default_rng(0).normal(size=(30, 2)).round(6)
    path = tmp_path / f"s{suffix}"
    if suffix == ".npy":
        np.save(path, np.asfortranarray(rows))
    elif suffix == ".parquet":
        pq.write_table(pa.table({"a": rows[:, 0], "b": rows[:, 1]}), path)
    else:
        mark = "\t" if suffix == ".tsv" else ","
        text = "\n".join([f"a{mark}b", *(f"{a!r}{mark}{b!r}" for a, b in rows.tolist())])
        path.write_bytes(gzip.compress(text.encode()) if "gz" in suffix else text.encode())
    source = sequences(path, length=3)
    assert len(source.layout().names) == 6
    expected = [rows[row : row + 3].ravel() for row in beside(source, "row_N")]
    assert np.array_equal(values(source), expected)


def test_an_array_of_three_dimensions_is_one_series_after_the_other(tmp_path):
    array = np.arange(3 * 10 * 2).reshape(3, 10, 2)
    np.save(tmp_path / "s.npy", array)
    source = sequences(tmp_path / "s.npy", val_fraction=0.3, test_fraction=0.3)
    assert source.layout().names == ("0@0", "1@0", "0@1", "1@1")
    assert beside(source, "group_N").tolist() == [0] * 7 + [1] * 7 + [2] * 7
    assert values(source)[7].tolist() == [20, 21, 22, 23]
    assert source.place(14) == "series 2, row 5"


@pytest.mark.parametrize(
    ("dtype", "given"), [("f4", "f4"), ("f2", "f4"), (">f4", "f4"), ("f8", "f8"), ("i2", "f8")]
)
@pytest.mark.parametrize("suffix", [".npy", ".parquet"])
def test_float32_is_kept(tmp_path, suffix, dtype, given):
    rows = np.arange(30).astype(dtype)
    path = tmp_path / f"s{suffix}"
    if suffix == ".npy":
        np.save(path, rows[:, None])
    else:
        pq.write_table(pa.table({"a": rows.astype(rows.dtype.newbyteorder("="))}), path)
    source = sequences(path)
    assert source.layout().dtype == values(source).dtype == given
    assert values(source)[3].tolist() == [3, 4]


def test_missing_values_are_nan(tmp_path):
    lines = ["u,v,w", "1,?,1", "2,,-9999", *("3,4,5",) * 28]
    source = sequences(csv(tmp_path / "s.csv", "\n".join(lines)), missing_values=["?", -9999])
    gaps = np.isnan(values(source)[0])
    assert gaps.tolist() == [False, True, False, False, True, True]


def test_booleans_become_0_and_1(tmp_path):
    csv(tmp_path / "s.csv", "u\n" + "true\nfalse\n" * 15)
    assert values(sequences(tmp_path / "s.csv"))[0].tolist() == [1, 0]


# --- columns --------------------------------------------------------------------------------------

TABLE = "machine,when,temp_a,temp_b,load,state,note,w\n" + "".join(
    f"m1,{t},{t},{-t},{t * t},{'ok' if t < 25 else 'bad'},text,{t + 1}\n" for t in range(30)
)


def channels(source):
    return [name.removesuffix("@0") for name in source.layout().names if name.endswith("@0")]


def test_channels_are_the_columns_of_numbers_that_are_not_named(tmp_path):
    path = csv(tmp_path / "s.csv", TABLE)
    named = {"group": "machine", "time": "when", "label": "state", "weight": "w"}
    source = sequences(path, drop=["load"], **named)
    assert channels(source) == ["temp_a", "temp_b"]
    assert source.layout().dropped == {
        "load": "named in preprocess.drop",
        "state": "named in preprocess.label",
        "machine": "named in preprocess.group",
        "when": "named in preprocess.time",
        "w": "named in preprocess.weight",
        "note": "holds no numbers",
    }


def test_channels_are_chosen_and_dropped_by_pattern(tmp_path):
    path = csv(tmp_path / "s.csv", TABLE)
    assert channels(sequences(path, columns=["temp_*", "load"])) == ["temp_a", "temp_b", "load"]
    assert channels(sequences(path, drop=["temp_?", "w"])) == ["when", "load"]
    assert channels(sequences(path, columns=["*"], drop=["m*", "state", "note"], label="w")) == [
        *("when", "temp_a", "temp_b", "load")
    ]
    source = sequences(path, columns=["load"])
    assert source.layout().dropped["temp_a"] == "not named in preprocess.columns"


@pytest.mark.parametrize("key", ["columns", "drop", "label", "group", "time", "weight"])
def test_an_unknown_column_is_answered_with_the_nearest(tmp_path, key):
    path = csv(tmp_path / "s.csv", TABLE)
    asked = ["loads"] if key in ("columns", "drop") else "loads"
    assert message(sequences(path, **{key: asked}), UnknownNameError) == (
        f"params.yaml: preprocess.{key}: no column 'loads' in {path}, did you mean 'load'? "
        "(columns: machine, when, temp_a, temp_b, load, state, note, w)"
    )


def test_a_stray_text_in_a_column_of_numbers_is_an_error(tmp_path):
    path = csv(tmp_path / "s.csv", "u,v\n" + "1,2\n" * 20 + "1,oops\n" * 2)
    assert f"{path}: column 'v', line 22: 'oops' is text" in message(sequences(path))


def test_a_text_that_stands_for_a_gap_is_not_named_in_place_of_a_stray_one(tmp_path):
    path = csv(tmp_path / "s.csv", "u,v\n" + "1,?\n" * 20 + "1,oops\n" + "1,2\n")
    assert "line 22: 'oops' is text" in message(sequences(path, missing_values=["?"]))


def test_a_text_column_in_another_encoding_does_harm_only_where_it_is_needed(tmp_path):
    path = tmp_path / "s.csv"
    path.write_bytes(b"g,u\n" + b"Z\xfcrich,1\n" * 30)
    assert channels(sequences(path)) == ["u"]
    assert f"{path}: column 'g', line 2: " in message(sequences(path, group="g"))
    assert "is not in UTF-8" in message(sequences(path, group="g"))


def test_a_label_that_is_a_list_is_refused(tmp_path):
    pq.write_table(pa.table({"u": [1.0] * 30, "y": [[1, 2]] * 30}), tmp_path / "s.parquet")
    text = message(sequences(tmp_path / "s.parquet", label="y"))
    assert "column 'y' holds list<element: int64>; a group, time, label or weight is one" in text


def test_a_text_column_that_is_chosen_is_an_error(tmp_path):
    path = csv(tmp_path / "s.csv", TABLE)
    assert "column 'note', line 2: 'text' is text" in message(sequences(path, columns=["note"]))
    pq.write_table(pa.table({"u": [1.0] * 20, "note": ["text"] * 20}), tmp_path / "s.parquet")
    assert "column 'note', row 1: 'text' is text" in message(
        sequences(tmp_path / "s.parquet", columns=["note"])
    )
    assert channels(sequences(tmp_path / "s.parquet")) == ["u"]


def test_a_file_without_channels_says_why(tmp_path):
    path = csv(tmp_path / "s.csv", "u,note\n1,a\n")
    assert message(sequences(path, label="u")) == (
        f"{path}: no channel is left: 'u' named in preprocess.label, 'note' holds no numbers; "
        "leave at least one column in"
    )


# --- labels, times, weights -----------------------------------------------------------------------


def test_a_window_has_the_label_time_and_weight_of_its_last_row(tmp_path):
    path = csv(tmp_path / "s.csv", TABLE)
    source = sequences(path, length=3, label="state", time="when", weight="w")
    last = beside(source, "row_N") + 2
    assert np.array_equal(beside(source, "time_N"), last)
    assert np.array_equal(beside(source, "weight_N"), last + 1)
    assert np.array_equal(beside(source, "label_N"), last >= 25)
    assert source.levels() == {LABEL: ("ok", "bad")}


def test_labels_that_are_numbers_stay_so(tmp_path):
    path = csv(tmp_path / "s.csv", "u,y\n" + "".join(f"{t},{t / 2}\n" for t in range(30)))
    source = sequences(path, label="y")
    assert np.array_equal(beside(source, "label_N"), (beside(source, "row_N") + 1) / 2)
    assert source.levels() == {}


@pytest.mark.parametrize("labels", [["1"] * 29 + ["x"], ["x"] + ["1"] * 29])
def test_one_text_among_labels_makes_all_of_them_texts(tmp_path, monkeypatch, labels):
    monkeypatch.setattr("hourglass.sources._table.CHUNK_VALUES", 1)
    pq.write_table(pa.table({"u": np.arange(30.0), "y": labels}), tmp_path / "s.parquet")
    source = sequences(tmp_path / "s.parquet", label="y")
    assert [source.levels()[LABEL] for _ in source.chunks()][-1] == tuple(dict.fromkeys(labels))
    window_labels = [labels[row + 1] for row in beside(source, "row_N")]
    codes = beside(source, "label_N").astype(int)
    assert [source.levels()[LABEL][code] for code in codes] == window_labels


def test_missing_labels_are_nan(tmp_path):
    for labels in (["a", "", "a"], ["1", "", "-1"]):
        lines = [f"{t},{label}" for t, label in enumerate(labels * 10)]
        path = csv(tmp_path / "s.csv", "u,y\n" + "\n".join(lines))
        label_N = beside(sequences(path, label="y", missing_values=[-1]), "label_N")
        assert np.isnan(label_N[:3]).tolist() == [True, labels[2] == "-1", False]


def dated(path, times, group=""):
    lines = [f"{time},{u}{',' + group[u] if group else ''}" for u, time in enumerate(times)]
    return csv(path, f"t,u{',g' if group else ''}\n" + "\n".join(lines) + "\n")


@pytest.mark.parametrize(
    "form",
    [
        "2024-02-{:02d}",
        "2024-02-{:02d} 12:30",
        "2024-02-{:02d}T12:30:00.25",
        "2024-02-{:02d}T12:30:00Z",
        "2024-02-{:02d} 12:30:00+01:00",
        "2024-W{:02d}-1",
    ],
)
def test_times_may_be_dates(tmp_path, form):
    path = dated(tmp_path / "s.csv", [form.format(day) for day in range(1, 29)])
    time_N = beside(sequences(path, time="t", length=1), "time_N")
    steps = np.diff(time_N)
    assert (steps == (7 * 86400 if "W" in form else 86400)).all()


@pytest.mark.parametrize("form", ["2024-01-{:02d}", "2024-W01-{}", "2024-01-{:02d}T01:00+01:00"])
def test_dates_without_a_zone_are_in_utc_wherever_they_are_read(tmp_path, monkeypatch, form):
    path = dated(tmp_path / "s.csv", sorted([form.format(day) for day in range(1, 8)] * 4))
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    assert beside(sequences(path, time="t", length=1), "time_N")[0] == 1704067200
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize("unit", ["s", "ns"])
def test_times_may_be_timestamps_of_parquet(tmp_path, unit):
    times = np.datetime64("2024-01-01", unit) + np.arange(30) * np.timedelta64(1, "s")
    pq.write_table(pa.table({"u": np.arange(30.0), "t": times}), tmp_path / "s.parquet")
    source = sequences(tmp_path / "s.parquet", time="t")
    assert (np.diff(beside(source, "time_N"))[:10] == 1).all()


def test_equal_times_are_in_order(tmp_path):
    source = sequences(dated(tmp_path / "s.csv", ["1", "1", "2"] + ["3"] * 27), time="t")
    assert len(values(source)) == 27


def test_times_begin_anew_with_each_series(tmp_path):
    path = dated(tmp_path / "s.csv", [*range(20)] * 2, "a" * 20 + "b" * 20)
    assert beside(sequences(path, time="t", group="g"), "group_N").max() == 1


@pytest.mark.parametrize("chunk", [1, 1 << 21])
def test_a_time_that_falls_is_named_with_both_values(tmp_path, monkeypatch, chunk):
    monkeypatch.setattr("hourglass.sources._table.CHUNK_VALUES", chunk)
    times = ["2024-01-02", "2024-01-03", "2024-01-01", *["2024-01-09"] * 27]
    remedy = (
        "and rows of a series must be in the order of time; sort the file by t; if it holds "
        "several series (of machines, of persons), sorting would mix them: name the column that "
        "tells them apart in params.yaml: preprocess.group, and sort by it first"
    )
    path = dated(tmp_path / "s.csv", times)
    assert message(sequences(path, time="t")) == (
        f"{path}, line 4: t '2024-01-01' comes after '2024-01-03', {remedy}"
    )
    path = tmp_path / "s.parquet"
    pq.write_table(pa.table({"u": np.arange(30.0), "t": times}), path)
    assert message(sequences(path, time="t")) == (
        f"{path}, row 3: t '2024-01-01' comes after '2024-01-03', {remedy}"
    )


def test_a_time_that_is_none_is_named(tmp_path):
    numbers = [str(t) for t in range(30)]
    path = dated(tmp_path / "s.csv", [*numbers[:7], "soon", *numbers[8:]])
    assert message(sequences(path, time="t")) == (
        f"{path}, line 9: 'soon' in 't', which orders the rows (params.yaml: preprocess.time), is "
        "not a number; mend it, or give all rows a number, such as seconds"
    )
    path = dated(tmp_path / "s.csv", ["2024-01-01"] * 5 + ["12:30:00"] * 25)
    text = message(sequences(path, time="t"))
    assert "line 7: '12:30:00' in 't'" in text
    assert "is not a date such as 2024-05-31 23:59 or 31.05.2024 23:59; mend it" in text


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_dates_with_dots_and_slashes_are_read(tmp_path, suffix):
    for times in (
        ["2024-01-01", "31.01.2024 7:05", *["01.02.2024"] * 28],
        ["01/01/2024", "31/1/2024 07:05", *["01/02/2024"] * 28],
        ["01/01/2024", "1/31/2024 7:05", *["02/01/2024"] * 28],
    ):
        path = tmp_path / f"s{suffix}"
        if suffix == ".csv":
            dated(path, times)
        else:
            pq.write_table(pa.table({"u": np.arange(30.0), "t": times}), path)
        time_N = beside(sequences(path, time="t"), "time_N")
        assert (time_N[:2] - 1704067200).tolist() == [30 * 86400 + 7 * 3600 + 300, 31 * 86400]


def test_what_tells_the_day_from_the_month_may_stand_in_a_later_file(tmp_path):
    dated(tmp_path / "1.csv", ["01/02/2024"] * 30)
    dated(tmp_path / "2.csv", ["01/02/2024"] * 29 + ["01/31/2024"])
    assert beside(sequences(tmp_path, time="t"), "time_N")[0] == 1704153600


def test_dates_that_may_be_of_two_days_are_refused_with_what_works(tmp_path):
    path = dated(tmp_path / "s.csv", ["2024-01-01"] * 5 + ["01/02/2024"] * 25)
    assert message(sequences(path, time="t")) == (
        f"{path}: column 't' (preprocess.time), line 7: is '01/02/2024' day/month or month/day? "
        "No row tells: none has a number above 12 there. Write dates as 2024-05-31 or 31.05.2024"
    )


def test_a_missing_time_or_group_is_named(tmp_path):
    path = dated(tmp_path / "s.csv", [*range(5), "", *range(6, 30)])
    assert f"{path}, line 7: no value in 't', which orders the rows" in message(
        sequences(path, time="t")
    )
    path = grouped(tmp_path / "g.csv", ["a"] * 10 + [""] + ["a"] * 10)
    assert f"{path}, line 12: no value in 'g', which tells the series apart" in message(
        sequences(path, group="g")
    )


@pytest.mark.parametrize("weight", ["0", "-1", "inf", "heavy", ""])
def test_a_weight_that_is_no_number_above_0_is_named(tmp_path, weight):
    lines = ["1,1"] * 20 + [f"1,{weight}"]
    path = csv(tmp_path / "s.csv", "u,w\n" + "\n".join(lines))
    text = message(sequences(path, weight="w"))
    assert text.startswith(f"{path}, line 22: the weight {weight or 'None'!r} in 'w' (params.yaml")


def interleaved(path, when=lambda t: t // 2, rows=60):
    """Two machines in turn, as texts, with a time that both share."""
    lines = [f"{t},{when(t)},{'ab'[t % 2]},ok" for t in range(rows)]
    return csv(path, "u,t,machine,note\n" + "\n".join(lines) + "\n")


def test_texts_that_may_tell_series_apart_are_named_once(tmp_path, caplog):
    path = interleaved(tmp_path / "s.csv")
    with caplog.at_level(logging.WARNING):
        values(sequences(path))
    assert [record.getMessage() for record in caplog.records] == [
        f"sequences: {path}: each file is read as one series, and texts with few values are left "
        "out: 'machine'; if one of them tells series apart (a machine, a person), name it in "
        "params.yaml: preprocess.group, or windows mix them; else in preprocess.drop"
    ]


@pytest.mark.parametrize("options", [{"drop": ["machine"]}, {"length": 20}])
def test_no_text_is_named_that_was_dropped_or_has_too_few_rows(tmp_path, caplog, options):
    path = interleaved(tmp_path / "s.csv", rows=200 if "drop" in options else 36)
    if "drop" in options:
        values(sequences(path, **options))
    else:
        message(sequences(path, **options))
    assert "texts with few values" not in caplog.text


def test_times_that_fall_name_the_column_that_may_be_the_group(tmp_path):
    path = interleaved(tmp_path / "s.csv", when=lambda t: t % 2 * 100 + t)
    assert "preprocess.group, such as 'machine', and sort by it first" in message(
        sequences(path, time="t")
    )


def test_times_that_repeat_within_a_series_are_warned_of_with_the_first(tmp_path, caplog):
    path = interleaved(tmp_path / "s.csv")
    with caplog.at_level(logging.WARNING):
        values(sequences(path, time="t", drop=["machine"]))
    assert [record.getMessage() for record in caplog.records] == [
        f"sequences: {path}: 30 rows within a series have the t of the row before, the first is "
        f"line 3 of {path}; if the file holds several series (of machines, of persons), name the "
        "column that tells them apart in params.yaml: preprocess.group, and sort by it first"
    ]


def said_of_steps(caplog, path, **changes):
    caplog.clear()
    with caplog.at_level(logging.INFO):
        values(sequences(path, time="t", **changes))
    return [
        r.getMessage().partition(": t: ")[2] for r in caplog.records if ": t: " in r.getMessage()
    ]


def test_one_line_says_how_times_go_on(tmp_path, caplog):
    moments = np.datetime64("2024-01-01T00:00:00") + 10 * np.arange(40)
    path = dated(tmp_path / "s.csv", moments)
    assert said_of_steps(caplog, path) == ["steps of 10 s"]
    moments[10:] += 190
    moments[20:] += 20
    path = dated(tmp_path / "s.csv", moments)
    assert said_of_steps(caplog, path) == [
        f"steps of 10 s; 2 gaps, the longest of 200 s before line 12 of {path}"
    ]
    path = dated(tmp_path / "s.csv", 0.1 * np.arange(40))
    assert said_of_steps(caplog, path) == ["steps of 0.1"]
    path = dated(tmp_path / "s.csv", np.cumsum([1, 2, 4, 2] * 10))
    assert said_of_steps(caplog, path) == [
        f"steps of 2 (51% of them); 10 gaps, the longest of 4 before line 4 of {path}"
    ]
    path = dated(tmp_path / "s.csv", [5] * 40)
    assert said_of_steps(caplog, path) == ["all rows of a series have one time"]


# --- groups ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunk", [1, 1 << 21])
def test_interleaved_groups_are_named_with_the_remedy(tmp_path, monkeypatch, chunk):
    monkeypatch.setattr("hourglass.sources._table.CHUNK_VALUES", chunk)
    path = tmp_path / "s.parquet"
    pq.write_table(pa.table({"u": np.arange(30.0), "g": ["a"] * 9 + ["b", "a"] + ["a"] * 19}), path)
    assert message(sequences(path, group="g")) == (
        f"{path}, row 11: g 'a' comes back after 'b', and rows of one g must stand together; "
        "sort the file by g"
    )


def test_the_remedy_for_interleaved_groups_names_the_time_too(tmp_path):
    path = dated(tmp_path / "s.csv", range(30), "ab" * 15)
    text = message(sequences(path, group="g", time="t"))
    assert text.startswith(f"{path}, line 4: g 'a' comes back after 'b'")
    assert text.endswith("sort the file by g, t")


def test_names_of_groups_are_texts_in_csv_and_whole_numbers_in_arrays(tmp_path):
    path = grouped(tmp_path / "s.csv", ["07"] * 3 + ["7"] * 30)
    text = message(sequences(path, group="g", length=40))
    assert f"g '7' of {path}, the longest of 2 series, has 30;" in text
    np.save(tmp_path / "s.npy", np.array([[1.0, 5]] * 3 + [[2, 5]] * 30))
    assert "0 '2' of" in message(sequences(tmp_path / "s.npy", group="0", length=40))


# --- windows that do not fit ----------------------------------------------------------------------


def test_a_window_longer_than_the_series_is_refused(tmp_path):
    path = series(tmp_path / "s.csv", 20)
    assert message(sequences(path, length=32)) == (
        f"sequences: {path}: a window has 32 rows, but {path} has 20; no length of windows gives "
        "all splits enough: bring longer series"
    )


def test_short_series_among_many_are_warned_of_once(tmp_path, caplog):
    path = grouped(tmp_path / "s.csv", "a" * 3 + "b" * 50 + "c" * 4)
    source = sequences(path, group="g", length=5)
    with caplog.at_level(logging.WARNING):
        assert np.unique(beside(source, "group_N")).tolist() == [1]
        values(source)
    assert [record.getMessage() for record in caplog.records] == [
        f"sequences: {path}: 2 of 3 series give no window: they, or their parts, are shorter than "
        f"the 5 rows of preprocess.window.length; the shortest, g 'a' of {path}, has 3"
    ]


def test_a_window_longer_than_the_part_of_a_split_is_refused_with_numbers(tmp_path):
    path = series(tmp_path / "s.csv", 100)
    assert message(sequences(path, length=20)) == (
        f"sequences: {path}: no validation window: a window has 20 rows and one begins every 1, "
        f"but the longest validation part of any series has 15 rows (of the 100 of {path}); set "
        "params.yaml: preprocess.window.length to 6 or less (which gives training, validation and "
        "test the 20, 10 and 10 windows that they need), raise preprocess.val_fraction, or bring "
        "longer series"
    )


def test_a_stride_that_leaps_over_a_part_is_refused(tmp_path):
    path = series(tmp_path / "s.csv", 100)
    text = message(sequences(path, length=10, stride=60))
    assert "no validation window" in text
    assert "set params.yaml: preprocess.window.length to 6 or less and window.stride to 1" in text


@given(st.lists(st.integers(30, 400), min_size=1, max_size=3), st.integers(1, 9))
def test_the_length_that_a_message_names_is_the_longest_that_works(lengths, stride):
    with tempfile.TemporaryDirectory() as folder:
        path = grouped(Path(folder) / "s.csv", [g for g, n in enumerate(lengths) for _ in range(n)])
        text = message(sequences(path, group="g", length=500, stride=stride))
        for length, step in re.findall(
            r"length to (\d+) or less(?: and window.stride to (1))?", text
        ):
            for extra, works in ((0, True), (1, False)):
                window = {"length": int(length) + extra, "stride": int(step or stride)}
                try:
                    split_N = beside(sequences(path, group="g", **window), "split_N")
                except DataError:
                    split_N = np.zeros(0, np.int64)
                counts = np.bincount(split_N, minlength=3)
                assert (counts >= [20, 10, 10]).all() == works


def test_windows_that_are_too_few_are_told_the_length_at_once(tmp_path):
    source = sequences(series(tmp_path / "s.csv", 100), length=10)
    values(source)
    assert source.more_rows().startswith("set params.yaml: preprocess.window.length to 6 or less (")


def test_windows_with_too_many_values_for_a_model_are_refused(tmp_path):
    path = series(tmp_path / "s.csv", 20)
    assert "a window has 1000000 x 2 = 2000000 values, and a row may have no more than 1048576" in (
        message(sequences(path, length=1_000_000))
    )


def test_random_splits_are_refused(tmp_path):
    text = message(sequences(series(tmp_path / "s.csv"), split="random"), ConfigError)
    assert text.startswith(
        "params.yaml: preprocess.split: random is not possible for sequences: windows that overlap "
        "would stand on both sides of the split"
    )


def test_whole_groups_need_several_series(tmp_path):
    path = series(tmp_path / "s.csv")
    text = message(sequences(path, split="group"))
    assert "keeps series whole, and there is only one; bring more series (about ten), or" in text


# --- files ----------------------------------------------------------------------------------------


def test_a_column_that_a_further_file_lacks_is_named(tmp_path):
    series(tmp_path / "a.csv")
    series(tmp_path / "b.csv", channels=("u", "vv"))
    assert message(sequences(tmp_path)) == (
        f"{tmp_path / 'b.csv'} has no column 'v', did you mean 'vv'?, but {tmp_path / 'a.csv'} "
        "has; all files need the same columns: mend the file, or take it away"
    )


def test_a_column_that_only_a_further_file_has_is_named_unless_it_is_dropped(tmp_path):
    series(tmp_path / "a.csv")
    series(tmp_path / "b.csv", channels=("u", "v", "more"))
    text = message(sequences(tmp_path))
    assert text.startswith(f"{tmp_path / 'b.csv'} has a column 'more', but ")
    assert "name it in params.yaml: preprocess.drop" in text
    assert channels(sequences(tmp_path, columns=["u", "v"])) == ["u", "v"]


def test_the_order_of_columns_may_differ(tmp_path):
    csv(tmp_path / "a.csv", "u,v\n" + "1,2\n" * 20)
    csv(tmp_path / "b.csv", "v,u\n" + "2,1\n" * 20)
    assert (values(sequences(tmp_path)) == [1, 2, 1, 2]).all()


def test_a_file_that_can_not_be_read_is_an_error_or_left_out_and_counted(tmp_path, caplog):
    series(tmp_path / "a.csv")
    series(tmp_path / "c.csv", start=50)
    csv(tmp_path / "b.csv", "u,v\n1,2\n3\n")
    csv(tmp_path / "d.csv", "")
    assert f"{tmp_path / 'b.csv'}: line 3 has 1 cell" in message(sequences(tmp_path))
    source = sequences(tmp_path, on_bad_row="skip")
    with caplog.at_level(logging.WARNING):
        assert np.unique(beside(source, "group_N")).tolist() == [0, 1]
    assert source.skipped == {"file could not be read": 2}
    assert "line 3 has 1 cell, but the header names 2 columns" in caplog.text
    assert f"{tmp_path / 'd.csv'} is empty" in caplog.text


def test_a_file_that_fails_late_gives_no_window_at_all(tmp_path):
    series(tmp_path / "a.csv")
    csv(tmp_path / "b.csv", "u,v\n" + "1,200000\n" * 200_000 + "1,oops\n")
    source = sequences(tmp_path, on_bad_row="skip")
    assert beside(source, "row_N").max() < 20
    assert source.skipped == {"file could not be read": 1}


def test_paths_that_name_nothing_say_what_is_there(tmp_path):
    series(tmp_path / "a.csv")
    assert "did you mean 'a.csv'?" in message(sequences(tmp_path / "a.cvs"))
    assert f"b*.csv gives no series ({tmp_path} holds a.csv);" in message(
        sequences(tmp_path / "b*.csv")
    )
    (tmp_path / "x.xlsx").touch()
    assert "x.xlsx: unknown type '.xlsx'; save the series as .csv, .tsv" in message(
        sequences(tmp_path / "x.xlsx")
    )
    (tmp_path / "none").mkdir()
    assert "none gives no series (" in message(sequences(tmp_path / "none"))


@pytest.mark.parametrize("shape", [(5,), (2, 2, 2, 2)])
def test_arrays_of_other_dimensions_are_refused(tmp_path, shape):
    np.save(tmp_path / "s.npy", np.zeros(shape))
    assert f"has shape {shape}; series have time x channels" in message(
        sequences(tmp_path / "s.npy")
    )


def test_arrays_of_texts_are_refused(tmp_path):
    np.save(tmp_path / "s.npy", np.array([["a", "b"]] * 20))
    assert "holds <U1, and an autoencoder needs numbers" in message(sequences(tmp_path / "s.npy"))


def test_an_npy_file_that_is_cut_off_is_named(tmp_path):
    np.save(tmp_path / "s.npy", np.zeros((20, 2)))
    (tmp_path / "s.npy").write_bytes((tmp_path / "s.npy").read_bytes()[:-8])
    assert "320 bytes of values, but there are 312;" in message(sequences(tmp_path / "s.npy"))


# --- contract -------------------------------------------------------------------------------------


@pytest.fixture(params=[".csv", ".parquet", ".npy"])
def any_source(request, tmp_path):
    group = np.repeat([5, 3, 9], [400, 300, 500])
    rows = np.column_stack([group, np.arange(1200), np.arange(1200) % 7, np.sqrt(np.arange(1200))])
    names = ("g", "t", "y", "u") if request.param != ".npy" else ("0", "1", "2", "3")
    path = tmp_path / f"s{request.param}"
    if request.param == ".npy":
        np.save(path, rows)
    elif request.param == ".parquet":
        pq.write_table(pa.table(dict(zip(names, rows.T, strict=True))), path)
    else:
        csv(path, "\n".join([",".join(names), *(",".join(map(repr, r)) for r in rows.tolist())]))
    roles = dict(zip(("group", "time", "label"), names[:3], strict=True))
    return sequences(path, length=4, stride=3, **roles)


def same(one, other):
    for field in ("values_NF", "row_N", "group_N", "time_N", "label_N", "split_N"):
        a, b = (np.concatenate([getattr(c, field) for c in chunks]) for chunks in (one, other))
        assert np.array_equal(a, b)


def test_chunks_are_the_same_each_time(any_source):
    same(list(any_source.chunks()), list(any_source.chunks()))


def test_windows_are_the_same_for_any_chunk_size(any_source, monkeypatch):
    whole = list(any_source.chunks())
    monkeypatch.setattr("hourglass.sources._table.CHUNK_VALUES", 40)
    parts = list(any_source.chunks())
    assert len(parts) > len(whole)
    same(whole, parts)


def test_chunks_have_the_columns_and_the_type_of_the_layout(any_source):
    layout = any_source.layout()
    for chunk in any_source.chunks():
        assert chunk.values_NF.shape[1] == len(layout.names) == len(set(layout.names))
        assert chunk.values_NF.dtype == layout.dtype


def test_group_time_and_label_are_never_among_the_features(any_source):
    assert [name.split("@")[0] for name in any_source.layout().names] in (["u"] * 4, ["3"] * 4)
    assert np.array_equal(values(any_source)[:, 0], np.sqrt(beside(any_source, "row_N")))


def test_the_title_begins_with_the_name_of_the_source(any_source):
    assert any_source.title == f"sequences: {any_source.path}"


def test_a_text_among_numbers_is_not_told_to_be_a_level(tmp_path):
    """A regression: the advice was a setting that series refuse."""
    lines = ["u", *map(str, range(20)), "err", *map(str, range(20))]
    said = message(sequences(csv(tmp_path / "s.csv", "\n".join(lines) + "\n")))
    assert "line 22: 'err' is text among numbers. If it stands for a gap, add it to " in said
    assert "[err]; else mend the text, or leave the column out (preprocess.drop: [u])." in said
    assert "kinds" not in said
