"""Windows of multivariate time series as rows: from CSV, Parquet or NPY files.

Shapes: N rows of a block, C channels; of a chunk n windows, F = length x channels.
"""

import logging
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from hourglass.catalog import counted, listed
from hourglass.errors import ConfigError, DataError
from hourglass.schema import LEAST
from hourglass.sources import LABEL, Chunk, Layout, Source
from hourglass.sources._beside import Clock, Labels, days_of, gaps_as_nan, weights
from hourglass.sources._series import (
    Parts,
    Series,
    Survey,
    by_group,
    by_time,
    columns_beside,
    group_candidates,
    survey,
)
from hourglass.sources._series_columns import NO_NUMBERS
from hourglass.sources._series_files import Rows, SeriesFile
from hourglass.sources._series_find import Found, find
from hourglass.sources._table import chunk_rows
from hourglass.sources._times import Days
from hourglass.sources._width import check_width
from hourglass.sources._windows import Cutter, gathered

log = logging.getLogger(__name__)

_SPLITS = {"training": "", "validation": "val_fraction", "test": "test_fraction"}


class Sequences(Source):
    """Reads `path`: a file, a folder or a pattern; each file is at least one series of its own.

    A row is preprocess.window.length consecutive rows of one series. Training, validation and test
    windows share no row: series are cut by time, or kept whole (preprocess.split: group).
    """

    @property
    def title(self) -> str:
        """See `Source.title`."""
        return f"sequences: {self.path}"

    def layout(self) -> Layout:
        """See `Source.layout`.

        Raises:
            ConfigError: preprocess.split is random.
        """
        return self._layout

    def chunks(self) -> Iterator[Chunk]:
        """See `Source.chunks`; the first time, all files are surveyed before.

        Raises:
            DataError: rows are not in the order of group and time, or a split gets no window.
        """
        width = len(self._layout.names)
        several = bool(self.options.group) or len(self._series) > 1
        for chunk in gathered(self._windows(), chunk_rows(width)):
            yield chunk if several else replace(chunk, group_N=None)
        self.skipped = dict(self._found.skipped)

    def levels(self) -> Mapping[str, tuple[str, ...]]:
        """See `Source.levels`: labels that are texts."""
        codes = self._labels.codes
        return {LABEL: tuple(codes)} if codes else {}

    def day_first(self) -> bool | None:
        """See `Source.day_first`."""
        return self._days.first if self.options.time else None

    def place(self, row: int) -> str:
        """See `Source.place`: file and line of a window's first row."""
        firsts = [self._starts[number] for number in range(len(self._files))]
        number = bisect_right(firsts, row) - 1
        at = self._files[number].place(row - firsts[number])
        return at if len(self._files) == 1 else f"{self._files[number].file}, {at}"

    @cached_property
    def _layout(self) -> Layout:
        if self.options.split == "random":
            raise ConfigError(
                "params.yaml: preprocess.split: random is not possible for sequences: windows that "
                "overlap would stand on both sides of the split; say time (each series is cut), "
                "group (series are kept whole) or auto (as time)"
            )
        channels, length = self._found.columns.channels, self.options.window.length
        shape = (length, len(channels))
        check_width(
            shape, "a window", "set params.yaml: preprocess.window.length or columns to less"
        )
        return Layout(
            names=tuple(f"{name}@{step}" for step in range(length) for name in channels),
            dropped=self._found.columns.dropped,
            shape=shape,
            dtype=np.result_type(*(file.dtype(channels) for file in self._files)),
        )

    @cached_property
    def _found(self) -> Found:
        return find(self.path, self.options)

    @property
    def _files(self) -> Sequence[SeriesFile]:
        return self._found.files

    @cached_property
    def _labels(self) -> Labels:
        return Labels(self.options.missing_values)

    @cached_property
    def _days(self) -> Days:
        """Of the times."""
        return days_of(self._files, self.options.time)

    @cached_property
    def _series(self) -> list[Series]:
        """All series; windows are known to lie in each split."""
        channel = self._found.columns.channels[0]
        self._tell_of_groups()
        found = survey(self._files, channel, self.options, self._labels, self._days)
        if self.options.time:
            self._tell_of_steps(found)
        self._check_windows(found.series)
        return found.series

    def _tell_of_groups(self) -> None:
        """Warns of columns that may tell series apart and are left out."""
        if self.options.group:
            return
        dropped = self._found.columns.dropped
        names = group_candidates(self._files[0], self.options)
        names = [name for name in names if dropped.get(name) == NO_NUMBERS]
        if names:
            log.warning(
                "%s: each file is read as one series, and texts with few values are left out: %s; "
                "if one of them tells series apart (a machine, a person), name it in params.yaml: "
                "preprocess.group, or windows mix them; else in preprocess.drop",
                self.title,
                listed([repr(name) for name in names]),
            )

    def _tell_of_steps(self, found: Survey) -> None:
        steps = found.steps
        log.info("%s: %s: %s", self.title, self.options.time, steps.summary(found.unit))
        if steps.repeated:
            log.warning(
                "%s: %s within a series %s the %s of the row before, the first is %s; %s",
                self.title,
                counted(steps.repeated, "row"),
                "has" if steps.repeated == 1 else "have",
                *(self.options.time, steps.first_repeat),
                "if they are copies, delete them"
                if self.options.group
                else "if the file holds several series (of machines, of persons), name the column "
                "that tells them apart in params.yaml: preprocess.group, and sort by it first",
            )

    @cached_property
    def _starts(self) -> dict[int, int]:
        """Number of each file's first row."""
        return {
            file: min(s.first for s in own)
            for file, own in groupby(self._series, key=lambda s: s.file)
        }

    def _parts(self, series: Series) -> Parts:
        options = self.options
        if options.split == "group":
            return by_group(series, options)
        return by_time(series.rows, options.val_fraction, options.test_fraction)

    def _windows(self) -> Iterator[Chunk]:
        """Windows in small chunks."""
        beside = columns_beside(self.options)
        for number, own in groupby(self._series, key=lambda s: s.file):
            file = self._files[number]
            clock = Clock(file, self.options.time, self.options.missing_values, self._days)
            cuts = _Cuts([(s, Cutter(s, self._parts(s), self.options.window)) for s in own])
            row = 0
            for block in file.blocks(self._found.columns.channels, beside):
                values_NC = gaps_as_nan(
                    block.values_NC.astype(self._layout.dtype, copy=False),
                    self.options.missing_values,
                )
                yield from cuts.feed(values_NC, self._numbers(file, clock, block, row))
                row += len(block)
            if row != cuts.rows:
                raise DataError(f"{file.file} changed while it was read; run preprocess again")

    def _numbers(
        self, file: SeriesFile, clock: Clock, block: Rows, row: int
    ) -> dict[str, NDArray[np.float64]]:
        """What stands beside a block, by field of `Chunk`."""
        options, beside = self.options, block.beside
        numbers = {}
        if options.time:
            numbers["time_N"] = clock.read(beside[options.time], row)
        if options.label:
            numbers["label_N"] = self._labels.read(beside[options.label])
        if options.weight:
            numbers["weight_N"] = weights(file, options.weight, beside[options.weight], row)
        return numbers

    def _check_windows(self, series: list[Series]) -> None:
        """Makes sure that each split gets windows; warns of series that give none."""
        length, stride = self.options.window.length, self.options.window.stride
        count_S = np.zeros(3, np.int64)
        longest_S, in_S = np.zeros(3, np.int64), [series[0]] * 3
        idle = 0
        for one in series:
            parts = self._parts(one)
            own_S = parts.counts(length, stride)
            count_S += own_S
            idle += not own_S.any()
            for split, rows in enumerate(parts.longest().tolist()):
                if rows > longest_S[split]:
                    longest_S[split], in_S[split] = rows, one
        self._refuse_long_windows(series)
        for split, name in enumerate(_SPLITS):
            if not count_S[split]:
                raise self._no_window(name, int(longest_S[split]), in_S[split], series)
        if idle:
            log.warning(
                "%s: %d of %d series give no window: they, or their parts, are shorter than the %d "
                "rows of preprocess.window.length; the shortest, %s, has %d",
                *(self.title, idle, len(series), length),
                *((short := min(series, key=lambda s: s.rows)).name, short.rows),
            )

    def _refuse_long_windows(self, series: list[Series]) -> None:
        length = self.options.window.length
        longest = max(series, key=lambda s: s.rows)
        if longest.rows < length:
            of = "" if len(series) == 1 else f", the longest of {len(series)} series,"
            raise DataError(
                f"{self.title}: a window has {length} rows, but {longest.name}{of} has "
                f"{longest.rows}; {self._remedy(series, 'or bring longer series')}"
            )

    def more_rows(self) -> str:
        """See `Source.more_rows`."""
        others = "raise the fraction of the split that has too few, or bring longer series"
        return self._remedy(self._series, others)

    def _remedy(self, series: list[Series], others: str) -> str:
        """Names the longest window that gives each split what it needs, before other remedies."""
        stride = self.options.window.stride
        parts = [self._parts(one) for one in series]
        longest, longest_of_all = _longest_window(parts, stride), _longest_window(parts, 1)
        ways = [f"window.length to {longest} or less"] * (longest > 0)
        if longest_of_all > longest:
            ways.append(f"window.length to {longest_of_all} or less and window.stride to 1")
        if not ways:
            return f"no length of windows gives all splits enough: {others.removeprefix('or ')}"
        *most, last = [str(n) for n in LEAST.values()]
        return (
            f"set params.yaml: preprocess.{', or preprocess.'.join(ways)} (which gives training, "
            f"validation and test the {', '.join(most)} and {last} windows that they need), "
            f"{others}"
        )

    def _no_window(self, split: str, rows: int, one: Series, series: list[Series]) -> DataError:
        """A split would be empty; its longest part has so many rows of `one`."""
        window = self.options.window
        if self.options.split == "group" and not rows:
            several = len(series) > 1
            whole = f"none of the {len(series)} series falls" if several else "there is only one"
            seed = "change preprocess.seed, " if several else ""
            return DataError(
                f"{self.title}: no {split} window: preprocess.split: group keeps series whole, and "
                f"{whole}{' into this split' * several}; bring more series (about ten), {seed}or "
                "set params.yaml: preprocess.split to time"
            )
        fraction = f"preprocess.{_SPLITS[split]}" if _SPLITS[split] else "the share of training"
        return DataError(
            f"{self.title}: no {split} window: a window has {window.length} rows and one begins "
            f"every {window.stride}, but the longest {split} part of any series has {rows} rows "
            f"(of the {one.rows} of {one.name}); "
            + self._remedy(series, f"raise {fraction}, or bring longer series")
        )


