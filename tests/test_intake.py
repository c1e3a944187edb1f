"""A source is taken in: the same files however it comes in chunks, all checks, all or nothing."""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.settings import ROOT, preprocess

from hourglass import config, intake, moments, splitting
from hourglass.errors import ConfigError, DataError
from hourglass.intake import BESIDE, Taken, rewrite, take
from hourglass.paths import SPLITS, Paths
from hourglass.sources import Chunk, Layout, Source
from hourglass.splitting import by_group, by_time
from hourglass.stages import preprocess as stage

ROWS = 300
BLOCK = 64  # rows of a block in these tests


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch):
    monkeypatch.setattr(splitting, "block_rows", lambda _: BLOCK)


class Memory(Source):
    """Rows in memory, some at a time."""

    def __init__(self, rows: Chunk, layout: Layout, options, step: int = ROWS) -> None:
        super().__init__(options, Path("memory"))
        self.rows, self.own, self.step = rows, layout, step

    title = "a source"

    def layout(self) -> Layout:
        return self.own

    def chunks(self) -> Iterator[Chunk]:
        for start in range(0, len(self.rows.values_NF), self.step):
            at = slice(start, start + self.step)
            parts = {f.name: getattr(self.rows, f.name) for f in fields(Chunk)}
            yield Chunk(**{k: None if v is None else v[at].copy() for k, v in parts.items()})

    def place(self, row: int) -> str:
        return f"line {row + 2}"


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def full(gaps: float = 0.0) -> Chunk:
    """Rows that carry everything; each thing beside the values follows from the first one."""
    values = rng().normal(size=(ROWS, 3)).round(3)
    values[:, 0] = rng(1).permutation(ROWS)
    key = values[:, 0].copy()
    values[:, 1:][rng(2).random((ROWS, 2)) < gaps] = np.nan
    return Chunk(
        values,
        row_N=(10 * key).astype(np.int64),
        group_N=np.arange(ROWS) // 9,
        time_N=(key * 7) % 101,
        label_N=-key,
        weight_N=key + 1,
    )


def layout_of(columns: int = 3, **more) -> Layout:
    return Layout(tuple("abcdefgh"[:columns]), {}, **more)


@dataclass
class Files:
    """What was written."""

    taken: Taken
    values: dict[str, np.ndarray]
    beside: dict[tuple[str, str], np.ndarray]


def read(paths: Paths, taken: Taken) -> Files:
    values = {s: np.load(paths.values(s)) for s in SPLITS}
    places = {(s, n): paths.beside(s, n) for s in SPLITS for n, _ in BESIDE.values()}
    return Files(taken, values, {k: np.load(p) for k, p in places.items() if p.exists()})


def taken_in(folder: Path, rows: Chunk, step: int = ROWS, layout=None, **options) -> Files:
    settings_ = preprocess(**options)
    layout = layout or layout_of(rows.values_NF.shape[1], dtype=rows.values_NF.dtype)
    paths = Paths(folder)
    return read(paths, take(Memory(rows, layout, settings_, step), layout, settings_, paths))


HOW = {
    "random": {},
    "group": {"group": "g"},
    "time": {"time": "t"},
    "both, by time": {"time": "t", "group": "g", "split": "time"},
    "a group is named, but single rows are wanted": {"group": "g", "split": "random"},
}


# --- chunks


def same(one: Files, other: Files) -> None:
    for split in SPLITS:
        np.testing.assert_array_equal(one.values[split], other.values[split])
    assert one.beside.keys() == other.beside.keys()
    for key, values in one.beside.items():
        np.testing.assert_array_equal(values, other.beside[key])
    for field in fields(Taken):
        a, b = getattr(one.taken, field.name), getattr(other.taken, field.name)
        if field.name == "extent":
            for own in fields(a):
                np.testing.assert_array_equal(getattr(a, own.name), getattr(b, own.name))
        elif field.name == "train":
            for own in fields(a):
                np.testing.assert_allclose(getattr(a, own.name), getattr(b, own.name), rtol=1e-12)
        elif field.name != "counts":
            np.testing.assert_array_equal(a, b)


