"""NPY files of tables and of series, read in blocks; never a pickle.

Shapes: N rows, C channels.
"""

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from hourglass.errors import DataError
from hourglass.incoming._rows import Chunk, Incoming, rows_of
from hourglass.schema import Schema
from hourglass.sources._stored import NpyFile


class ArrayRows(Incoming):
    """Rows along the first dimension.

    Raises:
        DataError: it can't be read, or holds no numbers.
    """

    def __init__(self, file: Path) -> None:
        self._array = NpyFile(file)
        self._array.check()
        if self._array.dtype.kind not in "biuf":
            raise DataError(f"{file} holds {self._array.dtype}, and the model takes numbers")

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the array."""
        return self._array.shape

    def chunks(
        self,
        rows: int,
        keep: Sequence[str],  # noqa: ARG002  there is no column
        numbers: Collection[str],  # noqa: ARG002
    ) -> Iterator[Chunk]:
        """See `Incoming.chunks`."""
        first = 0
        for block_N in self._array.blocks(rows):
            yield rows_of(np.asarray(block_N), first)
            first += len(block_N)


class ArraySeries(ArrayRows):
    """One series, time x channels, as a table of these columns."""

    def __init__(self, file: Path, channels: Schema) -> None:
        super().__init__(file)
        self.needs = channels
        self.names = channels.names

    def chunks(self, rows: int, keep: Sequence[str], numbers: Collection[str]) -> Iterator[Chunk]:
        """See `Incoming.chunks`."""
        for chunk in super().chunks(rows, keep, numbers):
            frame = pd.DataFrame(chunk.rows, columns=list(self.names))
            kept = pa.Table.from_pandas(frame[list(keep)], preserve_index=False)
            yield Chunk(frame, kept, chunk.place)
