"""Which columns are features, and what labels, groups, times and weights become."""

import datetime

import numpy as np
import pyarrow as pa
import pytest
from tests.tables import NAMED, TYPED, beside, tabular, values, write

from hourglass.errors import DataError, UnknownNameError
from hourglass.sources import LABEL

ZONE = datetime.timezone(datetime.timedelta(hours=2))


@pytest.fixture
def temps(tmp_path):
    return write(tmp_path / "t.csv", id=[1], temp_in=[2], temp_out=[3], speed=[4])


@pytest.fixture(params=NAMED)
def table(request, tmp_path):
    def of(**columns):
        return write(tmp_path / f"t{request.param}", **columns)

    return of


def refusal(source, error=DataError):
    with pytest.raises(error) as caught:
        list(source.chunks())
    return str(caught.value).replace(f"{source.path.parent}/", "")


# --- features -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"columns": ["speed", "temp_*"]}, ("temp_in", "temp_out", "speed")),
        ({"columns": ["temp_*"], "drop": ["temp_in"]}, ("temp_out",)),
        ({"drop": ["temp_*", "id"]}, ("speed",)),
        ({"columns": ["*"], "label": "speed", "drop": ["id"]}, ("temp_in", "temp_out")),
        ({"columns": ["temp_[io]*"]}, ("temp_in", "temp_out")),
    ],
)
def test_columns_are_chosen_by_name_and_pattern(temps, changes, names):
    assert tabular(temps, **changes).layout().names == names


def test_an_exact_name_wins_over_a_pattern(tmp_path):
    path = write(tmp_path / "t.csv", **{"a*": [1], "ab": [2], "c": [3]})
    assert tabular(path, drop=["a*"]).layout().names == ("ab", "c")


def test_each_column_that_is_left_out_has_its_reason(temps):
    layout = tabular(temps, columns=["temp_*"], drop=["temp_out"], label="id").layout()
    assert layout.dropped == {
        "id": "named in preprocess.label",
        "temp_out": "named in preprocess.drop",
        "speed": "not named in preprocess.columns",
    }


@pytest.mark.parametrize("key", ["columns", "drop"])
def test_an_entry_that_matches_nothing_is_answered_with_the_nearest(temps, key):
    columns = "in t.csv, did you mean 'temp_in'? (columns: id, temp_in, temp_out, speed)"
    assert refusal(tabular(temps, **{key: ["tmp_*"]}), UnknownNameError) == (
        f"params.yaml: preprocess.{key}: no column matches 'tmp_*' {columns}"
    )
    assert refusal(tabular(temps, **{key: ["temp_n"]}), UnknownNameError) == (
        f"params.yaml: preprocess.{key}: no column 'temp_n' {columns}"
    )


@pytest.mark.parametrize("role", ["label", "group", "time", "weight"])
def test_a_column_with_a_role_that_is_not_there_is_answered_with_the_nearest(temps, role):
    assert refusal(tabular(temps, **{role: "sped"}), UnknownNameError) == (
        f"params.yaml: preprocess.{role}: no column 'sped' in t.csv, did you mean 'speed'? "
        "(columns: id, temp_in, temp_out, speed)"
    )


def test_all_roles_travel_beside_the_values(table):
    path = table(a=[1.5, 2.5], y=[7, 8], g=["u", "v"], t=[3, 4], w=[0.5, 2.0])
    source = tabular(path, label="y", group="g", time="t", weight="w")
    assert source.layout().names == ("a",)
    assert source.layout().dropped == {
        "y": "named in preprocess.label",
        "g": "named in preprocess.group",
        "t": "named in preprocess.time",
        "w": "named in preprocess.weight",
    }
    chunk = next(source.chunks())
    assert chunk.label_N.tolist() == [7, 8]
    assert chunk.group_N.tolist() == [0, 1]
    assert chunk.time_N.tolist() == [3, 4]
    assert chunk.weight_N.tolist() == [0.5, 2]
    assert chunk.group_N.dtype == np.int64


def test_without_roles_there_is_nothing_beside_the_values(temps):
    chunk = next(tabular(temps).chunks())
    assert (chunk.label_N, chunk.group_N, chunk.time_N, chunk.weight_N) == (None,) * 4


