"""Numbers, dates, timestamps and texts of dates become numbers that keep their order."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from hourglass.sources._table import Sort, numbers, sort_of

_PER_SECOND = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SLASHES = r"^\s*\d{1,2}/\d{1,2}/\d{4}"
_DAY_FIRST = r"^\s*(1[3-9]|[23]\d)/\d{1,2}/\d{4}"
_MONTH_FIRST = r"^\s*\d{1,2}/(1[3-9]|[23]\d)/\d{4}"
# What makes ISO 8601 of day, month and year, one after the other.
_DOTTED = (r"^(\d{1,2})\.(\d{1,2})\.(\d{4}),?", r"\3-\2-\1")
_PADDED = (
    (r"^(\d{4})-(\d)-", r"\1-0\2-"),
    (r"^(\d{4}-\d\d)-(\d)\b", r"\1-0\2"),
    (r"^(\d{4}-\d\d-\d\d)[ T]+(\d):", r"\1 0\2:"),
)


class Days:
    """Whether the day or the month stands first in dates with slashes.

    Args:
        read: Gives the column, as often as asked: of each file its pieces.
    """

    def __init__(self, read: Callable[[], Iterable[Iterable[pa.Array]]]) -> None:
        self._read = read

    @cached_property
    def first(self) -> bool | None:
        """Whether it is the day, told by the first number above 12; None if there is none."""
        for pieces in self._read():
            for piece in pieces:
                texts = piece.dictionary if pa.types.is_dictionary(piece.type) else piece
                if not _any(texts, _SLASHES):
                    break
                if _any(texts, _DAY_FIRST):
                    return True
                if _any(texts, _MONTH_FIRST):
                    return False
        return None


def has_slashes(text: str) -> bool:
    """Whether the text is a date such as 01/02/2024."""
    return _any(pa.array([text]), _SLASHES)


def are_dates(texts: pa.Array) -> bool:
    """Whether all texts, at least one, are dates that `times` reads."""
    dated = pc.match_substring_regex(texts, r"\d[-./]\d")
    readable = np.isfinite(times(texts, Days(lambda: [[texts]])))
    return bool(len(texts)) and bool(pc.all(dated).as_py()) and bool(readable.all())


def times(column: pa.Array, days: Days) -> NDArray[np.float64]:
    """Each value as a number, shape (n,); NaN where it is missing or no time.

    Numbers stay as they are; dates, timestamps and texts of dates (see `iso`) become seconds since
    1970 (UTC where they name no zone), times of day seconds since midnight, durations seconds.
    """
    if pa.types.is_dictionary(column.type):
        of_values_L = np.append(times(column.dictionary, days), np.nan)
        local_N = column.indices.fill_null(len(column.dictionary)).to_numpy(zero_copy_only=False)
        time_N: NDArray[np.float64] = of_values_L[local_N]
        return time_N
    sort = sort_of(column.type)
    if sort is Sort.TEXT:
        return _of_texts(pc.utf8_trim_whitespace(column), days)
    if sort is Sort.TIME:
        return _seconds(column)
    if sort in (Sort.NUMBER, Sort.EMPTY):
        value_N = numbers(column).astype(np.float64)
        return np.where(np.isfinite(value_N), value_N, np.nan)
    return np.full(len(column), np.nan)


def _seconds(column: pa.Array) -> NDArray[np.float64]:
    kind = column.type
    if pa.types.is_date(kind):
        column = column.cast(pa.timestamp("ms"))
    elif not hasattr(kind, "unit"):  # an interval of months has no length
        return np.full(len(column), np.nan)
    ticks = column.view(pa.int32() if pa.types.is_time32(kind) else pa.int64())
    return numbers(ticks).astype(np.float64) / _PER_SECOND[column.type.unit]


def iso(texts: pa.Array, days: Days) -> pa.Array:
    """Dates as ISO 8601 has them: 31.5.2024 becomes 2024-05-31, and so does 31/5/2024.

    Those with slashes stay as they are where nothing tells whether day or month stands first.
    """
    rules = [_DOTTED]
    if _any(texts, _SLASHES) and days.first is not None:
        rules.append((_DOTTED[0].replace(r"\.", "/"), r"\3-\2-\1" if days.first else r"\3-\1-\2"))
    for pattern, replacement in (*rules, *_PADDED):
        texts = pc.replace_substring_regex(texts, pattern, replacement)
    return texts


def _any(texts: pa.Array, pattern: str) -> bool:
    return bool(pc.any(pc.match_substring_regex(texts, pattern)).as_py())


def _of_texts(texts: pa.Array, days: Days) -> NDArray[np.float64]:
    """Arrow reads most at once; the texts that it does not know are read one by one."""
    found = _moments(texts)
    if found is None:
        texts = iso(texts, days)
        found = _moments(texts)
    if found is None:
        found = np.array([_of_text(text) for text in texts.to_pylist()], dtype=np.float64)
    return found


def _moments(texts: pa.Array) -> NDArray[np.float64] | None:
    """Texts that Arrow reads as seconds; None if it does not know one of them."""
    for zone in (None, "UTC"):
        try:
            return _seconds(texts.cast(pa.timestamp("us", zone)))
        except pa.ArrowInvalid:
            continue
    return None


def _of_text(text: str | None) -> float:
    if text is None:
        return np.nan
    for whole in (text, f"1970-01-01T{text}"):  # a time of day has no date
        try:
            moment = datetime.fromisoformat(whole)
        except ValueError:
            continue
        aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return (aware - _EPOCH).total_seconds()
    return np.nan