@given(
    step=st.integers(1, 400),
    how=st.sampled_from(sorted(HOW)),
    missing=st.sampled_from(["keep", "drop_rows"]),
    gaps=st.sampled_from([0.0, 0.1]),
)
@settings(max_examples=25)
def test_files_do_not_depend_on_how_rows_come_in_chunks(tmp_path_factory, step, how, missing, gaps):
    folder = tmp_path_factory.mktemp("intake")
    options = {**HOW[how], "missing": missing}
    whole = taken_in(folder / "whole", full(gaps), **options)
    same(taken_in(folder / "parts", full(gaps), step, **options), whole)
    assert sum(len(v) for v in whole.values.values()) == sum(whole.taken.rows.values())


@pytest.mark.parametrize("how", HOW)
def test_every_row_is_in_one_split_and_keeps_what_it_carries(tmp_path, how):
    found = taken_in(tmp_path, full(), step=50, **HOW[how])
    keys = [found.values[s][:, 0] for s in SPLITS]
    assert sorted(np.concatenate(keys).tolist()) == list(range(ROWS))
    original = full()
    at = np.argsort(original.values_NF[:, 0])
    for split, key in zip(SPLITS, keys, strict=True):
        rows = at[key.astype(int)]
        np.testing.assert_array_equal(found.values[split], original.values_NF[rows])
        for field, (name, dtype) in BESIDE.items():
            written = found.beside[split, name]
            np.testing.assert_array_equal(written, getattr(original, field)[rows])
            assert written.dtype == dtype
        assert (np.diff(rows) > 0).all()  # the order of the source


def test_only_what_rows_carry_is_written(tmp_path):
    found = taken_in(tmp_path, Chunk(full().values_NF), step=70)
    assert {name for _, name in found.beside} == {"rows"}
    numbers = [found.beside[s, "rows"] for s in SPLITS]
    assert sorted(np.concatenate(numbers).tolist()) == list(range(ROWS))
    for split, rows in zip(SPLITS, numbers, strict=True):
        np.testing.assert_array_equal(found.values[split], full().values_NF[rows])


def test_what_an_earlier_source_had_beside_its_values_is_gone(tmp_path):
    taken_in(tmp_path, full())
    taken_in(tmp_path, replace(full(), label_N=None, weight_N=None))
    for split in SPLITS:
        names = {p.name for p in Paths(tmp_path).values(split).parent.iterdir()}
        assert names == {"values.npy", "rows.npy", "groups.npy", "times.npy"}


@pytest.mark.parametrize("empty", [0, 2, 6])
def test_a_chunk_without_rows_is_no_error(tmp_path, empty):
    class Halting(Memory):
        def chunks(self) -> Iterator[Chunk]:
            for number, chunk in enumerate(super().chunks()):
                if number == empty:
                    yield Chunk(np.zeros((0, 3)))
                yield chunk
            if empty > number:
                yield Chunk(np.zeros((0, 3)))

    rows = Chunk(full().values_NF)
    options = preprocess()
    source = Halting(rows, layout_of(), options, step=50)
    found = read(Paths(tmp_path), take(source, layout_of(), options, Paths(tmp_path)))
    same(found, taken_in(tmp_path / "whole", rows))


@pytest.mark.parametrize("how", ["random", "source"])
def test_chunks_in_the_memory_order_of_columns_are_written_by_rows(tmp_path, how):
    """Also where a whole block goes to one split."""

    class Columnwise(Memory):
        def chunks(self) -> Iterator[Chunk]:
            for chunk in super().chunks():
                yield replace(chunk, values_NF=np.asfortranarray(chunk.values_NF))

    split_N = np.repeat(np.array([0, 1, 2], np.int8), 100) if how == "source" else None
    rows = Chunk(full().values_NF, split_N=split_N)
    options = preprocess()
    source = Columnwise(rows, layout_of(), options, step=77)
    found = read(Paths(tmp_path), take(source, layout_of(), options, Paths(tmp_path)))
    same(found, taken_in(tmp_path / "whole", rows))


