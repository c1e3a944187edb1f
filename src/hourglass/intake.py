"""Takes a source in, once, in bounded memory: checks every row, deals it out and writes it down.

Shapes: N rows, B rows of a block, F columns of the source.
"""

import hashlib
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, fields, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hourglass import splitting
from hourglass.arrays import Growing, ahead, growing
from hourglass.catalog import column_names, listed
from hourglass.config import Preprocess
from hourglass.errors import ConfigError, DataError
from hourglass.inference import Extent
from hourglass.moments import Gathering, Moments, slices
from hourglass.paths import SPLITS, Paths
from hourglass.schema import LEAST
from hourglass.sources import Chunk, Layout, Source
from hourglass.suspects import Copies, Counters

Array = NDArray[np.float64]
# Magnitudes of values: errors are squared and summed, and a square beyond float64's range would
# come out as inf.
LARGEST = 1e100
UNDER_WAY = 2  # blocks that are measured and written while others are read
# What a row carries beside its values: field of `Chunk` -> file and its type.
BESIDE = {
    "row_N": ("rows", np.int64),
    "group_N": ("groups", np.int64),
    "time_N": ("times", np.float64),
    "label_N": ("labels", np.float64),
    "weight_N": ("weights", np.float64),
}


@dataclass(frozen=True)
class Taken:
    """What was taken in.

    Attributes:
        extent: What the rows of all splits hold.
        train: Exact figures of the training rows.
        observed_val_F: Observed values of each column among the validation rows.
        counts: Training rows of each level of the categorical columns, by code: name -> (levels,).
        rows: Rows of each split.
        digest: Of the values and weights, first 16 hex digits of a SHA-256.
        split: How rows were dealt out, see `Schema.split`.
        gaps: Rows that were dropped for missing values.
        counters: Columns of a table that go on by the same step from row to row.
        copies: Validation and test rows that are training rows too, see `Copies.shared`; of
            windows, which may well be alike, none.
    """

    extent: Extent
    train: Moments
    observed_val_F: NDArray[np.int64]
    counts: Mapping[str, NDArray[np.int64]]
    rows: Mapping[str, int]
    digest: str
    split: str
    gaps: int
    counters: tuple[int, ...]
    copies: Mapping[str, tuple[int, int, int]]


def take(source: Source, layout: Layout, options: Preprocess, paths: Paths) -> Taken:
    """Writes values.npy and what lies beside it for each split; all or nothing.

    Raises:
        DataError: a value can't be computed with, values are missing that must not be, or a split
            would have too few rows.
        ConfigError: rows can't be dealt out as params.yaml says.
    """
    with ExitStack() as files:
        out = _Splits(layout, paths, files)
        intake = _Intake(source, layout, options, out)
        how = intake.run(paths)
        gaps = intake.missing_rows if options.missing == "drop_rows" else 0
        counts = dict(zip(LEAST, (out.rows[s] for s in SPLITS), strict=True))
        try:
            splitting.check(counts, options, how, intake.more_rows)
        except DataError as error:
            lost = f" ({gaps} more were dropped for missing values)" if gaps else ""
            raise DataError(f"{source.title}: {error}{lost}") from None
    out.remove_stale()
    return Taken(
        extent=out.extent(intake.missing_F, intake.whole_F),
        train=out.figures["train"].moments(),
        observed_val_F=out.figures["val"].moments().count_F,
        counts=out.counts,
        rows=out.rows,
        digest=out.digest(),
        split=how,
        gaps=gaps,
        counters=tuple(intake.counters.found),
        copies={split: out.copies.shared(split, SPLITS[0]) for split in SPLITS[1:]},
    )


