"""Arrays larger than memory: NPY files that grow row by row, and reading ahead."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from hourglass.paths import replacing

T = TypeVar("T")

HEADER_BYTES = 128  # room for any number of rows; NumPy aligns data to 64 bytes


class Growing:
    """An array file under way: `append` rows, then leave `growing`.

    Attributes:
        rows: Rows appended so far.
    """

    def __init__(self, file: IO[bytes], dtype: np.dtype[Any], columns: int | None) -> None:
        self.rows = 0
        self._file = file
        self._dtype = dtype
        self._columns = columns
        file.write(b"\0" * HEADER_BYTES)

    def append(self, rows: NDArray[Any]) -> None:
        """Adds rows, (n, columns), or (n,) where the array has one dimension."""
        np.ascontiguousarray(rows, self._dtype).tofile(self._file)
        self.rows += len(rows)

    def finish(self) -> None:
        """Writes the header, now that the number of rows is known."""
        shape = (self.rows,) if self._columns is None else (self.rows, self._columns)
        header = f"{{'descr': {npy.dtype_to_descr(self._dtype)!r}, 'fortran_order': False, "
        header += f"'shape': {shape}, }}"
        text = header.ljust(HEADER_BYTES - 11) + "\n"
        self._file.seek(0)
        self._file.write(npy.magic(1, 0) + len(text).to_bytes(2, "little") + text.encode("latin1"))


@contextmanager
def growing(path: Path, dtype: Any, columns: int | None = None) -> Iterator[Growing]:
    """Opens an array for appending; it replaces `path` when the block ends without an error.

    Args:
        path: NPY file.
        dtype: Of its values.
        columns: Numbers of a row; None: the array has one dimension.
    """
    with replacing(path) as beside, beside.open("wb") as file:
        array = Growing(file, np.dtype(dtype), columns)
        yield array
        array.finish()


def ahead(items: Iterator[T]) -> Iterator[T]:
    """The same items, each made in a thread while the one before it is worked on."""
    with ThreadPoolExecutor(1) as reader:
        coming = reader.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = reader.submit(next, items, None)
            yield item
