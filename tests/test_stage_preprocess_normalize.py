"""From a source to scaled rows: what the first two stages write, and what they leave alone."""

import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from hourglass import config, scaling
from hourglass.errors import ConfigError, DataError, MissingInputError
from hourglass.paths import SPLITS, Paths
from hourglass.schema import Column, Kind, Schema
from hourglass.sources import LABEL, Chunk, Layout, Source
from hourglass.stages import normalize, preprocess

PARAMS = config.load(Path(__file__).parents[1] / "params.yaml")


def params(scalers=scaling.names, **options):
    """The project's own params with another preprocess section; a table by default."""
    changed = {"source": "tabular", "path": "raw.csv"} | options
    return PARAMS.model_copy(
        update={
            "preprocess": PARAMS.preprocess.model_copy(update=changed),
            "normalize": PARAMS.normalize.model_copy(update={"scalers": tuple(scalers)}),
        }
    )


def rows(count=300, seed=0):
    return np.random.default_rng(seed).normal(size=(count, 3)).round(9)


@pytest.fixture
def paths(tmp_path):
    return Paths(tmp_path)


@pytest.fixture
def raw(paths):
    def write(rows_NF, names=("a", "b", "c")):
        lines = [",".join(names)] + [",".join(map(str, row)) for row in rows_NF]
        (paths.root / "raw.csv").write_text("\n".join(lines) + "\n")

    return write


def schema(paths):
    return Schema.from_json(json.loads(paths.schema.read_text()))


