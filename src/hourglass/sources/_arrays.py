"""Reads NumPy arrays: NPY by memory map, NPZ as a stream out of the archive; never a pickle."""

import zipfile
import zlib
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from hourglass.errors import DataError
from hourglass.sources._table import Table, chunk_rows

_BROKEN = (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error)


class Header:
    """Shape, memory order and type of a stored array, read without the array."""

    def __init__(self, file: IO[bytes]) -> None:
        version = npy.read_magic(file)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        self.shape, self.fortran, self.dtype = read(file)


class ArrayTable(Table):
    """A two-dimensional array; the columns are named "0", "1", ..."""

    header: Header

    def _accept(self, what: str) -> None:
        """Refuses arrays that are no table of numbers, then names the columns.

        Raises:
            DataError: with the shape or the type, and what to do.
        """
        shape, dtype = self.header.shape, self.header.dtype
        if dtype.kind not in "biuf":
            raise DataError(f"{what} {_why_not(dtype)}")
        if len(shape) != 2:
            advice = "reshape(-1, 1)" if len(shape) == 1 else "reshape(len(array), -1)"
            raise DataError(
                f"{what} has shape {shape}; a table has two dimensions, rows and columns: "
                f"save array.{advice if shape else 'reshape(1, 1)'}"
            )
        if 0 in shape:
            raise DataError(f"{what} has shape {shape} and holds no values; add the rows")
        self.names = tuple(map(str, range(shape[1])))

    def check(self, features: Sequence[str]) -> None:
        """See `Table.check`: all columns have the array's type, which was looked at on opening."""

    def integers(self, features: Sequence[str]) -> list[int]:
        """See `Table.integers`."""
        wide = self.header.dtype.kind in "iu" and self.header.dtype.itemsize == 8
        return list(range(len(features))) if wide else []

    def chunks(self, features: Sequence[str]) -> Iterator[NDArray[np.float64]]:
        """See `Table.chunks`."""
        columns = [int(name) for name in features]
        every = len(columns) == len(self.names)
        for block in self._blocks(chunk_rows(len(self.names))):
            yield np.array(block if every else block[:, columns], dtype=np.float64)

    @abstractmethod
    def _blocks(self, rows: int) -> Iterator[NDArray[np.generic]]:
        """Slices of so many rows."""


class Npy(ArrayTable):
    """One array in an NPY file.

    Raises:
        DataError: it is no array file, or the array is no table of numbers.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        try:
            with file.open("rb") as stream:
                self.header = Header(stream)
        except _BROKEN as error:
            raise _unreadable(file, error) from None
        self._accept(f"{file}")

    def _blocks(self, rows: int) -> Iterator[NDArray[np.generic]]:
        try:
            array = np.load(self.file, mmap_mode="r", allow_pickle=False)
        except _BROKEN as error:
            raise _unreadable(self.file, error) from None
        for start in range(0, len(array), rows):
            yield array[start : start + rows]


class Npz(ArrayTable):
    """The array `X` of an NPZ file, or its only two-dimensional one; the others may be labels.

    Raises:
        DataError: it is no archive of arrays, or which array is the table can't be told.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        headers = self._headers()
        tables = [name for name, header in headers.items() if len(header.shape) == 2]
        self._name = "X" if "X" in headers else tables[0] if len(tables) == 1 else ""
        if not self._name and len(headers) == 1:
            self._name = next(iter(headers))
        if not self._name:
            arrays = ", ".join(f"{n} {h.shape}" for n, h in headers.items()) or "none"
            raise DataError(
                f"{file}: which array is the table? Arrays: {arrays}; name it X, "
                "or leave just one with two dimensions"
            )
        self.header = headers[self._name]
        self.others = tuple(name for name in headers if name != self._name)
        self._accept(f"{file}: array {self._name!r}")

    def _headers(self) -> dict[str, Header]:
        with self._archive() as archive:
            members = [n for n in archive.namelist() if n.endswith(".npy")]
            headers = {}
            for member in members:
                with archive.open(member) as stream:
                    headers[member.removesuffix(".npy")] = Header(stream)
            return headers

    @contextmanager
    def _archive(self) -> Iterator[zipfile.ZipFile]:
        try:
            with zipfile.ZipFile(self.file) as archive:
                yield archive
        except _BROKEN as error:
            raise _unreadable(self.file, error) from None

    def _blocks(self, rows: int) -> Iterator[NDArray[np.generic]]:
        """Streams arrays in C order; one in Fortran order has to be read whole."""
        with self._archive() as archive, archive.open(f"{self._name}.npy") as stream:
            if self.header.fortran:
                array = npy.read_array(stream, allow_pickle=False)
                yield from (array[i : i + rows] for i in range(0, len(array), rows))
                return
            Header(stream)
            count, width = self.header.shape
            for start in range(0, count, rows):
                n = min(rows, count - start)
                data = stream.read(n * width * self.header.dtype.itemsize)
                yield np.frombuffer(data, self.header.dtype, n * width).reshape(n, width)


def _why_not(dtype: np.dtype[np.generic]) -> str:
    """What is wrong with a type and what to do about it."""
    if dtype.names:
        fields = ", ".join(dtype.names)
        return f"is a structured array (fields {fields}); save one plain array of numbers"
    if dtype.kind == "O":
        return "holds Python objects, which only a pickle could load; save array.astype(float)"
    if dtype.kind == "c":
        return "is complex; save its real and imaginary parts, or its modulus and phase, as columns"
    if dtype.kind in "mM":
        return "holds dates or times; save them as numbers, such as days since a date"
    return f"holds text ({dtype}), and an autoencoder needs numbers; encode it as numbers"


def _unreadable(file: Path, cause: Exception) -> DataError:
    return DataError(
        f"{file} can't be read as {file.suffix[1:].upper()}: {cause}; "
        "check that the file is whole and was written by numpy.save or numpy.savez"
    )