def test_one_column_may_have_two_roles(table):
    path = table(a=[1.5, 2.5, 3.5], day=[5, 7, 5])
    source = tabular(path, group="day", time="day", label="day")
    assert beside(source, "group_N").tolist() == [0, 1, 0]
    assert beside(source, "time_N").tolist() == [5, 7, 5]
    assert beside(source, "label_N").tolist() == [5, 7, 5]
    assert source.layout().dropped == {"day": "named in preprocess.label"}


# --- labels ---------------------------------------------------------------------------------------


def test_labels_that_are_texts_become_codes(table):
    path = table(a=[1.5, 2.5, 3.5, 4.5], y=["ill", "well", None, "ill"])
    source = tabular(path, label="y")
    assert np.array_equal(beside(source, "label_N"), [0, 1, np.nan, 0], equal_nan=True)
    assert source.levels() == {LABEL: ("ill", "well")}


def test_labels_that_are_booleans_become_codes(table):
    source = tabular(table(a=[1.5, 2.5], y=[True, False]), label="y")
    assert beside(source, "label_N").tolist() == [0, 1]
    assert source.levels() == {LABEL: ("true", "false")}


def test_labels_that_are_numbers_stay_so(table):
    source = tabular(table(a=[1.5, 2.5, 3.5], y=[3.5, None, -1]), label="y", missing_values=[-1])
    assert np.array_equal(beside(source, "label_N"), [3.5, np.nan, -1], equal_nan=True)
    assert source.levels() == {}


def test_labels_may_all_differ(table):
    source = tabular(table(a=[1.5, 2.5, 3.5], y=["p", "q", "r"]), label="y")
    assert beside(source, "label_N").tolist() == [0, 1, 2]


# --- groups ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "groups",
    [
        [7, 3, 7, 2**53, 2**53 + 1],
        [7.0, 3.0, 7.0, 2.5, 0.1],
        ["b", "a", "b", "c", "d"],
        [datetime.date(2024, 1, d) for d in (2, 1, 2, 3, 4)],
    ],
)
def test_groups_of_any_type_are_numbered_in_the_order_of_appearance(table, groups):
    source = tabular(table(a=[1.5] * 5, g=groups), group="g")
    assert beside(source, "group_N").tolist() == [0, 1, 0, 2, 3]


def test_groups_that_are_booleans(table):
    source = tabular(table(a=[1.5] * 3, g=[True, False, True]), group="g")
    assert beside(source, "group_N").tolist() == [0, 1, 0]


def test_more_groups_than_a_feature_may_have_levels(table):
    source = tabular(table(a=[1.5] * 5000, g=[f"g{k}" for k in range(5000)]), group="g")
    assert np.array_equal(beside(source, "group_N"), np.arange(5000))


def test_a_row_without_a_group_is_named(table):
    path = table(a=[1.5, 2.5, 3.5], g=["u", None, "v"])
    place = "line 3" if path.suffix == ".csv" else "row 2"
    assert refusal(tabular(path, group="g")) == (
        f"{path.name}: column 'g' (preprocess.group), {place}: the value is missing; each row "
        "needs its group: mend the value, or delete the row"
    )


# --- times ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "moments",
    [
        [3, 1, 2],
        [0.3, -0.1, 0.2],
        [datetime.date(2024, 5, 3), datetime.date(1960, 1, 1), datetime.date(2024, 5, 2)],
        [datetime.datetime(2024, 5, 1, 12, 0, s, 1000 * s) for s in (3, 1, 2)],
        [datetime.datetime(2024, 5, 1, h, tzinfo=ZONE) for h in (3, 1, 2)],
        ["2024-05-03", "2024-05-01T23:59:59.5", "2024-05-02 12:00"],
        ["2024-05-01T03:00+02:00", "2024-05-01T00:30Z", "2024-05-01T02:45+02:00"],
        ["20240503", "20240501T120000", "2024-W18-4"],
        ["03.05.2024", "1.5.2024 23:59:30", "02.05.2024, 7:15"],
        ["31/5/2024 8:00", "02/05/2024", "30/05/2024"],
        ["05/31/2024 23:00", "12/05/2023", "5/30/2024 7:00"],
        [datetime.time(12, 30), datetime.time(9), datetime.time(12, 29, 59)],
    ],
)
def test_times_keep_their_order(table, moments):
    source = tabular(table(a=[1.5] * 3, t=moments), time="t")
    time_N = beside(source, "time_N")
    assert time_N.dtype == np.float64
    assert np.argsort(time_N).tolist() == [1, 2, 0]