class _Splits:
    """The three splits while they are written, with their figures."""

    def __init__(self, layout: Layout, paths: Paths, files: ExitStack) -> None:
        self._layout, self._paths, self._files = layout, paths, files
        width = len(layout.names)
        self.figures = {s: Gathering(width) for s in SPLITS}
        self.copies = Copies(width)
        self._may_be_alike = len(layout.shape or ()) == 2  # windows of quiet stretches
        self.rows = dict.fromkeys(SPLITS, 0)
        self.counts = {name: np.zeros(0, np.int64) for name in layout.categorical}
        self._sha = {s: hashlib.sha256() for s in SPLITS}
        self._values = {
            s: files.enter_context(growing(paths.values(s), layout.dtype, width)) for s in SPLITS
        }
        self._beside: dict[tuple[str, str], Growing] = {}
        self._rooms: deque[NDArray[Any]] = deque()  # for the values of blocks that are under way
        self._under_way: deque[list[Future[None]]] = deque()
        # A thread each, so that both see the blocks in their order.
        self._workers = [files.enter_context(ThreadPoolExecutor(1)) for _ in range(2)]

    def add(self, block: Chunk, split_B: splitting.Split) -> None:
        """Writes each row of a block to its split, while the next block is read."""
        ordered = self._ordered(block, np.argsort(split_B, kind="stable"))
        ends = np.cumsum([0, *np.bincount(split_B, minlength=len(SPLITS))])
        parts = [
            (s, _chosen(ordered, slice(start, end)))
            for s, (start, end) in zip(SPLITS, pairwise(ends), strict=True)
        ]
        tasks = zip(self._workers, (self._write, self._measure), strict=True)
        self._under_way.append([worker.submit(do, parts) for worker, do in tasks])
        self.wait(UNDER_WAY)

    def _ordered(self, block: Chunk, order_B: NDArray[np.int64]) -> Chunk:
        """The rows in this order, in memory that is used again: fresh memory costs more."""
        if not self._rooms:  # the first block is the largest
            room = partial(np.empty_like, block.values_NF, order="C")
            self._rooms.extend(room() for _ in range(UNDER_WAY + 1))
        self._rooms.rotate()
        values_BF, room_BF = block.values_NF, self._rooms[0][: len(order_B)]
        values_BF.take(order_B, axis=0, out=room_BF, mode="clip")  # "raise" would copy twice
        beside = {
            name: values[order_B]
            for name in (*BESIDE, "split_N")
            if (values := getattr(block, name)) is not None
        }
        return Chunk(room_BF, **beside)

    def wait(self, but: int = 0) -> None:
        """Waits until all that was added is measured and written, but for the last blocks."""
        while len(self._under_way) > but:
            for task in self._under_way.popleft():
                task.result()

    def _measure(self, parts: list[tuple[str, Chunk]]) -> None:
        for split, own in parts:
            self.figures[split].add(own.values_NF)
            self._sha[split].update(own.values_NF.data)
            if own.weight_N is not None:
                self._sha[split].update(np.ascontiguousarray(own.weight_N, np.float64).data)
            if split == SPLITS[splitting.TRAIN]:
                self._count_levels(own.values_NF)

    def _write(self, parts: list[tuple[str, Chunk]]) -> None:
        for split, own in parts:
            self._values[split].append(own.values_NF)
            if not self._may_be_alike:
                self.copies.add(split, own.values_NF)
            self.rows[split] += len(own.values_NF)
            for field, (name, dtype) in BESIDE.items():
                values_B = getattr(own, field)
                if values_B is not None:
                    self._file(split, name, dtype).append(values_B)

    def _file(self, split: str, name: str, dtype: Any) -> Growing:
        key = (split, name)
        if key not in self._beside:
            path = self._paths.beside(split, name)
            self._beside[key] = self._files.enter_context(growing(path, dtype))
        return self._beside[key]

    def _count_levels(self, rows_BF: NDArray[Any]) -> None:
        for name in self.counts:
            codes_B = rows_BF[:, self._layout.names.index(name)]
            new = np.bincount(codes_B[~np.isnan(codes_B)].astype(np.int64))
            old = self.counts[name]
            size = max(len(old), len(new))
            self.counts[name] = np.pad(old, (0, size - len(old))) + np.pad(
                new, (0, size - len(new))
            )

    def remove_stale(self) -> None:
        """Removes what an earlier source had beside its values: it would look fresh."""
        for split in SPLITS:
            for name, _ in BESIDE.values():
                if (split, name) not in self._beside:
                    self._paths.beside(split, name).unlink(missing_ok=True)

    def extent(self, missing_F: NDArray[np.int64], whole_F: NDArray[np.bool_]) -> Extent:
        """What the rows of all splits hold."""
        each = [figures.moments() for figures in self.figures.values()]
        low_F, high_F = np.full(len(missing_F), np.nan), np.full(len(missing_F), np.nan)
        for seen in each:
            low_F, high_F = np.fmin(low_F, seen.low_F), np.fmax(high_F, seen.high_F)
        return Extent(low_F, high_F, whole_F, missing_F)

    def digest(self) -> str:
        """SHA-256 over the splits' digests, by which trials are kept; the first 16 hex digits."""
        every = "".join(self._sha[s].hexdigest() for s in SPLITS)
        return hashlib.sha256(every.encode()).hexdigest()[:16]