def _longest_window(parts: list[Parts], stride: int) -> int:
    """The longest window of which each split gets enough at this stride; 0 if there is none."""
    least_S = np.array(list(LEAST.values()))

    def too_long(length: int) -> bool:
        count_S = np.sum([part.counts(length, stride) for part in parts], axis=0)
        return bool((count_S < least_S).any())

    most = max(int(part.longest().max()) for part in parts)
    return bisect_left(range(1, most + 1), True, key=too_long)


class _Cuts:
    """Deals the rows of a file out to its series."""

    def __init__(self, cutters: list[tuple[Series, Cutter]]) -> None:
        self._cutters = cutters
        self._at, self._done = 0, 0  # the series, and how many of its rows are dealt out
        self.rows = sum(series.rows for series, _ in cutters)

    def feed(
        self, values_NC: NDArray[np.floating], beside: dict[str, NDArray[np.float64]]
    ) -> Iterator[Chunk]:
        """The windows that the next rows of the file complete."""
        begin = 0
        while begin < len(values_NC) and self._at < len(self._cutters):
            series, cutter = self._cutters[self._at]
            end = min(len(values_NC), begin + series.rows - self._done)
            own = {field: numbers[begin:end] for field, numbers in beside.items()}
            yield from cutter.feed(values_NC[begin:end], own)
            self._done += end - begin
            if self._done == series.rows:
                self._at, self._done = self._at + 1, 0
            begin = end


SOURCE = Sequences
