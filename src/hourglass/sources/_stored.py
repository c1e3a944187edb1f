"""Arrays of any dimensions in NPY, NPZ and IDX files, read in blocks; never a pickle."""

import gzip
import io
import math
import re
import struct
import tokenize
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from hourglass.errors import DataError
from hourglass.sources._arrays import Header
from hourglass.sources._table import chunk_rows

_BROKEN = (
    *(OSError, ValueError, TypeError, EOFError, SyntaxError, LookupError, OverflowError),
    *(RuntimeError, struct.error, tokenize.TokenError, zipfile.BadZipFile, zlib.error),
)
_GZIP = b"\x1f\x8b"
_PIECE = 1 << 20  # bytes that are read at once
# Type byte of an IDX file -> NumPy's type; see the format's description on MNIST's page.
_IDX_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_IDX_DIMENSIONS = 4


class Stored(ABC):
    """An array whose header was read, not its values.

    Attributes:
        what: For messages, such as "data/raw/x.npz: array 'X'".
        shape: Of the array; after `check` at least one dimension, each at least 1.
        dtype: Of the file, maybe of the other byte order.
        found: Bytes after the header; None where only reading tells.
    """

    what: str
    found: int | None
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def __len__(self) -> int:
        return self.shape[0]

    def blocks(self, rows: int = 0) -> Iterator[NDArray[Any]]:
        """Slices of `rows` rows along the first dimension; 0: as many as make a chunk.

        Raises:
            DataError: the file is shorter or longer than its header says, or damaged.
        """
        yield from self._blocks(rows or chunk_rows(math.prod(self.shape[1:])))

    @abstractmethod
    def _blocks(self, rows: int) -> Iterator[NDArray[Any]]:
        """See `blocks`."""

    def check(self) -> None:
        """Refuses what holds no plain values, or not as many as its header says.

        Raises:
            DataError: with shape or type, and what to do.
        """
        if self.dtype.hasobject or self.dtype.names:
            objects = "Python objects, which only a pickle could load"
            kind = "records" if self.dtype.names else objects
            raise DataError(f"{self.what} holds {kind}; save a plain array of numbers")
        if not self.shape or min(self.shape) < 1:
            raise DataError(f"{self.what} has shape {self.shape} and holds no values; add the rows")
        if self.found is not None and self.found != self._bytes:
            raise self._wrong_size(f"{self.found}")

    @property
    def _bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    def _wrong_size(self, found: str) -> DataError:
        return DataError(
            f"{self.what}: its header says shape {self.shape} of {self.dtype}, {self._bytes} bytes "
            f"of values, but there are {found}; the file is cut off or damaged, bring it anew"
        )

    def _streamed(self, stream: io.BufferedIOBase, rows: int) -> Iterator[NDArray[Any]]:
        """Blocks out of a stream that stands behind the header."""
        row_bytes = self._bytes // len(self)
        done = 0
        for start in range(0, len(self), rows):
            count = min(rows, len(self) - start)
            data = _read(stream, count * row_bytes)
            done += len(data)
            if len(data) < count * row_bytes:
                raise self._wrong_size(f"{done}")
            block: NDArray[Any] = np.frombuffer(data, self.dtype)
            yield block.reshape(count, *self.shape[1:])
        if stream.read(1):
            raise self._wrong_size("more")