def test_times_are_seconds_since_1970_in_each_format(table):
    moments = [datetime.datetime(1970, 1, 2), datetime.datetime(1970, 1, 1, 0, 0, 1)]
    source = tabular(table(a=[1.5] * 2, t=moments), time="t")
    assert beside(source, "time_N").tolist() == [86400, 1]


def test_dates_with_dots_and_slashes_are_those_of_iso_8601(table):
    wanted = [datetime.datetime(2024, 2, 1), datetime.datetime(2024, 1, 31, 7, 5)]
    expected = [(moment - datetime.datetime(1970, 1, 1)).total_seconds() for moment in wanted]
    for moments in (
        ["01.02.2024", "31.01.2024 7:05"],
        ["01/02/2024", "31/1/2024 07:05"],
        ["02/01/2024", "01/31/2024 07:05:00"],
    ):
        source = tabular(table(a=[1.5] * 2, t=moments), time="t")
        assert beside(source, "time_N").tolist() == expected


def test_what_tells_the_day_from_the_month_may_stand_in_a_later_file(tmp_path):
    write(tmp_path / "1.csv", a=[1.5] * 3, t=["01/02/2024"] * 3)
    write(tmp_path / "2.csv", a=[1.5] * 2, t=["01/03/2024", "01/31/2024"])
    time_N = beside(tabular(tmp_path, time="t"), "time_N")
    assert (np.diff(time_N) / 86400).tolist() == [0, 0, 1, 28]


def test_dates_that_may_be_of_two_days_are_refused_with_what_works(table):
    path = table(a=[1.5] * 3, t=["01/02/2024", "03/04/2024", "12/12/2024"])
    place = "line 2" if path.suffix == ".csv" else "row 1"
    assert refusal(tabular(path, time="t")) == (
        f"{path.name}: column 't' (preprocess.time), {place}: is '01/02/2024' day/month or "
        "month/day? No row tells: none has a number above 12 there. Write dates as 2024-05-31 or "
        "31.05.2024"
    )


def test_a_month_above_12_among_dates_with_slashes_is_named(table):
    path = table(a=[1.5] * 3, t=["31/01/2024", "01/31/2024", "03/04/2024"])
    assert "'01/31/2024' is no time" in refusal(tabular(path, time="t"))


@pytest.mark.parametrize(
    ("moments", "said"),
    [
        (["2024-05-01", "soon", "2024-05-02"], "'soon' is no time"),
        (["2024-05-01", "31.13.2024", "2024-05-02"], "'31.13.2024' is no time"),
        (["2024-05-01", "2024-05-41", "2024-05-02"], "'2024-05-41' is no time"),
        (["2024-05-01", None, "2024-05-02"], "the value is missing"),
        ([1.5, None, 2.5], "the value is missing"),
        ([1.5, float("inf"), 2.5], "'inf' is no time"),
    ],
)
def test_a_row_without_a_time_is_named(table, moments, said):
    path = table(a=[1.5, 2.5, 3.5], t=moments)
    place = "line 3" if path.suffix == ".csv" else "row 2"
    assert refusal(tabular(path, time="t")) == (
        f"{path.name}: column 't' (preprocess.time), {place}: {said}; each row needs a number, or "
        "a date such as 2024-05-31 12:30 or 31.05.2024 12:30: mend the value, or delete the row"
    )


# --- weights --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ([1.0, 0.0, 2.0], "'0.0' is no weight"),
        ([1, -3, 2], "is no weight"),
        ([1.0, float("inf"), 2.0], "'inf' is no weight"),
        ([1.0, None, 2.0], "the value is missing"),
        ([1.0, float("nan"), 2.0], "the value is missing"),
    ],
)
def test_a_weight_that_is_none_is_named(table, weights, said):
    path = table(a=[1.5, 2.5, 3.5], w=weights)
    place = "line 3" if path.suffix == ".csv" else "row 2"
    text = refusal(tabular(path, weight="w"))
    assert text.startswith(f"{path.name}: column 'w' (preprocess.weight), {place}: ")
    assert said in text
    assert text.endswith("; each row needs a number above 0: mend the value, or delete the row")