class _Intake:
    """The pass over the source."""

    def __init__(self, source: Source, layout: Layout, options: Preprocess, out: _Splits) -> None:
        self._source, self._layout, self._options, self._out = source, layout, options, out
        width = len(layout.names)
        self.missing_F = np.zeros(width, np.int64)
        self.missing_rows = 0
        self._first_gap = -1
        self.counters = Counters(0 if layout.shape else width)
        self._groups = 0  # by which rows are dealt out
        self._rows = 0
        self.whole_F = np.ones(width, dtype=np.bool_)

    def run(self, paths: Paths) -> str:
        """Reads all rows; says how they were dealt out."""
        rows = splitting.block_rows(len(self._layout.names))
        blocks = reblocked(self._checked(ahead(self._source.chunks())), rows)
        first = next(blocks, None)
        if first is None:
            self._refuse_gaps()
            raise DataError(f"{self._source.title} gives no rows{self._lost()}")
        how = _how(first, self._options, self._source.title)
        if how == "time":
            self._deal_by_time(first, blocks, paths)
        else:
            self._deal(0, first, how)
            for number, block in enumerate(blocks, start=1):
                self._deal(number, block, how)
        self._out.wait()
        self._refuse_gaps()
        return how

    def more_rows(self) -> str:
        """What would give each split more rows; "": nothing that is known of this source."""
        if self._groups == 1:
            return (
                f"all rows are of one {self._options.group!r}, and a group goes to one split as a "
                "whole: bring rows of about ten groups, or leave params.yaml: preprocess.group "
                "empty"
            )
        return self._source.more_rows()

    def _lost(self) -> str:
        return (
            f" ({self.missing_rows} were dropped for missing values)" if self.missing_rows else ""
        )

    def _deal(self, number: int, block: Chunk, how: str) -> None:
        options = self._options
        if how == "source":
            split_B = block.split_N
        elif how == "group":
            assert block.group_N is not None  # noqa: S101  # `_how` saw to it
            self._groups = max(self._groups, int(block.group_N.max()) + 1)
            split_B = splitting.by_group(block.group_N, options)
        else:
            split_B = splitting.deal(number, len(block.values_NF), options)
        assert split_B is not None  # noqa: S101  # `_how` saw to it
        self._out.add(block, split_B)

    def _deal_by_time(self, first: Chunk, blocks: Iterator[Chunk], paths: Paths) -> None:
        """The cuts are known only when all times are: rows wait in a file of their own."""
        staged = paths.interim / ".staged"
        try:
            with ExitStack() as files:
                waiting = _Staged(staged, self._layout, files)
                waiting.add(first)
                for block in blocks:
                    waiting.add(block)
            split_N = splitting.by_time(np.load(staged / "time_N.npy"), self._options)
            rows = splitting.block_rows(len(self._layout.names))
            for start in range(0, len(split_N), rows):
                at = slice(start, start + rows)
                self._out.add(waiting.block(at), split_N[at])
        finally:
            _remove(staged)

    def _checked(self, chunks: Iterator[Chunk]) -> Iterator[Chunk]:
        """The chunks with row numbers, after every check; rows to be dropped are gone."""
        for chunk in chunks:
            values_NF = chunk.values_NF
            start, self._rows = self._rows, self._rows + len(values_NF)
            row_N = chunk.row_N if chunk.row_N is not None else np.arange(start, self._rows)
            numbered = replace(chunk, row_N=row_N)
            if values_NF.dtype.kind != "f" or not len(values_NF):
                yield numbered
                continue
            if not values_NF.flags.writeable:
                values_NF = values_NF.copy()
                numbered = replace(numbered, values_NF=values_NF)
            self.counters.add(values_NF)
            values_NF += 0.0  # -0.0 becomes 0.0: equal values have equal digests
            with np.errstate(invalid="ignore"):
                largest = np.maximum(values_NF.max(), -values_NF.min())  # NaN if one of them is
            if not largest <= LARGEST:
                self._refuse_huge_values(values_NF, row_N)
                numbered = self._without_gaps(numbered)
            self._look_for_fractions(numbered.values_NF)
            yield numbered

    def _without_gaps(self, chunk: Chunk) -> Chunk:
        gap_BF = np.isnan(chunk.values_NF)
        gap_B = gap_BF.any(axis=1)
        if not gap_B.any():
            return chunk
        self.missing_F += gap_BF.sum(axis=0)
        if self._first_gap < 0:
            assert chunk.row_N is not None  # noqa: S101  # `_checked` numbers the rows
            self._first_gap = int(chunk.row_N[int(gap_B.argmax())])
        self.missing_rows += int(gap_B.sum())
        return chunk if self._options.missing == "keep" else _chosen(chunk, ~gap_B)

    def _look_for_fractions(self, values_NF: Array) -> None:
        """Withdraws columns from those that hold integers only."""
        if not self.whole_F.any():
            return
        at = np.flatnonzero(self.whole_F)
        part_BF = values_NF if len(at) == len(self.whole_F) else values_NF[:, at]
        whole = (part_BF == np.floor(part_BF)) | np.isnan(part_BF)
        self.whole_F[at] = whole.all(axis=0)

    def _refuse_huge_values(self, values_BF: Array, row_B: NDArray[np.int64]) -> None:
        huge_BF = np.abs(values_BF) > LARGEST
        if not huge_BF.any():
            return
        row, f = np.argwhere(huge_BF)[0]
        value = values_BF[row, f]
        beyond = (
            "" if np.isinf(value) else f", and numbers beyond {LARGEST:g} can't be computed with"
        )
        raise DataError(
            f"{self._source.title}: column {self._layout.names[f]!r}, "
            f"{self._source.place(int(row_B[row]))}: the value is {value}{beyond}; replace it by a "
            "number, delete the row, or leave the column out (params.yaml: preprocess.drop)"
        )

    def _refuse_gaps(self) -> None:
        """Stops on missing values where params.yaml says so, and where only they are left."""
        options, title = self._options, self._source.title
        counts = {
            name: int(n) for name, n in zip(self._layout.names, self.missing_F, strict=True) if n
        }
        if not counts:
            return
        empty = [name for name, count in counts.items() if count == self._rows]
        if options.missing == "drop_rows" and empty:
            raise DataError(
                f"{title}: column {empty[0]!r} has no value in any of the {self._rows} rows; "
                f"leave it out (params.yaml: preprocess.drop, which needs: {column_names(empty)})"
            )
        if options.missing == "error":
            shown = listed([f"{name!r} {count}" for name, count in counts.items()])
            raise DataError(
                f"{title}: {self.missing_rows} of {self._rows} rows have missing values, the first "
                f"is {self._source.place(self._first_gap)}; by column: {shown}. "
                "Fill them in, or let them be masked (params.yaml: preprocess.missing: keep), or "
                "drop these rows (drop_rows) or those columns (preprocess.drop)"
            )


