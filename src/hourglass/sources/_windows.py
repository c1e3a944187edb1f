"""Cuts series into windows while their rows come in, holding no more than a block and a window.

Shapes: N rows of a series, n windows, T rows of a window, C channels.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hourglass.config import Window
from hourglass.sources import Chunk
from hourglass.sources._series import Parts, Series
from hourglass.sources._table import chunk_rows


class Cutter:
    """Takes the rows of one series in and gives its windows.

    Args:
        series: It.
        parts: Where no window may cross.
        window: Length and stride, in rows.
    """

    def __init__(self, series: Series, parts: Parts, window: Window) -> None:
        self._series, self._parts, self._window = series, parts, window
        self._values: NDArray[Any] | None = None
        self._beside: dict[str, NDArray[np.float64]] = {}
        self._begin = 0  # row of the series that `_values` begins with
        self._next = 0  # first row at which a window may still begin

    def feed(
        self, values_NC: NDArray[Any], beside: Mapping[str, NDArray[np.float64]]
    ) -> Iterator[Chunk]:
        """Takes the next rows; gives the windows that they complete.

        Args:
            values_NC: The channels.
            beside: Fields of `Chunk` -> one number a row; a window has its last row's.
        """
        if self._values is not None:
            values_NC = np.concatenate([self._values, values_NC])
            beside = {k: np.concatenate([self._beside[k], v]) for k, v in beside.items()}
        end = self._begin + len(values_NC)
        length, stride = self._window.length, self._window.stride
        high = max(self._next, end - length + 1)
        at_once = chunk_rows(length * values_NC.shape[1])
        for low in range(self._next, high, at_once * stride):
            until = min(high, low + at_once * stride)
            start_N, split_N = self._parts.windows(low, until, length, stride)
            if len(start_N):
                yield self._cut(values_NC, beside, start_N, split_N)
        self._next = high
        self._values = values_NC[high - self._begin :]
        self._beside = {k: v[high - self._begin :] for k, v in beside.items()}
        self._begin = high

    def _cut(
        self,
        values_NC: NDArray[Any],
        beside: Mapping[str, NDArray[np.float64]],
        start_n: NDArray[np.int64],
        split_n: NDArray[np.int8],
    ) -> Chunk:
        row_nT = (start_n - self._begin)[:, None] + np.arange(self._window.length)
        last = {field: values[row_nT[:, -1]] for field, values in beside.items()}
        return Chunk(
            values_NF=values_NC[row_nT].reshape(len(start_n), -1),
            row_N=self._series.first + start_n,
            group_N=np.full(len(start_n), self._series.group, np.int64),
            split_N=split_n,
            **last,
        )


def gathered(chunks: Iterable[Chunk], rows: int) -> Iterator[Chunk]:
    """The same rows in chunks of at least so many, but for the last."""
    waiting: list[Chunk] = []
    count = 0
    for chunk in chunks:
        waiting.append(chunk)
        count += len(chunk.values_NF)
        if count >= rows:
            yield _joined(waiting)
            waiting, count = [], 0
    if waiting:
        yield _joined(waiting)


def _joined(chunks: list[Chunk]) -> Chunk:
    if len(chunks) == 1:
        return chunks[0]
    parts = {field.name: [getattr(c, field.name) for c in chunks] for field in fields(Chunk)}
    joined: dict[str, Any] = {
        name: None if part[0] is None else np.concatenate(part) for name, part in parts.items()
    }
    return Chunk(**joined)
