"""The user's own table: one file or several of one format, read in chunks."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import pyarrow as pa

from hourglass.errors import DataError
from hourglass.gaps import Gaps
from hourglass.sources import Chunk, Layout, Source
from hourglass.sources._arrays import Npy, Npz
from hourglass.sources._arrow import ArrowFile
from hourglass.sources._delimited import Delimited, tell_of_commas
from hourglass.sources._files import File, files_of, format_of
from hourglass.sources._parquet import Parquet
from hourglass.sources._partition import Partition
from hourglass.sources._rows import Rows
from hourglass.sources._table import Table

_READERS: dict[str, Callable[[Path], Table]] = {
    "parquet": Parquet,
    "arrow": ArrowFile,
    "npy": Npy,
    "npz": Npz,
}


class Tabular(Source):
    """Reads `path`: a file, a folder whose tables are of one format, or a pattern.

    Several files are one table, in sorted order. Array columns are named "0", "1", ...; booleans
    become 0 and 1, texts codes.
    """

    @property
    def title(self) -> str:
        """See `Source.title`."""
        return f"tabular: {self._where}"

    @cached_property
    def _files(self) -> list[File]:
        return files_of(self.path)

    @property
    def _where(self) -> str:
        return f"{self._files[0].path if len(self._files) == 1 else self.path}"

    @cached_property
    def _rows(self) -> Rows:
        tables = [self._open(file.path) for file in self._files]
        if all(table.empty for table in tables):
            raise DataError(tables[0].empty)
        tell_of_commas(tables)
        types = _partition_types(self._files)
        if types:
            tables = [
                Partition(table, dict(file.partition), types)
                for table, file in zip(tables, self._files, strict=True)
            ]
        return Rows(tables, self.options, self._where)

    def _open(self, file: Path) -> Table:
        if not file.stat().st_size:
            raise DataError(f"{file} is empty; put a table with at least some dozens of rows there")
        reader = _READERS.get(f"{format_of(file)}")
        if reader:
            return reader(file)
        return Delimited(file, sorted(Gaps.of(self.options.missing_values).texts))

    def layout(self) -> Layout:
        """See `Source.layout`."""
        return self._rows.plan.layout

    def rows(self) -> int | None:
        """See `Source.rows`."""
        return self._rows.count()

    def chunks(self) -> Iterator[Chunk]:
        """See `Source.chunks`; warns once of integers that float64 can't hold."""
        return self._rows.chunks()

    def levels(self) -> Mapping[str, tuple[str, ...]]:
        """See `Source.levels`."""
        return self._rows.levels()

    def place(self, row: int) -> str:
        """See `Source.place`."""
        return self._rows.place(row)


def _partition_types(files: Sequence[File]) -> dict[str, pa.DataType]:
    """The types of the columns that folders tell: numbers if all values are whole ones."""
    values: dict[str, list[str | None]] = {}
    for file in files:
        for name, value in file.partition:
            values.setdefault(name, []).append(value)
    return {name: pa.int64() if _are_whole(its) else pa.string() for name, its in values.items()}


def _are_whole(values: Sequence[str | None]) -> bool:
    return all(v is None or v.lstrip("-").isdecimal() for v in values)


SOURCE = Tabular
