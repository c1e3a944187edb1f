"""The user's own table: a CSV, Parquet, NPY or NPZ file, read in chunks."""

import logging
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path

import numpy as np

from hourglass.catalog import listed
from hourglass.config import Preprocess
from hourglass.errors import DataError
from hourglass.paths import named
from hourglass.sources import Chunk, Layout, Source
from hourglass.sources._arrays import Npy, Npz
from hourglass.sources._delimited import COMPRESSIONS, Delimited
from hourglass.sources._parquet import Parquet
from hourglass.sources._table import Table, select

log = logging.getLogger(__name__)

EXACT = 2.0**53  # from here on float64 does not hold every integer
_READERS: dict[str, Callable[[Path], Table]] = {
    ".csv": Delimited,
    ".tsv": Delimited,
    ".parquet": Parquet,
    ".pq": Parquet,
    ".npy": Npy,
    ".npz": Npz,
}
_TEXTS = (".csv", ".tsv")
_TYPES = ".csv, .tsv (also .gz, .zst, .bz2 or .lz4), .parquet, .npy or .npz"


class Tabular(Source):
    """Reads `path`: a file, or a folder that holds exactly one such file.

    Array columns are named "0", "1", ...; booleans become 0 and 1.
    """

    def __init__(self, options: Preprocess, path: Path) -> None:
        super().__init__(options, path)
        self._warned: set[str] = set()

    @property
    def title(self) -> str:
        """See `Source.title`."""
        return f"tabular: {self._file}"

    @cached_property
    def _file(self) -> Path:
        if named(self.path, "preprocess.path").is_dir():
            return _only_table(self.path)
        if _reader(self.path) is None:
            raise DataError(
                f"{self.path}: unknown type {self.path.suffix!r}; save the table as {_TYPES}"
            )
        return self.path

    @cached_property
    def _table(self) -> Table:
        reader = _reader(self._file)
        assert reader is not None  # noqa: S101  # `_file` gives only files with a reader
        if not self._file.stat().st_size:
            raise DataError(
                f"{self._file} is empty; put a table with at least some dozens of rows there"
            )
        return reader(self._file)

    @cached_property
    def _layout(self) -> Layout:
        table = self._table
        drop, label = self.options.drop, self.options.label
        names, dropped = select(table.names, drop, label, f"{self._file}", table.others)
        table.check(names)
        return Layout(names=names, dropped=dropped)

    def layout(self) -> Layout:
        """See `Source.layout`."""
        return self._layout

    def chunks(self) -> Iterator[Chunk]:
        """See `Source.chunks`; warns once of integers that float64 can't hold."""
        names = self._layout.names
        watched = set(self._table.integers(names))
        for chunk in self._table.chunks(names):
            for i in sorted(i for i in watched if (np.abs(chunk[:, i]) >= EXACT).any()):
                watched.remove(i)
                self._warn_of_large_integers(names[i])
            yield Chunk(chunk)

    def place(self, row: int) -> str:
        """See `Source.place`."""
        return self._table.place(row)

    def _warn_of_large_integers(self, name: str) -> None:
        if name not in self._warned:
            self._warned.add(name)
            log.warning(
                "%s: column %r holds integers from 2^53 on, whose last digits are lost; "
                "if it is an identifier, name it in params.yaml: preprocess.drop",
                self._file,
                name,
            )


def _reader(file: Path) -> Callable[[Path], Table] | None:
    """What reads the file, by its suffix; None if nothing does."""
    suffix = file.suffix.lower()
    if suffix in COMPRESSIONS:
        inner = Path(file.stem).suffix.lower()
        return _READERS[inner] if inner in _TEXTS else None
    return _READERS.get(suffix)


def _only_table(folder: Path) -> Path:
    inside = sorted(p for p in folder.iterdir() if not p.name.startswith("."))
    tables = [p for p in inside if p.is_file() and _reader(p)]
    if len(tables) == 1:
        return tables[0]
    names = [p.name for p in (tables or inside) if p.name != "README.md"]
    if tables:
        raise DataError(
            f"{folder} holds {len(tables)} tables: {listed(names)}; "
            f"name one, such as params.yaml: preprocess.path: {tables[0]}"
        )
    found = f" (it holds {listed(names)})" if names else ""
    raise DataError(
        f"{folder} holds no table{found}; put one file there, {_TYPES}, "
        "or name yours in params.yaml: preprocess.path"
    )


SOURCE = Tabular
