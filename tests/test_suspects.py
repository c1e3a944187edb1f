"""Row numbers, identifiers and copies are warned of; nothing is dropped for it."""

import numpy as np
import pytest
from tests.settings import preprocess

from hourglass.paths import Paths, read_json
from hourglass.schema import Schema
from hourglass.stages import preprocess as stage
from hourglass.suspects import Copies, Counters, is_named_as_identifier

ROWS = 300


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.fixture
def warned(tmp_path, caplog):
    """Preprocesses columns and gives the warnings, without the name of the source."""

    def of(rows=ROWS, **columns):
        random = rng(7).normal(size=(rows, 3)).round(6)
        columns = {"x": random[:, 0], "y": random[:, 1], "z": random[:, 2], **columns}
        lines = [
            ",".join(columns),
            *(",".join(map(str, r)) for r in zip(*columns.values(), strict=True)),
        ]
        (tmp_path / "t.csv").write_text("\n".join(lines) + "\n")
        stage.process(preprocess(source="tabular", path="t.csv"), Paths(tmp_path))
        schema = Schema.from_json(read_json(Paths(tmp_path).schema, ""))
        assert [c.name for c in schema.columns] == list(columns)
        texts = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
        return [text.partition("t.csv: ")[2] for text in texts]

    return of


def test_nothing_is_said_of_plain_columns(warned):
    plain = {
        "age": rng(1).integers(0, 90, ROWS),
        "price": rng(2).integers(0, 10**7, ROWS),  # integers that all differ by chance
        "flag": rng(3).integers(0, 2, ROWS),
        "other": rng(4).integers(0, 2, ROWS),
        "city": rng(5).choice(["Bern", "Basel"], ROWS),
    }
    assert warned(**plain) == []


def test_row_numbers_and_identifiers_are_listed_in_one_warning(warned):
    columns = {
        "n": np.arange(1, ROWS + 1),
        "customer": 5000 + rng(1).permutation(ROWS),
        "order_id": rng(2).choice(10**9, ROWS, replace=False),
        "clock": 10.5 + 0.25 * np.arange(ROWS),
    }
    assert warned(**columns) == [
        "row numbers, times or identifiers among the features? They tell nothing of a new row: 'n' "
        "(goes on evenly from row to row), 'clock' (goes on evenly from row to row), 'customer' "
        "(integers that all differ), 'order_id' (integers that all differ); name them in "
        "params.yaml: preprocess.drop, or time, if they are"
    ]


@pytest.mark.parametrize("name", ["id", "ID", "customer_id", "orderId", "Kunden-Nr", "key"])
def test_names_of_identifiers(name):
    assert is_named_as_identifier(name)


@pytest.mark.parametrize("name", ["humid", "width", "no2", "keyboard", "idle", "void"])
def test_other_names(name):
    assert not is_named_as_identifier(name)


def test_columns_that_are_copies_are_listed_with_the_first(warned):
    x = rng(9).normal(size=ROWS).round(6)
    levels = rng(5).choice(["Bern", "Basel"], ROWS)
    assert warned(a=x, b=x, c=levels, d=levels, e=-x, f=x) == [
        "columns that are copies of others count twice: 'b' (of 'a'), 'f' (of 'a'), 'd' (of 'c'); "
        "name them in params.yaml: preprocess.drop"
    ]


def test_levels_that_hardly_recur_are_listed(warned):
    names = [f"P{i}" for i in range(100) for _ in range(2)] + ["P0"] * (ROWS - 200)
    said = warned(name=names)
    assert len(said) == 1
    assert said[0].startswith("texts most of whose levels occur once or twice in training rows: 'n")


def test_codes_with_leading_zeros_are_named_with_what_keeps_them_apart(warned):
    codes = [f"{k:05d}" for k in rng(1).choice([1067, 1099, 80331, 20095], ROWS)]
    said = warned(plz=codes, zero=["0", "0.5"] * (ROWS // 2))
    assert said == [
        "codes, such as postcodes, among the numbers? Leading zeros get lost: "
        f"'plz' ({next(c for c in codes if c[0] == '0')}); if they are no quantities, name them in "
        "params.yaml: preprocess.drop, or with up to 1000 values in preprocess.kinds: {plz: "
        "categorical}"
    ]


def test_rows_in_several_splits_are_counted_with_an_example(warned):
    twice = rng(1).normal(size=(ROWS // 2, 3)).round(6).repeat(2, axis=0)
    said = warned(x=twice[:, 0], y=twice[:, 1], z=twice[:, 2])
    assert len(said) == 1
    assert " val rows, " in said[0]
    assert " test rows are copies of training rows (line " in said[0]


def test_rows_of_few_values_may_be_equal_by_chance(warned):
    few = rng(1).integers(0, 3, (ROWS, 3))
    assert warned(x=few[:, 0], y=few[:, 1], z=few[:, 2]) == []


@pytest.mark.parametrize("sizes", [[300], [1] * 300, [7] * 40 + [20]])
def test_counters_are_the_same_however_rows_come(sizes):
    rows_NF = np.stack([np.arange(300.0), 5 - 2 * np.arange(300.0), np.arange(300) // 2], axis=1)
    rows_NF = np.column_stack([rows_NF, np.where(np.arange(300) == 299, 0, rows_NF[:, 0])])
    counters = Counters(4)
    for part in np.split(rows_NF, np.cumsum(sizes)[:-1]):
        counters.add(part)
    assert counters.found == [0, 1]


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.uint8])
def test_copies_are_the_rows_that_are_equal_in_all_columns(dtype):
    train = rng(0).integers(0, 250, (5000, 12)).astype(dtype)
    test = rng(1).integers(0, 250, (2000, 12)).astype(dtype)
    test[[3, 70]] = train[[400, 9]]
    test[100, :11] = train[5, :11]
    copies = Copies(12)
    for split, rows in {"train": train, "test": test}.items():
        for part in np.array_split(rows, 3):
            copies.add(split, np.ascontiguousarray(part))
    assert copies.shared("test", "train") == (2, 3, 400)


def test_of_too_many_rows_no_copies_are_looked_for(monkeypatch):
    monkeypatch.setattr("hourglass.suspects.MOST_ROWS", 15)
    copies = Copies(2)
    for split in ("train", "test"):
        copies.add(split, np.ones((10, 2)))
    assert copies.shared("test", "train") == (0, -1, -1)
