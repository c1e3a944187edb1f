"""Numbers, dates, timestamps and ISO texts become numbers that keep their order."""

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from hourglass.sources._table import Sort, numbers, sort_of

_PER_SECOND = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def times(column: pa.Array) -> NDArray[np.float64]:
    """Each value as a number, shape (n,); NaN where it is missing or no time.

    Numbers stay as they are; dates, timestamps and ISO 8601 texts become seconds since 1970 (UTC
    where they name no zone), times of day seconds since midnight, durations seconds.
    """
    if pa.types.is_dictionary(column.type):
        of_values_L = np.append(times(column.dictionary), np.nan)
        local_N = column.indices.fill_null(len(column.dictionary)).to_numpy(zero_copy_only=False)
        time_N: NDArray[np.float64] = of_values_L[local_N]
        return time_N
    sort = sort_of(column.type)
    if sort is Sort.TEXT:
        return _of_texts(pc.utf8_trim_whitespace(column))
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


def _of_texts(texts: pa.Array) -> NDArray[np.float64]:
    """Arrow reads most at once; the texts that it does not know are read one by one."""
    for zone in (None, "UTC"):
        try:
            return _seconds(texts.cast(pa.timestamp("us", zone)))
        except pa.ArrowInvalid:
            continue
    return np.array([_of_text(text) for text in texts.to_pylist()], dtype=np.float64)


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