# --- how rows are dealt out


def test_blocks_are_dealt_out_one_by_one(tmp_path):
    rows = Chunk(np.arange(ROWS, dtype=np.float64)[:, None])
    found = taken_in(tmp_path, rows, step=50)
    for start in range(0, ROWS - BLOCK, BLOCK):
        inside = [((v >= start) & (v < start + BLOCK)).sum() for v in found.values.values()]
        assert inside == [BLOCK - 20, 10, 10]
    assert found.taken.split == "random"


def test_groups_and_times_are_dealt_out_as_their_rules_say(tmp_path):
    options = preprocess()
    order = full().values_NF[:, 0]
    rules = {
        "group": ({"group": "g"}, by_group(full().group_N, options)),
        "time": ({"time": "t"}, by_time(full().time_N, options)),
    }
    for how, (wanted, split_N) in rules.items():
        found = taken_in(tmp_path / how, full(), step=31, **wanted)
        assert found.taken.split == how
        for code, split in enumerate(SPLITS):
            assert found.values[split][:, 0].tolist() == order[split_N == code].tolist()


def test_a_source_that_deals_out_its_rows_itself_has_its_way(tmp_path):
    split_N = rng(5).choice(np.array([0, 1, 2], np.int8), ROWS)
    found = taken_in(tmp_path, replace(full(), split_N=split_N), step=31, time="t", split="time")
    assert found.taken.split == "source"
    for code, split in enumerate(SPLITS):
        expected = full().values_NF[split_N == code]
        np.testing.assert_array_equal(found.values[split], expected)


@pytest.mark.parametrize("how", ["group", "time"])
def test_a_way_to_split_that_needs_a_column_asks_for_it(tmp_path, how):
    with pytest.raises(ConfigError) as error:
        taken_in(tmp_path, full(), split=how)
    assert str(error.value) == (
        f"params.yaml: preprocess.split: {how!r} needs the name of a column in preprocess.{how}"
    )


@pytest.mark.parametrize("how", ["group", "time"])
def test_a_source_that_does_not_give_what_a_split_needs_is_named(tmp_path, how):
    with pytest.raises(ConfigError) as error:
        taken_in(tmp_path, Chunk(full().values_NF), **{how: "x"})
    assert str(error.value) == (
        f"params.yaml: preprocess.{how}: a source gives no {how} of its rows; leave {how} empty, "
        "or set preprocess.split to 'random'"
    )


def test_too_few_rows_say_how_many_were_dropped(tmp_path):
    rows = full(gaps=0.8)
    with pytest.raises(DataError, match=r"^a source: \d+ rows are too few: .* \(28\d more were "):
        taken_in(tmp_path, rows, missing="drop_rows")


