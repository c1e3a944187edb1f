"""Reads NumPy arrays: NPY by memory map, NPZ as a stream out of the archive; never a pickle."""

import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
from numpy.lib import format as npy
from numpy.typing import NDArray

from hourglass.errors import DataError
from hourglass.sources._table import Block, Sort, Table, chunk_rows

_BROKEN = (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error)


class Header:
    """Shape, memory order and type of a stored array, read without the array."""

    def __init__(self, file: IO[bytes]) -> None:
        version = npy.read_magic(file)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        self.shape, self.fortran, self.dtype = read(file)


class ArrayBlock(Block):
    """Rows of an array, and of the arrays beside it.

    Args:
        values_NF: The table's rows.
        beside: Name -> n values.
    """

    def __init__(
        self, values_NF: NDArray[Any], beside: Mapping[str, NDArray[Any]] | None = None
    ) -> None:
        self._values_NF = values_NF
        self._beside = beside or {}
        self.rows = len(values_NF)

    def column(self, name: str) -> pa.Array:
        """See `Block.column`."""
        values_N = self._beside[name] if name in self._beside else self._values_NF[:, int(name)]
        if values_N.dtype.kind == "S":
            values_N = np.char.decode(values_N, "utf-8", "replace")
        if values_N.dtype.kind == "U":
            return pa.array(values_N.tolist(), pa.string())
        if values_N.dtype.kind == "f" and values_N.dtype.itemsize > 8:
            return pa.array(values_N.astype(np.float64))
        return pa.array(values_N.astype(values_N.dtype.newbyteorder("=")))

    def fill(self, out_NF: NDArray[Any], at: Sequence[int], names: Sequence[str]) -> None:
        """See `Block.fill`."""
        columns, width = [int(name) for name in names], self._values_NF.shape[1]
        every = columns == list(range(width)) == list(at)
        if every and out_NF.shape[1] == width:
            out_NF[:] = self._values_NF
        elif columns:
            out_NF[:, list(at)] = self._values_NF[:, columns]

    def part(self, start: int, stop: int) -> Block:
        """See `Block.part`."""
        beside = {name: values_N[start:stop] for name, values_N in self._beside.items()}
        return ArrayBlock(self._values_NF[start:stop], beside)


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
        nothing = f"{what} has shape {shape} and holds no values; add the rows"
        if not shape[1]:
            raise DataError(nothing)
        self.empty = "" if shape[0] else nothing
        self.rows = shape[0]
        self.names = tuple(map(str, range(shape[1])))
        self.types = dict.fromkeys(self.names, _arrow_type(dtype))


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

    def blocks(self, wanted: Mapping[str, Sort]) -> Iterator[Block]:  # noqa: ARG002  # all there
        """See `Table.blocks`."""
        rows = chunk_rows(len(self.names))
        try:
            array = np.load(self.file, mmap_mode="r", allow_pickle=False)
        except _BROKEN as error:
            raise _unreadable(self.file, error) from None
        for start in range(0, len(array), rows):
            yield ArrayBlock(array[start : start + rows])


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
        self._headers_beside = {n: h for n, h in headers.items() if n != self._name}
        self.others = tuple(self._headers_beside)
        self._accept(f"{file}: array {self._name!r}")
        beside = {n: _arrow_type(h.dtype) for n, h in self._headers_beside.items()}
        self.types = beside | dict(self.types)

    def check(self, names: Sequence[str]) -> None:
        """See `Table.check`: arrays beside the table must go with its rows."""
        for name in names:
            if name in self.names:
                continue
            header, rows = self._headers_beside[name], self.header.shape[0]
            if header.dtype.kind not in "biufUSM":
                raise DataError(f"{self.file}: array {name!r} {_why_not(header.dtype)}")
            if header.shape != (rows,):
                raise DataError(
                    f"{self.file}: array {name!r} has shape {header.shape}, but array "
                    f"{self._name!r} has {rows} rows; save it with shape ({rows},)"
                )

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

    def blocks(self, wanted: Mapping[str, Sort]) -> Iterator[Block]:
        """See `Table.blocks`: streams arrays in C order; one in Fortran order is read whole."""
        beside = [name for name in wanted if name in self._headers_beside]
        with ExitStack() as files:
            archive = files.enter_context(self._archive())
            streams = {
                name: files.enter_context(archive.open(f"{name}.npy"))
                for name in (self._name, *beside)
            }
            parts = {name: _parts(stream, self._rows()) for name, stream in streams.items()}
            for values_NF in parts.pop(self._name):
                yield ArrayBlock(values_NF, {name: next(of_it) for name, of_it in parts.items()})

    def _rows(self) -> int:
        return chunk_rows(len(self.names))


def _parts(stream: IO[bytes], rows: int) -> Iterator[NDArray[Any]]:
    """An array in slices of so many rows."""
    header = Header(stream)
    count, *rest = header.shape
    width = int(np.prod(rest))
    if header.fortran and rest:
        data = np.frombuffer(stream.read(), header.dtype, count * width)
        array = data.reshape(header.shape, order="F")
        yield from (array[i : i + rows] for i in range(0, count, rows))
        return
    for start in range(0, count, rows):
        n = min(rows, count - start)
        data = np.frombuffer(stream.read(n * width * header.dtype.itemsize), header.dtype)
        yield data.reshape(n, *rest)


def _arrow_type(dtype: np.dtype[Any]) -> pa.DataType:
    """Arrow's type of an array's values; of what has none, binary."""
    if dtype.kind in "US":
        return pa.string()
    if dtype.kind == "f" and dtype.itemsize > 8:
        return pa.float64()
    try:
        return pa.from_numpy_dtype(dtype.newbyteorder("="))
    except (pa.ArrowNotImplementedError, ValueError):
        return pa.binary()


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