class NpyFile(Stored):
    """An NPY file, by memory map."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.what = f"{file}"
        with (
            _reading(file, "NPY", "whole and was written by numpy.save"),
            file.open("rb") as stream,
        ):
            header = Header(stream)
            start = stream.tell()
        self.shape, self.dtype = header.shape, header.dtype
        self.found = file.stat().st_size - start

    def array(self) -> NDArray[Any]:
        """All of it, as a read-only map of the file."""
        with _reading(self._file, "NPY", "whole and was written by numpy.save"):
            array: NDArray[Any] = np.load(self._file, mmap_mode="r", allow_pickle=False)
        return array

    def _blocks(self, rows: int) -> Iterator[NDArray[Any]]:
        array = self.array()
        for start in range(0, len(array), rows):
            yield array[start : start + rows]


class NpzMember(Stored):
    """One array of an NPZ file, as a stream out of the archive."""

    def __init__(self, file: Path, name: str) -> None:
        self._file = file
        self.name = name
        self.what = f"{file}: array {name!r}"
        with self._open() as (stream, size):
            self._header = Header(stream)
            self.shape, self.dtype = self._header.shape, self._header.dtype
            self.found = size - stream.tell()

    def _blocks(self, rows: int) -> Iterator[NDArray[Any]]:
        if self._header.fortran and len(self.shape) > 1:
            raise DataError(
                f"{self.what} is in Fortran order, which can't be read row by row; "
                "save numpy.ascontiguousarray(array)"
            )
        with self._open() as (stream, _):
            Header(stream)
            yield from self._streamed(stream, rows)

    @contextmanager
    def _open(self) -> Iterator[tuple[io.BufferedReader, int]]:
        with (
            _reading(self._file, "NPZ", "whole and was written by numpy.savez"),
            zipfile.ZipFile(self._file) as archive,
            archive.open(f"{self.name}.npy") as stream,
        ):
            # It reads as a BufferedReader does, read1 too, but is declared as IO.
            yield cast(io.BufferedReader, stream), archive.getinfo(f"{self.name}.npy").file_size


def npz_members(file: Path) -> dict[str, NpzMember]:
    """All arrays of an NPZ file by name, unchecked.

    Raises:
        DataError: it is no archive of arrays.
    """
    with (
        _reading(file, "NPZ", "whole and was written by numpy.savez"),
        zipfile.ZipFile(file) as archive,
    ):
        names = [n.removesuffix(".npy") for n in archive.namelist() if n.endswith(".npy")]
    return {name: NpzMember(file, name) for name in names}


class IdxFile(Stored):
    """An IDX file, MNIST's format, plain or packed by gzip.

    Two zero bytes, one for the type, one for the number of dimensions, each dimension as a
    big-endian uint32, then the values in big-endian row-major order.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self.what = f"{file}"
        with self._open() as stream:
            magic = _read(stream, 4)
            if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in _IDX_TYPES:
                raise DataError(
                    f"{file} is no IDX file: it begins with {bytes(magic).hex(' ')}, where 00 00, "
                    f"a type ({', '.join(f'{t:02x}' for t in _IDX_TYPES)}) and the number of "
                    "dimensions are expected"
                )
            count = magic[3]
            if not 1 <= count <= _IDX_DIMENSIONS:
                raise DataError(f"{file} has {count} dimensions; 1 to {_IDX_DIMENSIONS} are read")
            sizes = _read(stream, 4 * count)
        if len(sizes) < 4 * count:
            raise DataError(
                f"{file}: the header of an IDX file with {count} dimensions has {4 + 4 * count} "
                f"bytes, but there are {4 + len(sizes)}; the file is cut off, bring it anew"
            )
        self.shape = struct.unpack(f">{count}I", sizes)
        self.dtype = np.dtype(_IDX_TYPES[magic[2]])
        self._start = 4 + 4 * count
        self.found = None if _is_gzip(file) else file.stat().st_size - self._start

    def _blocks(self, rows: int) -> Iterator[NDArray[Any]]:
        with self._open() as stream:
            _read(stream, self._start)
            yield from self._streamed(stream, rows)

    @contextmanager
    def _open(self) -> Iterator[io.BufferedIOBase]:
        with _reading(self._file, "IDX", "whole"):
            if _is_gzip(self._file):
                with gzip.open(self._file) as packed:
                    yield packed
            else:
                with self._file.open("rb") as plain:
                    yield plain


def is_idx(file: Path) -> bool:
    """Whether the file begins as an IDX file does, or would once unpacked."""
    try:
        with gzip.open(file) if _is_gzip(file) else file.open("rb") as stream:
            magic = stream.read(4)
    except (OSError, EOFError, zlib.error):
        return False
    return len(magic) == 4 and magic[:2] == b"\0\0" and magic[2] in _IDX_TYPES


def labels_beside(images: Path) -> Path | None:
    """The label file of an IDX file by the usual pattern of names, if it lies there.

    train-images-idx3-ubyte.gz -> train-labels-idx1-ubyte.gz, or the same without .gz.
    """
    name = re.sub(r"idx\d", "idx1", images.name.replace("images", "labels"))
    bare = name.removesuffix(".gz")
    for candidate in (name, bare, f"{bare}.gz"):
        if candidate != images.name and (images.parent / candidate).is_file():
            return images.parent / candidate
    return None


def _is_gzip(file: Path) -> bool:
    with file.open("rb") as stream:
        return stream.read(2) == _GZIP


def _read(stream: io.BufferedIOBase, size: int) -> bytearray:
    """`size` bytes, or as many as there are; no more memory than they need."""
    data = bytearray()
    try:
        while len(data) < size:
            piece = stream.read1(min(_PIECE, size - len(data)))
            if not piece:
                break
            data += piece
    except EOFError:  # packed, and cut off
        pass
    return data


@contextmanager
def _reading(file: Path, kind: str, expected: str) -> Iterator[None]:
    """Turns what damaged files raise into one error."""
    try:
        yield
    except _BROKEN as error:
        cause = str(error) or type(error).__name__
        raise DataError(
            f"{file} can't be read as {kind}: {cause}; check that the file is {expected}"
        ) from None
