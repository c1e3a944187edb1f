"""A table whose folders tell further columns: year=2024/month=01/part-0.parquet."""

from collections.abc import Iterator, Mapping, Sequence

import pyarrow as pa

from hourglass.sources._table import ArrowBlock, Block, Sort, Table


class Partition(Table):
    """Adds columns that hold the same value in all rows of a table.

    Args:
        table: The file.
        values: Of the further columns; they stand after those of the file.
        types: Of each of them, the same for all files of the folder.
    """

    def __init__(
        self,
        table: Table,
        values: Mapping[str, str | None],
        types: Mapping[str, pa.DataType],
    ) -> None:
        self._table = table
        self._values = {
            name: pa.scalar(value).cast(types[name]) if value is not None else pa.scalar(None)
            for name, value in values.items()
            if name not in table.names  # some writers keep them in the file too
        }
        self.file = table.file
        self.names = (*table.names, *self._values)
        self.types = {**table.types, **{name: types[name] for name in self._values}}
        self.others = table.others
        self.empty = table.empty
        self.decimal = table.decimal

    def check(self, names: Sequence[str]) -> None:
        """See `Table.check`."""
        self._table.check([name for name in names if name not in self._values])
        self.types = {**self.types, **self._table.types}

    def codes(self) -> Mapping[str, str]:
        """See `Table.codes`."""
        return self._table.codes()

    def blocks(self, wanted: Mapping[str, Sort]) -> Iterator[Block]:
        """See `Table.blocks`."""
        inner = {name: sort for name, sort in wanted.items() if name not in self._values}
        added = [name for name in wanted if name in self._values]
        read = inner or {self._table.names[0]: Sort.TEXT}  # something must tell how many rows
        for block in self._table.blocks(read):
            columns = {name: block.column(name) for name in inner}
            for name in added:
                value = self._values[name].cast(self.types[name])
                columns[name] = pa.repeat(value, block.rows)
            yield ArrowBlock(columns, block.rows)

    def place(self, row: int) -> str:
        """See `Table.place`."""
        return self._table.place(row)
