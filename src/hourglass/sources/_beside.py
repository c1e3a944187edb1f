"""Columns beside the channels of a series: groups as texts, times and labels as numbers.

Shapes: N rows of a block.
"""

import bisect
import datetime
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as compute
from numpy.typing import NDArray

from hourglass.errors import DataError
from hourglass.sources._complaints import day_or_month
from hourglass.sources._series_files import Missing, SeriesFile, floats
from hourglass.sources._table import Sort, sort_of
from hourglass.sources._times import Days, has_slashes, iso

_Reader = Callable[[pa.Array], NDArray[np.float64] | None]

_ZONES = (None, "UTC")
_NUMBER, _DATE = "a number", "a date such as 2024-05-31 23:59 or 31.05.2024 23:59"


class Clock:
    """Turns the times of one file into numbers; all are numbers, or all are dates.

    Args:
        file: It.
        column: Which holds them.
        missing: What stands for a gap.
        days: Of this column, in all files.
    """

    def __init__(self, file: SeriesFile, column: str, missing: Missing, days: Days) -> None:
        self._file, self._column = file, column
        self._missing, self._days = missing, days
        self._expected = ""

    @property
    def unit(self) -> str:
        """Of what `read` gave: " s" for dates."""
        return " s" if self._expected == _DATE else ""

    def read(self, times: pa.Array, row: int) -> NDArray[np.float64]:
        """Times of the rows from `row` on: numbers as they are, dates as seconds. Shape (N,).

        Raises:
            DataError: a row has none, or one that can't be read; the row is named.
        """
        if not self._expected:
            self._expected = _NUMBER if _numbers(times.slice(0, 1)) is not None else _DATE
        read = _numbers if self._expected == _NUMBER else partial(_seconds, days=self._days)
        time_N = read(times)
        if time_N is None:
            strange = _first_strange(times, read)
            place, text = self._file.place(row + strange), str(times[strange])
            if has_slashes(text) and self._days.first is None:
                raise day_or_month(f"{self._file.file}", (self._column, place, text))
            raise DataError(
                f"{self._file.file}, {place}: {text!r} in {self._column!r}, which orders the rows "
                f"(params.yaml: preprocess.time), is not {self._expected}; mend it, or give all "
                "rows a number, such as seconds"
            )
        gap_N = np.isnan(gaps_as_nan(time_N, self._missing))
        if gap_N.any():
            at = self._file.place(row + int(np.argmax(gap_N)))
            raise DataError(
                f"{self._file.file}, {at}: no value in {self._column!r}, which orders the rows "
                "(params.yaml: preprocess.time); fill it in or delete the row"
            )
        return time_N


def group_codes(groups: pa.Array) -> tuple[NDArray[np.int64], list[str | None]]:
    """Codes of the groups, and what they stand for; None for a gap. Shape (N,)."""
    if pa.types.is_dictionary(groups.type):
        groups = groups.dictionary_decode()
    if pa.types.is_float16(groups.type):
        groups = groups.cast(pa.float32())
    coded = groups.dictionary_encode(null_encoding="encode")
    code_N: NDArray[np.int64] = coded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    return code_N, [_text(value) for value in coded.dictionary.to_pylist()]


def _text(value: object) -> str | None:
    if isinstance(value, float):
        if np.isnan(value):
            return None
        return str(int(value)) if value.is_integer() else repr(value)
    return None if value is None else str(value)


class Labels:
    """Turns labels into numbers: numbers as they are, texts as codes in the order of appearance.

    Attributes:
        codes: Text -> code; empty where labels are numbers.
    """

    def __init__(self, missing: Missing) -> None:
        self._missing = missing
        self._texts = False
        self.codes: dict[str, int] = {}

    def look(self, labels: pa.Array) -> None:
        """Takes notice of labels before any is read: one text makes all of them texts."""
        self._texts = self._texts or _numbers(labels) is None

    def read(self, labels: pa.Array) -> NDArray[np.float64]:
        """The labels, gaps as NaN. Shape (N,)."""
        if not self._texts:
            return gaps_as_nan(floats(labels), self._missing)
        code_N, texts = group_codes(labels)
        new = [
            np.nan if text is None else self.codes.setdefault(text, len(self.codes))
            for text in texts
        ]
        return np.array(new, np.float64)[code_N]