def _how(first: Chunk, options: Preprocess, title: str) -> str:
    """How rows are dealt out."""
    if first.split_N is not None:
        return "source"
    named = {"group": options.group, "time": options.time}
    how: str = options.split
    if how == "auto":
        how = next((key for key in ("group", "time") if named[key]), "random")
    if how in named and not named[how]:
        raise ConfigError(
            f"params.yaml: preprocess.split: {how!r} needs the name of a column in preprocess.{how}"
        )
    if how in named and getattr(first, f"{how}_N") is None:
        raise ConfigError(
            f"params.yaml: preprocess.{how}: {title} gives no {how} of its rows; leave {how} "
            "empty, or set preprocess.split to 'random'"
        )
    return how


def reblocked(chunks: Iterator[Chunk], rows: int) -> Iterator[Chunk]:
    """The same rows in blocks of exactly `rows`, but for the last; a block lives until the next."""
    waiting: list[Chunk] = []
    count = 0
    room: NDArray[Any] | None = None
    for chunk in chunks:
        start = 0
        while start < len(chunk.values_NF):
            part = _chosen(chunk, slice(start, start + rows - count))
            if room is None:
                room = np.empty((rows, part.values_NF.shape[1]), part.values_NF.dtype)
            waiting.append(part)
            count += len(part.values_NF)
            start += len(part.values_NF)
            if count == rows:
                yield _joined(waiting, room)
                waiting, count = [], 0
    if waiting and room is not None:
        yield _joined(waiting, room[:count])


