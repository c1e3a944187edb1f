"""From a source to scaled rows: what the first two stages write, and what they leave alone."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest

from hourglass import config, scaling
from hourglass.errors import ConfigError, DataError, MissingInputError
from hourglass.paths import SPLITS, Paths
from hourglass.schema import Kind, Schema
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
        numbers = np.load(paths.rows(split))
        assert np.array_equal(np.load(paths.values(split)), rows_NF[numbers])
        assert schema(paths).rows[split] == len(numbers)
        seen += numbers.tolist()
    assert sorted(seen) == list(range(300))


def test_digits_is_preprocessed_as_an_image(paths):
    preprocess.run(PARAMS, paths)
    found = schema(paths)
    assert (found.source, found.grid, len(found.columns)) == ("builtin: digits", (8, 8), 64)
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
    numbers = np.concatenate([np.load(paths.rows(s)) for s in SPLITS])
    assert sorted(numbers) == [i for i in range(300) if i not in (3, 9)]
    assert np.array_equal(np.load(paths.values("val")), table_NF[np.load(paths.rows("val"))])


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
    assert "columns that never vary in training rows are left out: 'b' (always 2.5)" in caplog.text


def test_constant_is_judged_by_training_rows_alone(paths, raw):
    table_NF = rows()
    raw(table_NF)
    preprocess.run(params(), paths)
    table_NF[:, 1] = 0
    table_NF[np.load(paths.rows("test")), 1] = 1
    raw(table_NF)
    preprocess.run(params(), paths)
    assert schema(paths).constants == {"b": 0.0}


def test_what_is_inferred_and_advised_does_not_see_other_rows(paths, raw):
    table_NF = rows()
    raw(table_NF)
    preprocess.run(params(), paths)
    columns, profile = schema(paths).columns, paths.profile.read_bytes()
    for split in ("val", "test"):
        table_NF[np.load(paths.rows(split))] = 1e6 * rows(1)
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


def test_missing_values_are_an_error_with_columns_counts_and_the_first_line(paths, raw):
    table_NF = rows()
    table_NF[3, 0] = table_NF[9, 0] = table_NF[9, 2] = np.nan
    raw(table_NF)
    assert fails(paths) == (
        "tabular: raw.csv: 2 of 300 rows have missing values, the first is line 5; by column: 'a' "
        "2, 'c' 1. Fill them in, or drop these rows (params.yaml: preprocess.missing: drop_rows) "
        "or those columns (preprocess.drop)"
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
    table_NF[np.load(paths.rows("test"))[0], 2] = 1e45
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
    assert "interquartile" not in caplog.text
    table_NF[np.load(paths.rows("test"))[0], 1] = -99999  # training rows hold none of it
    raw(table_NF)
    preprocess.run(params(), paths)
    assert "column 'b' reaches from -99999 to " in caplog.text
    assert "if these values stand for missing ones, leave the cells empty" in caplog.text
    assert caplog.text.count("interquartile") == 1


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
        "(known: builtin, tabular)"
    )


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
    for path in (paths.values("test"), paths.rows("test")):
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
    row = np.load(paths.rows("val"))[0] + 1
    assert str(error.value).endswith(
        f"raw.csv: column 'b', row {row} of the data: 1e+300 is too large for float32 after "
        "scaling by 'unit'; mend the value or name the column in params.yaml: preprocess.drop"
    )
