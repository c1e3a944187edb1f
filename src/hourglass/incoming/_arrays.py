"""NPY files of tables and of series, read in blocks; never a pickle.

Shapes: N rows, C columns.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from hourglass.errors import DataError
from hourglass.incoming._rows import Chunk, Incoming, numbered, rows_of
from hourglass.schema import Schema
from hourglass.sources._series_files import ArrayFile
from hourglass.sources._stored import NpyFile


class ArrayRows(Incoming):
    """Rows along the first dimension.

    Raises:
        DataError: it can't be read, or holds no rows of numbers.
    """

    def __init__(self, file: Path) -> None:
        self.files = [file]
        self._array = NpyFile(file)
        self._array.check()
        if self._array.dtype.kind not in "biuf":
            raise DataError(f"{file} holds {self._array.dtype}, and the model takes numbers")
        if len(self.shape) < 2:
            raise DataError(
                f"{file} has shape {self.shape}; rows are the first of two dimensions or more: "
                "save array[None] if it is one row, array.reshape(-1, 1) if it is one column"
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the array."""
        return self._array.shape

    def chunks(self, rows: int) -> Iterator[Chunk]:
        """See `Incoming.chunks`."""
        first = 0
        for block_N in self._array.blocks(rows):
            yield rows_of(np.asarray(block_N), first)
            first += len(block_N)


class ArraySeries(Incoming):
    """Series, time x channels or series x time x channels, as a table.

    Its columns are "0", "1", ..., as in training; or the channels in their order, where those have
    other names and are as many.

    Args:
        file: The array.
        channels: Of the model.

    Attributes:
        period: Rows after which a new series begins; 0: there is one.

    Raises:
        DataError: it can't be read, or holds no series of numbers.
    """

    def __init__(self, file: Path, channels: Schema) -> None:
        self.files, self.needs = [file], channels
        self._array = ArrayFile(file)
        self.period = self._array.period
        numbers, names = self._array.names, channels.names
        by_order = len(names) == len(numbers) and not set(names) <= set(numbers)
        self.names = names if by_order else numbers

    def chunks(self, rows: int) -> Iterator[Chunk]:
        """See `Incoming.chunks`."""
        first = 0
        for block in self._array.blocks(self._array.names, ()):
            for start in range(0, len(block), rows):
                part_NC = block.values_NC[start : start + rows].astype(np.float64)
                yield self._chunk(pd.DataFrame(part_NC, columns=list(self.names)), first)
                first += len(part_NC)

    def _chunk(self, frame: pd.DataFrame, first: int) -> Chunk:
        beside = pa.Table.from_pandas(frame, preserve_index=False)
        return Chunk(lambda: (frame, {}), beside, lambda row: numbered(first + row))