def _chosen(chunk: Chunk, rows: slice | NDArray[np.bool_]) -> Chunk:
    given = {f.name: getattr(chunk, f.name) for f in fields(chunk)}
    return Chunk(**{name: v[rows] for name, v in given.items() if v is not None})


def _joined(chunks: list[Chunk], room: NDArray[Any]) -> Chunk:
    """One chunk, whose values are put into `room`: fresh memory would cost more than the copy."""
    if len(chunks) == 1:
        return chunks[0]
    np.concatenate([c.values_NF for c in chunks], out=room)
    names = [f.name for f in fields(Chunk) if getattr(chunks[0], f.name) is not None]
    names.remove("values_NF")
    beside = {name: np.concatenate([getattr(c, name) for c in chunks]) for name in names}
    return Chunk(room, **beside)


class _Staged:
    """Rows in files, one for each field, before they are dealt out."""

    def __init__(self, folder: Path, layout: Layout, files: ExitStack) -> None:
        self._folder, self._layout, self._files = folder, layout, files
        self._open: dict[str, Growing] = {}

    def add(self, block: Chunk) -> None:
        for field in fields(block):
            values = getattr(block, field.name)
            if values is None:
                continue
            if field.name not in self._open:
                columns = values.shape[1] if values.ndim == 2 else None
                path = self._folder / f"{field.name}.npy"
                array = growing(path, values.dtype, columns)
                self._open[field.name] = self._files.enter_context(array)
            self._open[field.name].append(values)

    def block(self, rows: slice) -> Chunk:
        """Consecutive rows, after all were added."""
        arrays = {n: np.load(self._folder / f"{n}.npy", mmap_mode="r") for n in self._open}
        return Chunk(**{name: np.array(array[rows]) for name, array in arrays.items()})


def _remove(folder: Path) -> None:
    for file in folder.glob("*"):
        file.unlink()
    if folder.exists():
        folder.rmdir()


def rewrite(
    paths: Paths, kept_F: NDArray[np.bool_], codes: Mapping[int, NDArray[np.float64]]
) -> None:
    """Writes the splits again without some columns, and with other codes for levels.

    Args:
        paths: Where they are.
        kept_F: Which columns stay.
        codes: Column -> the new code of each old one.
    """
    for split in SPLITS:
        rows_NF = np.load(paths.values(split), mmap_mode="r")
        with growing(paths.values(split), rows_NF.dtype, int(kept_F.sum())) as out:
            for part_BF in slices(rows_NF):
                for f, new in codes.items():
                    seen_B = ~np.isnan(part_BF[:, f])
                    part_BF[seen_B, f] = new[part_BF[seen_B, f].astype(np.int64)]
                out.append(part_BF[:, kept_F])