def test_groups_that_are_too_few_are_told_as_groups(tmp_path):
    rows = replace(full(), group_N=np.zeros(ROWS, np.int64))
    with pytest.raises(
        DataError, match=r"; all rows are of one 'g', and .*preprocess.group empty$"
    ):
        taken_in(tmp_path, rows, group="g")
    rows = replace(full(), group_N=np.arange(ROWS) // (ROWS // 2))
    with pytest.raises(
        DataError, match=r"300 rows are too few: .* bring more groups: each goes to"
    ):
        taken_in(tmp_path, rows, group="g")


# --- figures


def test_figures_are_those_of_what_was_written(tmp_path):
    found = taken_in(tmp_path, full(gaps=0.1), step=41)
    train, every = found.values["train"], np.concatenate(list(found.values.values()))
    taken = found.taken
    np.testing.assert_allclose(taken.train.mean_F, np.nanmean(train, axis=0), rtol=1e-12)
    np.testing.assert_allclose(taken.train.sd_F, np.nanstd(train, axis=0), rtol=1e-12)
    seen_val_F = (~np.isnan(found.values["val"])).sum(axis=0)
    np.testing.assert_array_equal(taken.observed_val_F, seen_val_F)
    np.testing.assert_array_equal(taken.extent.low_F, np.nanmin(every, axis=0))
    np.testing.assert_array_equal(taken.extent.high_F, np.nanmax(every, axis=0))
    np.testing.assert_array_equal(taken.extent.missing_F, np.isnan(every).sum(axis=0))
    assert taken.extent.whole_F.tolist() == [True, False, False]
    assert taken.rows == {s: len(v) for s, v in found.values.items()}


def test_one_fraction_in_any_chunk_makes_a_column_no_column_of_integers(tmp_path):
    values = np.ones((ROWS, 3))
    values[250, 1], values[0, 2] = 0.5, np.nan
    assert taken_in(tmp_path, Chunk(values), step=100).taken.extent.whole_F.tolist() == [
        True,
        False,
        True,
    ]


def test_a_fraction_in_a_row_that_is_dropped_does_not_count(tmp_path):
    values = np.ones((ROWS, 3))
    values[250] = [0.5, np.nan, 1]
    whole_F = taken_in(tmp_path, Chunk(values), missing="drop_rows").taken.extent.whole_F
    assert whole_F.all()


def test_the_digest_tells_values_weights_and_splits_apart(tmp_path):
    base = taken_in(tmp_path / "0", full()).taken.digest
    assert len(base) == 16
    assert taken_in(tmp_path / "1", full()).taken.digest == base
    changed = full()
    changed.values_NF[17, 1] += 1e-9
    assert taken_in(tmp_path / "2", changed).taken.digest != base
    assert taken_in(tmp_path / "3", full(), seed=9).taken.digest != base
    weighed = full()
    weighed.weight_N[17] += 1
    assert taken_in(tmp_path / "4", weighed).taken.digest != base


def test_minus_zero_is_zero(tmp_path):
    signed, plain = full(), full()
    signed.values_NF[::2, 1], plain.values_NF[::2, 1] = -0.0, 0.0
    found = taken_in(tmp_path / "a", signed)
    assert found.taken.digest == taken_in(tmp_path / "b", plain).taken.digest
    assert not any(np.signbit(v[v == 0]).any() for v in found.values.values())


def test_rows_that_must_not_be_changed_are_copied(tmp_path):
    class Locked(Memory):
        def chunks(self) -> Iterator[Chunk]:
            for chunk in super().chunks():
                chunk.values_NF.flags.writeable = False
                yield chunk

    rows = Chunk(np.where(rng().random((ROWS, 2)) < 0.5, -0.0, 1.0))
    options, layout = preprocess(), layout_of(2)
    taken = take(Locked(rows, layout, options), layout, options, Paths(tmp_path))
    assert taken.rows == taken_in(tmp_path / "b", rows).taken.rows
    assert not np.signbit(np.load(Paths(tmp_path).values("train"))).any()


def test_bytes_of_images_stay_bytes(tmp_path):
    rows = Chunk(rng().integers(0, 256, (ROWS, 4)).astype(np.uint8))
    found = taken_in(tmp_path, rows, step=33)
    assert {v.dtype for v in found.values.values()} == {np.dtype(np.uint8)}
    train = found.values["train"].astype(np.float64)
    np.testing.assert_allclose(found.taken.train.mean_F, train.mean(axis=0), rtol=1e-13)
    assert found.taken.extent.whole_F.all()
    assert found.taken.extent.low_F.tolist() == rows.values_NF.min(axis=0).tolist()


def test_levels_are_counted_in_training_rows_only(tmp_path):
    values = np.column_stack([rng().normal(size=ROWS), rng(1).integers(0, 5, ROWS)])
    values[::10, 1] = np.nan
    values[295:, 1] = 11.0  # late levels, after chunks that knew of none
    layout = layout_of(2, categorical=frozenset({"b"}))
    found = taken_in(tmp_path, Chunk(values), 50, layout)
    codes = found.values["train"][:, 1]
    expected = np.bincount(codes[~np.isnan(codes)].astype(int))
    assert found.taken.counts["b"].tolist() == expected.tolist()


# --- gaps


def test_rows_with_gaps_are_kept_dropped_or_refused(tmp_path):
    rows, gap_N = full(gaps=0.1), np.isnan(full(gaps=0.1).values_NF).any(axis=1)
    kept = taken_in(tmp_path / "keep", rows, step=40, missing="keep")
    assert sum(kept.taken.rows.values()) == ROWS
    assert kept.taken.gaps == 0
    dropped = taken_in(tmp_path / "drop", rows, step=40, missing="drop_rows")
    every = np.concatenate([dropped.beside[s, "rows"] for s in SPLITS])
    assert sorted(every.tolist()) == sorted(rows.row_N[~gap_N].tolist())
    assert dropped.taken.gaps == gap_N.sum()
    for found in (kept, dropped):
        expected = np.isnan(rows.values_NF).sum(axis=0)
        np.testing.assert_array_equal(found.taken.extent.missing_F, expected)
    by_column = np.isnan(rows.values_NF).sum(axis=0)
    with pytest.raises(DataError) as error:
        taken_in(tmp_path / "error", rows, step=40, missing="error")
    first = int(rows.row_N[gap_N][0])
    assert str(error.value) == (
        f"a source: {gap_N.sum()} of 300 rows have missing values, the first is line {first + 2}; "
        f"by column: 'b' {by_column[1]}, 'c' {by_column[2]}. Fill them in, or let them be masked "
        "(params.yaml: preprocess.missing: keep), or drop these rows (drop_rows) or those columns "
        "(preprocess.drop)"
    )


@pytest.mark.parametrize("missing", ["keep", "drop_rows", "error"])
def test_without_gaps_all_ways_are_the_same(tmp_path, missing):
    same(taken_in(tmp_path / "a", full(), missing=missing), taken_in(tmp_path / "b", full()))


def test_a_column_without_any_value_is_named_where_it_would_cost_all_rows(tmp_path):
    rows = full()
    rows.values_NF[:, 2] = np.nan
    with pytest.raises(DataError) as error:
        taken_in(tmp_path, rows, missing="drop_rows")
    assert str(error.value) == (
        "a source: column 'c' has no value in any of the 300 rows; leave it out (params.yaml: "
        "preprocess.drop, which needs: c)"
    )
    assert taken_in(tmp_path, rows, missing="keep").taken.train.count_F[2] == 0


def test_a_source_without_rows_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"^a source gives no rows$"):
        taken_in(tmp_path, Chunk(np.zeros((0, 3))))