def weights(file: SeriesFile, column: str, values: pa.Array, row: int) -> NDArray[np.float64]:
    """Weights of the rows from `row` on. Shape (N,).

    Raises:
        DataError: one is no number above 0; the row is named.
    """
    weight_N = _numbers(values)
    if weight_N is None:
        first = _first_strange(values, _numbers)
    else:
        bad_N = ~(np.isfinite(weight_N) & (weight_N > 0))
        first = int(np.argmax(bad_N)) if bad_N.any() else -1
    if weight_N is None or first >= 0:
        raise DataError(
            f"{file.file}, {file.place(row + first)}: the weight {str(values[first])!r} in "
            f"{column!r} (params.yaml: preprocess.weight) is no number above 0; mend it or delete "
            "the row"
        )
    return weight_N


def gaps_as_nan(values: NDArray[Any], missing: Missing) -> NDArray[Any]:
    """The values with NaN in place of the numbers among `missing`."""
    numbers = [value for value in missing if not isinstance(value, str)]
    if not numbers:
        return values
    gaps = np.isin(values, np.array(numbers, dtype=values.dtype))
    return np.where(gaps, values.dtype.type(np.nan), values)


def _first_strange(column: pa.Array, read: _Reader) -> int:
    """Position of the first value for which `read` returns None."""
    return bisect.bisect_left(
        range(1, len(column) + 1), True, key=lambda n: read(column.slice(0, n)) is None
    )


def _numbers(column: pa.Array) -> NDArray[np.float64] | None:
    """As float64, or None if a value is no number."""
    types = pa.types
    kind = column.type.value_type if types.is_dictionary(column.type) else column.type
    if types.is_temporal(kind):
        return None
    try:
        return floats(column)
    except pa.ArrowException:
        return None


def days_of(files: Sequence[SeriesFile], column: str) -> Days:
    """Whether the day or the month stands first in the times of some files."""

    def pieces(file: SeriesFile) -> Iterator[pa.Array]:
        return (block.beside[column] for block in file.blocks((), (column,)))

    return Days(lambda: map(pieces, files))


def _seconds(column: pa.Array, days: Days) -> NDArray[np.float64] | None:
    """Dates as seconds since 1970 (UTC where no zone is given), or None if a value is no date."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_time(column.type):
        column = column.cast(pa.time64("us")).cast(pa.int64())
        return floats(column) / 1e6
    if (found := _moments(column)) is not None or sort_of(column.type) is not Sort.TEXT:
        return found
    texts = iso(compute.utf8_trim_whitespace(column), days)
    found = _moments(texts)
    return _seconds_one_by_one(texts.to_pylist()) if found is None else found


def _moments(column: pa.Array) -> NDArray[np.float64] | None:
    """Dates, or texts of dates that pyarrow reads, as seconds; None if one is none."""
    for zone in _ZONES:
        kind = pa.timestamp("us", tz=zone)
        try:
            return floats(column.cast(kind, safe=False).cast(pa.int64())) / 1e6
        except pa.ArrowException:
            continue
    return None


def _seconds_one_by_one(texts: Sequence[object]) -> NDArray[np.float64] | None:
    """Dates in those forms of ISO 8601 that pyarrow does not read."""
    try:
        dates = [
            None if text is None else datetime.datetime.fromisoformat(str(text).strip())
            for text in texts
        ]
    except ValueError:
        return None
    zone = datetime.UTC
    return np.array(
        [
            np.nan if d is None else (d if d.tzinfo else d.replace(tzinfo=zone)).timestamp()
            for d in dates
        ]
    )