def contents(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def fails(paths, error=DataError, **options):
    with pytest.raises(error) as caught:
        preprocess.run(params(**options), paths)
    return str(caught.value).replace(f"{paths.root}/", "")


def test_every_row_lands_in_one_split_under_its_number(paths, raw):
    rows_NF = rows()
    raw(rows_NF)
    preprocess.run(params(), paths)
    seen = []
    for split in SPLITS:
        numbers = np.load(paths.beside(split, "rows"))
        assert np.array_equal(np.load(paths.values(split)), rows_NF[numbers])
        assert schema(paths).rows[split] == len(numbers)
        seen += numbers.tolist()
    assert sorted(seen) == list(range(300))


def test_digits_is_preprocessed_as_an_image(paths):
    preprocess.run(PARAMS, paths)
    found = schema(paths)
    assert (found.source, found.shape, len(found.columns)) == ("builtin: digits", (8, 8, 1), 64)
    assert {(c.kind, c.resolution, c.low, c.high) for c in found.columns} == {
        (Kind.CONTINUOUS, 1.0, 0.0, 16.0)
    }
    assert found.constants == {}  # an image keeps the pixels that never vary
    assert json.loads(paths.profile.read_text())["scaler"] == "unit"


@pytest.mark.parametrize("values", [1, 3000])
def test_splits_and_schema_are_the_same_for_any_chunk_size(paths, monkeypatch, values):
    table_NF = rows(70_000)
    table_NF[5, 1] = np.nan
    np.save(paths.root / "raw.npy", table_NF)
    options = {"path": "raw.npy", "missing": "drop_rows"}
    monkeypatch.setattr("hourglass.sources._table.CHUNK_VALUES", 40_000)
    preprocess.run(params(**options), paths)
    before = contents(paths.interim)
    monkeypatch.setattr("hourglass.sources._table.CHUNK_VALUES", values * 300)
    preprocess.run(params(**options), paths)
    assert contents(paths.interim) == before


def test_the_same_params_give_the_same_bytes_and_another_seed_another_split(paths, raw):
    raw(rows())
    preprocess.run(params(), paths)
    before = contents(paths.interim)
    preprocess.run(params(), paths)
    assert contents(paths.interim) == before
    digest = schema(paths).digest
    preprocess.run(params(seed=1), paths)
    assert schema(paths).digest != digest


def test_the_digest_is_of_the_values_not_of_the_format(paths, raw):
    raw(rows())
    preprocess.run(params(), paths)
    digest = schema(paths).digest
    np.savez(paths.root / "raw.npz", X=rows())
    preprocess.run(params(path="raw.npz"), paths)
    assert schema(paths).digest == digest
    changed = rows()
    changed[17, 1] += 1e-9
    raw(changed)
    preprocess.run(params(), paths)
    assert schema(paths).digest != digest


def test_minus_zero_is_zero(paths):
    digests = set()
    for zero in (0.0, -0.0):
        np.save(paths.root / "raw.npy", np.where(rows() < 0, zero, rows()))
        preprocess.run(params(path="raw.npy"), paths)
        digests.add(schema(paths).digest)
    assert len(digests) == 1


def test_rows_with_missing_values_are_dropped_and_counted_when_asked(paths, raw):
    table_NF = rows()
    table_NF[3, 0] = table_NF[9, 0] = table_NF[9, 2] = np.nan
    raw(table_NF)
    preprocess.run(params(missing="drop_rows"), paths)
    assert [c.missing for c in schema(paths).columns] == [2, 0, 1]
    assert (schema(paths).gaps, schema(paths).left_out) == (False, {"missing values": 2})
    numbers = np.concatenate([np.load(paths.beside(s, "rows")) for s in SPLITS])
    assert sorted(numbers) == [i for i in range(300) if i not in (3, 9)]
    assert np.array_equal(
        np.load(paths.values("val")), table_NF[np.load(paths.beside("val", "rows"))]
    )


def test_columns_that_never_vary_are_left_out_and_listed(paths, raw, caplog):
    table_NF = rows()
    table_NF[:, 1] = 2.5
    raw(table_NF)
    with caplog.at_level(logging.WARNING):
        preprocess.run(params(), paths)
    found = schema(paths)
    assert found.names == ("a", "c")
    assert found.constants == {"b": 2.5}
    assert found.dropped == {"b": "the same value in all training rows"}
    assert np.load(paths.values("test")).shape[1] == 2
    assert "columns that say nothing of training rows are left out: 'b' (always 2.5)" in caplog.text


def test_constant_is_judged_by_training_rows_alone(paths, raw):
    table_NF = rows()
    raw(table_NF)
    preprocess.run(params(), paths)
    table_NF[:, 1] = 0
    table_NF[np.load(paths.beside("test", "rows")), 1] = 1
    raw(table_NF)
    preprocess.run(params(), paths)
    assert schema(paths).constants == {"b": 0.0}


def test_what_is_inferred_and_advised_does_not_see_other_rows(paths, raw):
    table_NF = rows()
    raw(table_NF)
    preprocess.run(params(), paths)
    columns, profile = schema(paths).columns, paths.profile.read_bytes()
    for split in ("val", "test"):
        table_NF[np.load(paths.beside(split, "rows"))] = 1e6 * rows(1)
    raw(table_NF)
    preprocess.run(params(), paths)
    assert schema(paths).columns == columns
    assert paths.profile.read_bytes() == profile


def test_kinds_may_be_said_and_drop_and_label_are_obeyed(paths, raw):
    table_NF = np.random.default_rng(0).integers(0, 5, (300, 4))
    raw(table_NF, names=("id", "a", "b", "y"))
    preprocess.run(params(drop=("id",), label="y", kinds={"b": "count"}), paths)
    found = schema(paths)
    assert [(c.name, c.kind.value) for c in found.columns] == [("a", "continuous"), ("b", "count")]
    assert found.dropped == {"id": "named in preprocess.drop", "y": "named in preprocess.label"}


def test_the_log_says_what_was_decided(paths, raw, caplog):
    raw(rows())
    with caplog.at_level(logging.INFO):
        preprocess.run(params(drop=("c",)), paths)
    assert (
        f"tabular: {paths.root}/raw.csv: 300 rows (210 train, 45 val, 45 test), 2 columns "
        f"(2 continuous), digest {schema(paths).digest}"
    ) in caplog.text
    assert "left out, named in preprocess.drop: c" in caplog.text
    assert "advice: scaler standard, losses " in caplog.text


def test_missing_values_are_an_error_where_params_say_so(paths, raw):
    table_NF = rows()
    table_NF[3, 0] = table_NF[9, 0] = table_NF[9, 2] = np.nan
    raw(table_NF)
    assert fails(paths, missing="error") == (
        "tabular: raw.csv: 2 of 300 rows have missing values, the first is line 5; by column: 'a' "
        "2, 'c' 1. Fill them in, or let them be masked (params.yaml: preprocess.missing: keep), or "
        "drop these rows (drop_rows) or those columns (preprocess.drop)"
    )


def test_a_column_without_any_value_is_named(paths, raw):
    table_NF = rows()
    table_NF[:, 1] = np.nan
    raw(table_NF)
    assert fails(paths, missing="drop_rows") == (
        "tabular: raw.csv: column 'b' has no value in any of the 300 rows; leave it out "
        "(params.yaml: preprocess.drop, which needs: b)"
    )


def test_an_infinite_value_is_named_with_its_line(paths, raw):
    table_NF = rows()
    table_NF[20, 2] = -np.inf
    raw(table_NF)
    assert fails(paths) == (
        "tabular: raw.csv: column 'c', line 22: the value is -inf; replace it by a number, delete "
        "the row, or leave the column out (params.yaml: preprocess.drop)"
    )


def test_a_test_row_beyond_float32_is_refused_before_any_training(paths, raw):
    """A regression: it stopped evaluate, after hours of training, as a diverged fit."""
    raw(rows())
    preprocess.run(params(), paths)
    table_NF = rows()
    table_NF[np.load(paths.beside("test", "rows"))[0], 2] = 1e45
    raw(table_NF)
    assert "column 'c' reaches from" in (said := fails(paths))
    assert "to 1e+45, but its training rows only from" in said


def test_values_that_have_no_square_are_refused(paths, raw):
    table_NF = rows()
    table_NF[20, 2] = 1e300
    raw(table_NF)
    assert fails(paths) == (
        "tabular: raw.csv: column 'c', line 22: the value is 1e+300, and numbers beyond 1e+100 "
        "can't be computed with; replace it by a number, delete the row, or leave the column out "
        "(params.yaml: preprocess.drop)"
    )
    raw(rows() * [1, 1e-320, 1])
    assert fails(paths) == (
        "tabular: raw.csv: column 'b': its values differ by less than 1e-100, which can't be "
        "computed with; give it in another unit, or leave it out (params.yaml: preprocess.drop)"
    )


def test_a_value_far_from_all_others_is_warned_of(paths, raw, caplog):
    table_NF = rows()
    raw(table_NF)
    preprocess.run(params(), paths)
    assert caplog.text == ""
    table_NF[np.load(paths.beside("test", "rows"))[0], 1] = -99999  # training rows hold none of it
    raw(table_NF)
    preprocess.run(params(), paths)
    assert "far from all other values: -99999 in column 'b'" in caplog.text
    assert "set params.yaml: preprocess.missing_values: [-99999]" in caplog.text
    table_NF[table_NF == -99999] = -12345.5
    raw(table_NF)
    preprocess.run(params(), paths)
    assert "column 'b' reaches from -12345.5 to " in caplog.text
    assert len(caplog.records) == 2


def test_codes_for_gaps_are_told_in_one_line_for_all_columns(paths, raw, caplog):
    """A regression: a line a column or time step; and only values a hundred ranges away."""
    table_NF = 20 + rows(400)
    table_NF[::40] = -99
    raw(table_NF)
    preprocess.run(params(), paths)
    assert caplog.text.count("missing_values: [-99]") == 1
    assert "-99 in 3 columns ('a', 'b', 'c')" in caplog.text
    warnings = json.loads(paths.warnings.read_text(encoding="utf-8"))
    assert [w for w in warnings if "-99 in 3 columns" in w]
    assert "Look at these first" in paths.profile_page.read_text(encoding="utf-8")


def test_all_that_was_warned_of_stands_first_the_most_harmful_before_the_rest(paths, raw, caplog):
    table_NF = rows().astype(object)
    table_NF[:, 1] = 7
    table_NF[::4, 2] = ""
    table_NF[::50, 0] = -9999
    raw(table_NF)
    preprocess.run(params(missing_values=(5555,)), paths)
    far, absent, constant, gaps = json.loads(paths.warnings.read_text())
    assert far.startswith("far from all other values: -9999 in column 'a';")
    assert far.endswith("preprocess.missing_values: [5555, -9999]")
    assert "no column holds 5555" in absent
    assert constant.endswith("left out: 'b' (always 7)")
    assert gaps == "gaps, which stay gaps and are masked: 25.0% of 'c'"
    assert caplog.text.count("-9999 in column 'a'") == 1


def test_one_row_is_too_few(paths, raw):
    raw(rows(1))
    assert fails(paths).startswith("tabular: raw.csv: 1 row is too few: ")


def test_too_few_rows_after_dropping_say_how_many_were_dropped(paths, raw):
    table_NF = rows(100)
    table_NF[:60, 0] = np.nan
    raw(table_NF)
    message = fails(paths, missing="drop_rows")
    assert message.startswith("tabular: raw.csv: 40 rows are too few: ")
    assert message.endswith("(60 more were dropped for missing values)")


def test_nothing_to_learn_where_no_column_varies(paths, raw):
    raw(np.ones((300, 2)), names=("a", "b"))
    assert fails(paths) == (
        "tabular: raw.csv: no column varies over the training rows: 'a' (always 1), 'b' (always "
        "1); there is nothing to learn"
    )


def test_an_unknown_source_is_answered_with_the_nearest(paths):
    assert fails(paths, ConfigError, source="tabulr") == (
        "params.yaml: preprocess.source: unknown source 'tabulr', did you mean 'tabular'? "
        "(known: builtin, images, sequences, synthetic, tabular)"
    )


def test_what_a_killed_run_left_is_not_taken_over(paths, raw):
    raw(rows())
    preprocess.run(params(), paths)
    clean = contents(paths.interim)
    for left in (".new/train/.values.npy.7.part", ".new/.staged/time_N.npy", ".new/train/x.npy"):
        (paths.interim / left).parent.mkdir(parents=True, exist_ok=True)
        (paths.interim / left).write_bytes(b"half")
    preprocess.run(params(), paths)
    assert contents(paths.interim) == clean


@pytest.mark.parametrize("spoil", ["nan", "constant", "few", "kind"])
def test_an_error_leaves_what_an_earlier_run_wrote(paths, raw, spoil):
    raw(rows())
    preprocess.run(params(), paths)
    before = contents(paths.interim)
    bad_NF = rows(5 if spoil == "few" else 300)
    if spoil != "kind":
        bad_NF[:, :] = np.nan if spoil == "nan" else 1
    raw(bad_NF)
    fails(paths, (DataError, ConfigError), kinds={"a": "binary"} if spoil == "kind" else {})
    assert contents(paths.interim) == before
    assert {p.name for p in paths.interim.iterdir()} == {
        *SPLITS,
        "schema.json",
        "figures.json",
        "profile.json",
        "profile.html",
        "warnings.json",
    }


# --- gaps -----------------------------------------------------------------------------------------


def holed(shares=(0.3, 0.0, 0.1)):
    table_NF = rows()
    table_NF[np.random.default_rng(1).random(table_NF.shape) < shares] = np.nan
    return table_NF


def test_missing_values_are_kept_where_they_were(paths, raw, caplog):
    table_NF = holed()
    raw(table_NF)
    with caplog.at_level(logging.INFO):
        preprocess.run(params(), paths)
    assert PARAMS.preprocess.missing == "keep"
    for split in SPLITS:
        numbers = np.load(paths.beside(split, "rows"))
        np.testing.assert_array_equal(np.load(paths.values(split)), table_NF[numbers])
    counts = np.isnan(table_NF).sum(axis=0).tolist()
    assert [c.missing for c in schema(paths).columns] == counts
    assert (schema(paths).gaps, schema(paths).left_out) == (True, {})
    kept = f"missing values are kept as missing, by column: 'a' {counts[0]}, 'c' {counts[2]}"
    assert kept in caplog.text


def test_without_gaps_none_are_expected_later(paths, raw):
    raw(rows())
    preprocess.run(params(), paths)
    assert schema(paths).gaps is False


def test_gaps_of_columns_that_are_left_out_are_not_expected_later(paths, raw):
    table_NF = rows()
    table_NF[:290, 1] = np.nan
    raw(table_NF)
    preprocess.run(params(), paths)
    assert (schema(paths).names, schema(paths).gaps) == (("a", "c"), False)


@pytest.mark.parametrize(
    ("split", "observed", "least"), [("training", 19, 20), ("validation", 9, 10)]
)
def test_a_column_with_few_values_is_left_out_with_a_warning(
    paths, raw, caplog, split, observed, least
):
    table_NF = rows()
    raw(table_NF)
    preprocess.run(params(), paths)
    rows_N = np.load(paths.beside("train" if split == "training" else "val", "rows"))
    table_NF[rows_N[observed:], 1] = np.nan
    raw(table_NF)
    preprocess.run(params(), paths)
    assert schema(paths).dropped == {"b": f"{observed} observed values in {split} rows"}
    assert schema(paths).constants == {}
    assert np.load(paths.values("test")).shape[1] == 2
    assert (
        f"'b' ({observed} observed values in {split} rows, at least {least} needed)" in caplog.text
    )
    table_NF[rows_N[observed], 1] = 0.5
    raw(table_NF)
    preprocess.run(params(), paths)
    assert schema(paths).names == ("a", "b", "c")


def test_the_kind_of_a_column_is_told_from_what_was_observed(paths, raw):
    rng = np.random.default_rng(0)
    table_NF = np.column_stack(
        [rng.integers(0, 2, 300), rng.poisson(2, 300), rng.normal(size=300).round(2)]
    ).astype(float)
    table_NF[rng.random((300, 3)) < 0.2] = np.nan
    raw(table_NF)
    preprocess.run(params(), paths)
    found = schema(paths).columns
    assert [c.kind for c in found] == [Kind.BINARY, Kind.COUNT, Kind.CONTINUOUS]
    assert found[2].resolution == pytest.approx(0.01)


def test_scalers_are_fitted_on_what_was_observed_and_gaps_stay(paths, raw):
    raw(holed())
    preprocess.run(params(), paths)
    normalize.run(params(), paths)
    train_NF = np.load(paths.values("train"))
    scaled_NF = np.load(paths.scaled("standard", "train"))
    np.testing.assert_array_equal(np.isnan(scaled_NF), np.isnan(train_NF))
    np.testing.assert_allclose(np.nanmean(scaled_NF, axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(np.nanstd(scaled_NF, axis=0), 1, rtol=1e-6)
    unit_NF = np.load(paths.scaled("unit", "train"))
    assert (np.nanmin(unit_NF), np.nanmax(unit_NF)) == (0, 1)


# --- what a source gives beside values ------------------------------------------------------------


class Made(Source):
    """Rows that a test made up."""

    title = "made up"
    chunk: Chunk
    made = Layout(("a", "b", "c"), {})
    texts: ClassVar[dict[str, tuple[str, ...]]] = {}

    def layout(self) -> Layout:
        return self.made

    def chunks(self) -> Iterator[Chunk]:
        given = {k: v for k, v in vars(self.chunk).items() if v is not None}
        for start in range(0, len(self.chunk.values_NF), 70):
            yield Chunk(**{k: v[start : start + 70].copy() for k, v in given.items()})

    def levels(self) -> dict[str, tuple[str, ...]]:
        return self.texts


@pytest.fixture
def make(monkeypatch, paths):
    """Runs preprocess on made-up rows."""
    monkeypatch.setattr(preprocess.SOURCES, "load", lambda _: Made)

    def run(chunk: Chunk, made=Made.made, texts=None, **options) -> Schema:
        monkeypatch.setattr(Made, "chunk", chunk, raising=False)
        monkeypatch.setattr(Made, "made", made)
        monkeypatch.setattr(Made, "texts", texts or {})
        preprocess.run(params(**options), paths)
        return schema(paths)

    return run


def beside(paths, what) -> dict[str, np.ndarray]:
    return {split: np.load(paths.beside(split, what)) for split in SPLITS}


def test_labels_and_weights_travel_beside_their_rows(paths, make):
    label_N = np.where(np.arange(300) % 7 == 0, np.nan, np.arange(300) % 2)
    chunk = Chunk(rows(), label_N=label_N, weight_N=1.0 + np.arange(300))
    found = make(chunk, texts={LABEL: ("ill", "well")})
    assert (found.labels, found.names) == (("ill", "well"), ("a", "b", "c"))
    for split, numbers in beside(paths, "rows").items():
        np.testing.assert_array_equal(np.load(paths.beside(split, "labels")), label_N[numbers])
        np.testing.assert_array_equal(np.load(paths.beside(split, "weights")), 1.0 + numbers)


def test_what_an_earlier_source_had_beside_its_values_is_gone(paths, make):
    make(Chunk(rows(), label_N=np.zeros(300), weight_N=np.ones(300)))
    make(Chunk(rows()))
    assert {f.name for f in (paths.interim / "val").iterdir()} == {"values.npy", "rows.npy"}


def test_rows_keep_the_numbers_that_the_source_gives_them(paths, make):
    make(Chunk(rows(), row_N=10 * np.arange(300)))
    every = np.sort(np.concatenate(list(beside(paths, "rows").values())))
    np.testing.assert_array_equal(every, 10 * np.arange(300))


def test_groups_stay_together(paths, make):
    group_N = np.random.default_rng(0).integers(0, 30, 300)
    found = make(Chunk(rows(), group_N=group_N), group="machine")
    assert found.split == "group"
    by_split = beside(paths, "groups")
    for split, numbers in beside(paths, "rows").items():
        np.testing.assert_array_equal(by_split[split], group_N[numbers])
    seen = [set(groups.tolist()) for groups in by_split.values()]
    assert sum(map(len, seen)) == len(set.union(*seen)) == 30


def test_the_latest_rows_test_and_rows_of_one_time_stay_together(paths, make):
    time_N = np.random.default_rng(0).integers(0, 40, 300).astype(float)
    table_NF = rows()
    found = make(Chunk(table_NF, time_N=time_N), time="day")
    assert found.split == "time"
    times = beside(paths, "times")
    assert times["train"].max() < times["val"].min()
    assert times["val"].max() < times["test"].min()
    for split, numbers in beside(paths, "rows").items():
        np.testing.assert_array_equal(times[split], time_N[numbers])
        np.testing.assert_array_equal(np.load(paths.values(split)), table_NF[numbers])
    assert not list(paths.interim.glob(".*"))


def test_a_source_may_split_its_rows_itself(paths, make):
    split_N = np.repeat(np.array([0, 2, 1], np.int8), 100)
    found = make(Chunk(rows(), split_N=split_N))
    assert (found.split, found.rows) == ("source", {"train": 100, "val": 100, "test": 100})
    assert beside(paths, "rows")["test"].tolist() == list(range(100, 200))


def test_rows_may_be_split_at_random_although_there_are_groups_and_times(make):
    chunk = Chunk(rows(), group_N=np.arange(300) // 3, time_N=np.arange(300.0))
    assert make(chunk, group="g", time="t", split="random").split == "random"
    assert make(chunk, group="g", time="t").split == "group"
    assert make(chunk, group="g", time="t", split="time").split == "time"


@pytest.mark.parametrize("how", ["group", "time"])
def test_a_split_that_can_not_be_made_is_refused_with_the_remedy(make, how):
    with pytest.raises(ConfigError, match=f"split: '{how}' needs the name of a column in preproc"):
        make(Chunk(rows()), split=how)
    with pytest.raises(
        ConfigError, match=rf"preprocess\.{how}: made up gives no {how} of its rows"
    ):
        make(Chunk(rows()), **{how: "m"})


def test_few_groups_leave_a_split_without_rows(make):
    with pytest.raises(DataError, match=r"made up: .* each goes to one split as a whole"):
        make(Chunk(rows(), group_N=np.arange(300) // 150), group="machine")


def test_rows_that_the_source_skipped_are_told(make, monkeypatch):
    monkeypatch.setattr(Made, "skipped", {"broken files": 3}, raising=False)
    monkeypatch.setattr(Made, "__init__", lambda *_: None)
    assert make(Chunk(rows())).left_out == {"broken files": 3}


def test_values_keep_the_type_of_their_source(paths, make):
    pixels = np.random.default_rng(0).integers(0, 256, (300, 3)).astype(np.uint8)
    layout = replace(Made.made, shape=(1, 3, 1), bounds=(0.0, 255.0), dtype=np.dtype(np.uint8))
    found = make(Chunk(pixels), layout)
    assert np.load(paths.values("val")).dtype == np.uint8
    np.testing.assert_array_equal(
        np.load(paths.values("val")), pixels[np.load(paths.beside("val", "rows"))]
    )
    assert {(c.kind, c.resolution, c.low, c.high) for c in found.columns} == {
        (Kind.CONTINUOUS, 1.0, 0.0, 255.0)
    }


def test_channels_share_one_scale(paths, make):
    table_NF = np.random.default_rng(0).normal([0, 50] * 3, [1, 9] * 3, (300, 6))
    table_NF[:, 0] = 0.25  # a place that never varies stays, too
    layout = Layout(tuple(f"c{i}@{t}" for t in range(3) for i in range(2)), {}, shape=(3, 2))
    assert len(make(Chunk(table_NF), layout).columns) == 6
    normalize.run(params(), paths)
    scaler = scaling.Scaler.from_json(json.loads(paths.scaler("standard").read_text()))
    np.testing.assert_array_equal(scaler.scale_F, scaler.scale_F[[0, 1] * 3])
    train_NF = np.load(paths.values("train"))
    np.testing.assert_allclose(scaler.scale_F[1], train_NF[:, 1::2].std())


# --- levels ---------------------------------------------------------------------------------------

LEVELS = Layout(("size", "b"), {}, categorical=frozenset({"size"}))


def coded(codes_N) -> Chunk:
    codes_N = np.asarray(codes_N, float)
    return Chunk(np.column_stack([codes_N, rows(len(codes_N))[:, 0]]))


def sizes(*, rare: bool) -> np.ndarray:
    """Codes of "10", "9", "big", each often; where wanted "huge", in one test row."""
    codes_N = np.random.default_rng(0).integers(0, 3, 300).astype(float)
    codes_N[5::50] = np.nan
    if rare:
        split_of_row = preprocess.intake.splitting.deal(0, 300, PARAMS.preprocess)
        codes_N[np.flatnonzero(split_of_row == 2)[0]] = 3
    return codes_N


def test_levels_of_training_rows_are_sorted_and_the_rest_share_a_code(paths, make):
    codes_N = sizes(rare=True)
    found = make(coded(codes_N), LEVELS, {"size": ("10", "9", "big", "huge")})
    column = found.columns[0]
    assert column == Column("size", Kind.CATEGORICAL, None, None, None, 6, ("9", "10", "big"))
    sorted_ = np.array([1.0, 0.0, 2.0, 3.0])
    for split, numbers in beside(paths, "rows").items():
        old_N, new_N = codes_N[numbers], np.load(paths.values(split))[:, 0]
        np.testing.assert_array_equal(np.isnan(new_N), np.isnan(old_N))
        seen_N = ~np.isnan(old_N)
        np.testing.assert_array_equal(new_N[seen_N], sorted_[old_N[seen_N].astype(int)])
    assert (np.load(paths.values("test"))[:, 0] == 3).sum() == 1


def test_the_order_in_which_levels_appear_changes_no_value(paths, make):
    first = make(coded(sizes(rare=False)), LEVELS, {"size": ("10", "9", "big")})
    before = contents(paths.interim)
    turned = np.array([2.0, 0.0, 1.0, np.nan])  # "big" comes third no more
    codes_N = np.nan_to_num(sizes(rare=False), nan=3).astype(int)
    again = make(coded(turned[codes_N]), LEVELS, {"size": ("9", "big", "10")})
    assert replace(first, digest="") == replace(again, digest="")
    after = contents(paths.interim)
    assert {k: v for k, v in after.items() if k.suffix == ".npy"} == {
        k: v for k, v in before.items() if k.suffix == ".npy"
    }


def test_a_single_level_says_nothing(make, caplog):
    found = make(coded(np.zeros(300)), LEVELS, {"size": ("big",)})
    assert found.names == ("b",)
    assert "'size' (always big)" in caplog.text


def test_levels_are_not_scaled(paths, make):
    make(coded(sizes(rare=True)), LEVELS, {"size": ("10", "9", "big", "huge")})
    normalize.run(params(), paths)
    for name in scaling.names:
        codes_N = np.load(paths.scaled(name, "train"))[:, 0]
        assert set(codes_N[~np.isnan(codes_N)]) == {0, 1, 2}


# --- any table ------------------------------------------------------------------------------------

SHAPES = {
    "normal": lambda rng, n: rng.normal(size=n),
    "heavy": lambda rng, n: rng.standard_t(2, n),
    "lognormal": lambda rng, n: rng.lognormal(0, 3, n),
    "offset": lambda rng, n: 1e6 + rng.normal(size=n),
    "rounded": lambda rng, n: rng.normal(size=n).round(1),
    "mostly zero": lambda rng, n: np.where(rng.random(n) < 0.8, 0.0, rng.normal(size=n)),
    "integers": lambda rng, n: rng.integers(-5, 6, n).astype(float),
    "counts": lambda rng, n: rng.poisson(3, n).astype(float),
    "flags": lambda rng, n: rng.integers(0, 2, n).astype(float),
    "fractions": lambda rng, n: rng.beta(0.3, 0.3, n),
}
SCALES = st.sampled_from([1.0, 1.0, 1e-30, 1e-6, 1e12, 1e30, -1.0])
COLUMNS = st.tuples(st.sampled_from(sorted(SHAPES)), SCALES, st.sampled_from([0.0, 0.0, 0.1, 0.4]))


@given(
    columns=st.lists(COLUMNS, min_size=1, max_size=5),
    count=st.integers(300, 400),
    seed=st.integers(0, 9999),
)
@hypothesis_settings(max_examples=40)
def test_any_table_comes_back_from_its_scaled_rows(tmp_path_factory, columns, count, seed):
    """Exactly from data/interim, to float32 rounding from data/normalized."""
    rng, paths = np.random.default_rng(seed), Paths(tmp_path_factory.mktemp("any"))
    table_NF = np.column_stack([scale * SHAPES[shape](rng, count) for shape, scale, _ in columns])
    table_NF[rng.random(table_NF.shape) < [share for _, _, share in columns]] = np.nan
    names = [f"c{i}" for i in range(len(columns))]
    cells = [",".join("" if np.isnan(v) else repr(float(v)) for v in row) for row in table_NF]
    text = "\n".join([",".join(names), *(line or '""' for line in cells)])
    (paths.root / "raw.csv").write_text(text + "\n")
    preprocess.run(params(), paths)
    normalize.run(params(), paths)
    found = schema(paths)
    at = [names.index(name) for name in found.names]
    for split in SPLITS:
        expected_NF = table_NF[np.load(paths.beside(split, "rows"))][:, at] + 0.0
        np.testing.assert_array_equal(np.load(paths.values(split)), expected_NF)
        for name in scaling.names if split != "test" else ():
            scaler = scaling.Scaler.from_json(json.loads(paths.scaler(name).read_text()))
            scaled_NF = np.load(paths.scaled(name, split))
            again_NF = scaler.inverse(scaled_NF)
            np.testing.assert_array_equal(np.isnan(again_NF), np.isnan(expected_NF))
            away_NF = np.abs(expected_NF - scaler.offset_F)
            allowed_NF = 2.0**-23 * away_NF + 2.0**-50 * (np.abs(expected_NF) + away_NF)
            wrong_NF = np.abs(again_NF - expected_NF) > allowed_NF
            assert not wrong_NF.any(), (name, expected_NF[wrong_NF], again_NF[wrong_NF])
            if split == "train":
                varies = np.nanmax(np.abs(scaled_NF - np.nanmedian(scaled_NF, axis=0)), axis=0)
                assert (varies > 1e-3).all(), "a column was scaled to nothing"


# --- normalize ------------------------------------------------------------------------------------


def test_normalize_writes_what_each_scaler_makes_of_train_and_val(paths, raw):
    raw(rows())
    preprocess.run(params(), paths)
    normalize.run(params(), paths)
    for name in scaling.names:
        scaler = scaling.Scaler.from_json(json.loads(paths.scaler(name).read_text()))
        for split in ("train", "val"):
            scaled_NF = np.load(paths.scaled(name, split))
            expected_NF = scaler.transform(np.load(paths.values(split)))
            assert np.array_equal(scaled_NF, expected_NF.astype(np.float32))
        assert {p.name for p in paths.scaler(name).parent.iterdir()} == {
            "scaler.json",
            "train.npy",
            "val.npy",
        }


def test_normalize_never_opens_the_test_rows(paths, raw):
    raw(rows())
    preprocess.run(params(), paths)
    for path in (paths.values("test"), paths.beside("test", "rows")):
        path.unlink()
    normalize.run(params(), paths)
    assert paths.scaled("unit", "val").exists()


def test_scalers_are_fitted_on_training_rows_only(paths, raw):
    raw(rows())
    preprocess.run(params(), paths)
    normalize.run(params(), paths)
    before = {name: paths.scaler(name).read_bytes() for name in scaling.names}
    for split in ("val", "test"):
        np.save(paths.values(split), 1000 + np.load(paths.values(split)))
    normalize.run(params(), paths)
    assert {name: paths.scaler(name).read_bytes() for name in scaling.names} == before
    assert np.load(paths.scaled("unit", "val")).min() > 100


def test_only_the_scalers_of_params_are_there(paths, raw):
    raw(rows())
    preprocess.run(params(), paths)
    normalize.run(params(), paths)
    normalize.run(params(scalers=["unit"]), paths)
    assert [p.name for p in paths.normalized.iterdir()] == ["unit"]


def test_normalize_asks_for_preprocess_first(paths):
    with pytest.raises(MissingInputError, match=r"run `dvc repro preprocess` first"):
        normalize.run(params(), paths)


def test_a_value_too_large_for_float32_is_refused(paths, raw):
    raw(rows())
    preprocess.run(params(), paths)
    val_NF = np.load(paths.values("val"))
    val_NF[0, 1] = 1e300
    np.save(paths.values("val"), val_NF)
    with pytest.raises(DataError) as error:
        normalize.run(params(), paths)
    row = np.load(paths.beside("val", "rows"))[0] + 1
    assert str(error.value).endswith(
        f"raw.csv: column 'b', row {row} of the data: 1e+300 is too large for float32 after "
        "scaling by 'unit'; mend the value or name the column in params.yaml: preprocess.drop"
    )