# --- values that can't be computed with


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (np.inf, "the value is inf; replace"),
        (-np.inf, "the value is -inf; replace"),
        (-1e101, r"the value is -1e\+101, and numbers beyond 1e\+100 can't be computed with; rep"),
    ],
)
@pytest.mark.parametrize("missing", ["keep", "drop_rows"])
def test_huge_values_are_refused_with_their_place(tmp_path, value, said, missing):
    rows = full(gaps=0.05)
    rows.values_NF[130, 2] = value
    place = rf"line {rows.row_N[130] + 2}"
    with pytest.raises(DataError, match=f"^a source: column 'c', {place}: {said}"):
        taken_in(tmp_path, rows, step=100, missing=missing)


def test_huge_values_that_cancel_are_refused_too(tmp_path):
    rows = full()
    rows.values_NF[5, 1], rows.values_NF[6, 1] = 1e200, -1e200
    with pytest.raises(DataError, match=r"column 'b'.* the value is 1e\+200, and numbers beyond"):
        taken_in(tmp_path, rows)


def test_the_largest_values_pass(tmp_path):
    rows = full()
    rows.values_NF[5, 1], rows.values_NF[6, 1] = 1e100, -1e100
    assert taken_in(tmp_path, rows).taken.extent.high_F[1] == 1e100


# --- all or nothing