def test_a_weight_that_is_text_is_named(table):
    path = table(a=[1.5, 2.5], w=["heavy", "light"])
    assert "'heavy' is no weight; each row needs a number above 0" in refusal(
        tabular(path, weight="w")
    )


# --- arrays ---------------------------------------------------------------------------------------


def test_arrays_beside_the_table_may_have_roles(tmp_path, monkeypatch):
    monkeypatch.setattr("hourglass.sources._table.CHUNK_VALUES", 40)
    rows = 50
    days = np.datetime64("2024-01-01") + np.arange(rows)
    np.savez(
        tmp_path / "t.npz",
        X=np.arange(rows * 2.0).reshape(rows, 2),
        y=np.array(["ill", "well"])[np.arange(rows) % 2],
        g=np.arange(rows).astype(">i4") // 10,
        t=days[::-1],
        w=np.full(rows, 0.5, dtype=np.float32),
    )
    source = tabular(tmp_path / "t.npz", label="y", group="g", time="t", weight="w")
    assert len(list(source.chunks())) == 3
    assert source.layout().dropped == {}
    assert beside(source, "label_N").tolist() == [0, 1] * 25
    assert source.levels() == {LABEL: ("ill", "well")}
    assert beside(source, "group_N").tolist() == (np.arange(rows) // 10).tolist()
    assert np.diff(beside(source, "time_N")).tolist() == [-86400] * 49
    assert set(beside(source, "weight_N")) == {0.5}


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.zeros(49), "array 'y' has shape (49,), but array 'X' has 50 rows; save it with shape"),
        (np.zeros((50, 1)), "array 'y' has shape (50, 1), but array 'X' has 50 rows; save it"),
        (np.zeros(50, object), "array 'y' holds Python objects, which only a pickle could load"),
    ],
)
def test_an_array_that_does_not_go_with_the_table(tmp_path, array, said):
    np.savez(tmp_path / "t.npz", X=np.zeros((50, 2)), y=array)
    assert said in refusal(tabular(tmp_path / "t.npz", label="y"))


def test_a_column_of_an_array_may_have_a_role(tmp_path):
    np.save(tmp_path / "t.npy", np.array([[1.5, 3, 0.5], [2.5, 4, 0.25]]))
    source = tabular(tmp_path / "t.npy", label="1")
    assert source.layout().names == ("0", "2")
    assert values(source).tolist() == [[1.5, 0.5], [2.5, 0.25]]
    assert beside(source, "label_N").tolist() == [3, 4]


# --- precision ------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", TYPED)
def test_columns_of_float32_stay_so(tmp_path, suffix):
    numbers = np.array([0.1, 0.2, np.nan], dtype=np.float32)
    columns = {"a": numbers, "b": [True, False, None], "c": ["x", "x", "x"]}
    source = tabular(write(tmp_path / f"t{suffix}", **columns))
    assert source.layout().dtype == np.float32
    assert values(source).dtype == np.float32
    assert np.array_equal(values(source)[:, 0], numbers, equal_nan=True)


@pytest.mark.parametrize("other", [[1, 2], [0.1, 0.2]])
def test_float32_beside_wider_columns_is_float64(tmp_path, other):
    path = write(tmp_path / "t.parquet", a=np.array([0.5, 1.5], dtype=np.float32), b=other)
    assert values(tabular(path)).dtype == np.float64
    assert values(tabular(path))[:, 1].tolist() == other


def test_arrays_of_float32_stay_so(tmp_path):
    np.save(tmp_path / "t.npy", np.ones((3, 2), dtype=np.float32))
    assert values(tabular(tmp_path / "t.npy")).dtype == np.float32


@pytest.mark.parametrize(
    "kind", [pa.int8(), pa.uint8(), pa.int64(), pa.uint64(), pa.float16(), pa.decimal128(9, 2)]
)
def test_numbers_of_any_width_are_read(tmp_path, kind):
    path = write(tmp_path / "t.parquet", a=pa.array([1, None, 3], pa.float64()).cast(kind))
    assert np.array_equal(values(tabular(path)).ravel(), [1, np.nan, 3], equal_nan=True)