@pytest.mark.parametrize("how", ["random", "time", "group"])
def test_an_error_leaves_the_old_files_and_nothing_else(tmp_path, how):
    before = taken_in(tmp_path, full(), **HOW[how])
    listing = sorted(p for p in tmp_path.rglob("*"))
    broken = full()
    broken.values_NF[299, 1] = np.inf
    with pytest.raises(DataError):
        taken_in(tmp_path, broken, step=20, **HOW[how])
    few = Chunk(**{f.name: None for f in fields(Chunk)} | {"values_NF": np.ones((9, 3))})
    with pytest.raises(DataError):
        taken_in(tmp_path, few)
    assert sorted(p for p in tmp_path.rglob("*")) == listing
    same(read(Paths(tmp_path), before.taken), before)


def test_rows_that_wait_for_the_cut_leave_nothing_behind(tmp_path):
    taken_in(tmp_path, full(), time="t")
    assert {p.name for p in Paths(tmp_path).interim.iterdir()} == set(SPLITS)


# --- rewriting


def coded(folder: Path) -> tuple[Paths, dict[str, np.ndarray]]:
    """Files with two columns of numbers around one of levels, with gaps."""
    values = np.column_stack(
        [rng().normal(size=ROWS), rng(1).integers(0, 4, ROWS), np.arange(ROWS)]
    )
    values[rng(2).random(ROWS) < 0.2, 1] = np.nan
    found = taken_in(folder, Chunk(values), layout=layout_of(3, categorical=frozenset({"b"})))
    return Paths(folder), found.values


def test_columns_are_dropped_and_levels_get_new_codes(tmp_path):
    paths, before = coded(tmp_path)
    new = np.array([2.0, 0.0, 3.0, 1.0])
    rewrite(paths, np.array([False, True, True]), {1: new})
    for split in SPLITS:
        codes = before[split][:, 1]
        seen = ~np.isnan(codes)
        after = np.load(paths.values(split))
        assert after.shape == (len(codes), 2)
        np.testing.assert_array_equal(after[seen, 0], new[codes[seen].astype(int)])
        assert np.isnan(after[~seen, 0]).all()
        np.testing.assert_array_equal(after[:, 1], before[split][:, 2])


def test_rewriting_keeps_the_type_of_values(tmp_path):
    rows = Chunk(rng().integers(0, 256, (ROWS, 4)).astype(np.uint8))
    before = taken_in(tmp_path, rows).values
    rewrite(Paths(tmp_path), np.array([True, False, True, True]), {})
    for split in SPLITS:
        after = np.load(Paths(tmp_path).values(split))
        assert after.dtype == np.uint8
        np.testing.assert_array_equal(after, before[split][:, [0, 2, 3]])


def test_rewriting_in_slices_is_rewriting_the_whole(tmp_path, monkeypatch):
    for folder, values in (("whole", 1 << 20), ("parts", 10)):
        paths, _ = coded(tmp_path / folder)
        monkeypatch.setattr(intake, "slices", partial(moments.slices, values=values))
        rewrite(paths, np.array([True, True, False]), {1: np.array([3.0, 2.0, 1.0, 0.0])})
    for split in SPLITS:
        one, other = (np.load(Paths(tmp_path / f).values(split)) for f in ("whole", "parts"))
        np.testing.assert_array_equal(one, other)


# --- arrays


@pytest.mark.parametrize(("seen", "said"), [(0, "0 training"), (45, "7 validation")])
def test_an_array_with_a_place_that_is_hardly_ever_seen_is_refused(
    tmp_path, monkeypatch, seen, said
):
    """A regression: it ended in a traceback when the first model was fitted."""
    rows = Chunk(rng().normal(size=(ROWS, 4)))
    rows.values_NF[seen:, 3] = np.nan
    layout = layout_of(4, shape=(2, 2, 1))

    class Catalogue:
        check = staticmethod(lambda name, _: name)
        load = staticmethod(lambda _: lambda options, __: Memory(rows, layout, options))

    monkeypatch.setattr(stage, "SOURCES", Catalogue)
    with pytest.raises(DataError) as error:
        stage.run(config.load(ROOT / "params.yaml"), Paths(tmp_path))
    assert str(error.value).startswith(
        "a source: 1 of the 4 values of a row are hardly ever observed: 'd' in "
        f"{said} rows, at least "
    )
