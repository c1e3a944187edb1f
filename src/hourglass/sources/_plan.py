"""What becomes of the columns of tables: feature, level, label; decided before rows are read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
import pyarrow as pa

from hourglass.catalog import column_names
from hourglass.config import Preprocess
from hourglass.errors import DataError
from hourglass.gaps import Gaps, is_number
from hourglass.sources import Layout
from hourglass.sources import _complaints as complaints
from hourglass.sources._levels import FeatureLevels
from hourglass.sources._select import roles, select
from hourglass.sources._table import NUMERIC, Sort, Table, sort_of
from hourglass.sources._texts import shortened, yaml, yaml_list

CATEGORICAL = "categorical"  # of preprocess.kinds


@dataclass(frozen=True)
class Plan:
    """What becomes of the columns.

    Attributes:
        layout: The features.
        roles: Role -> column.
        wanted: Each column that is read -> as what.
        sorts: Each column that is read -> what the files hold there.
        numeric: Positions of the features that are numbers.
        levels: Positions of those that are levels.
        watched: Positions of integers of 64 bits.
    """

    layout: Layout
    roles: dict[str, str]
    wanted: dict[str, Sort]
    sorts: dict[str, Sort]
    numeric: list[int]
    levels: list[int]
    watched: list[int]


class Planner:
    """Looks at tables that are to be read as one.

    Args:
        tables: In their order.
        options: Section preprocess of params.yaml.
        where: What messages call the whole.
    """

    def __init__(self, tables: Sequence[Table], options: Preprocess, where: str) -> None:
        self._tables = tables
        self._options = options
        self._where = where

    def plan(self) -> Plan:
        """What becomes of the columns.

        Raises:
            UnknownNameError: an option names no column.
            DataError: a column can't be used, or files differ in their columns.
        """
        first = self._tables[0]
        names, dropped = select(first.names, self._options, self._where, first.others)
        own_roles = roles(self._options)
        read = list(dict.fromkeys([*names, *own_roles.values()]))
        for table in self._tables:
            self._check_names(table, own_roles)
            table.check(read)
        sorts = {name: self._common_sort(name) for name in read}
        self._refuse_what_is_no_feature(names, sorts)
        levels = [i for i, name in enumerate(names) if self._is_categorical(name, sorts[name])]
        numeric = sorted(set(range(len(names))) - set(levels))
        by_text = {names[i] for i in levels} | {own_roles.get("group")}
        wanted = {n: Sort.TEXT if n in by_text else _as(sorts[n]) for n in read}
        layout = Layout(
            names=names,
            dropped=dropped,
            categorical=frozenset(names[i] for i in levels),
            dtype=self._dtype(names, numeric),
        )
        watched = [i for i in numeric if self._holds_wide_integers(names[i])]
        return Plan(layout, own_roles, wanted, sorts, numeric, levels, watched)

    def _check_names(self, table: Table, own_roles: Mapping[str, str]) -> None:
        """Makes sure that a table has the columns of the first."""
        first = self._tables[0]
        has, should = set(table.names), set(first.names)
        missing = [name for name in first.names if name not in has]
        missing += [r for r in own_roles.values() if r not in should and r not in table.others]
        new = [name for name in table.names if name not in should]
        if missing or new:
            changes = [f"lacks {column_names(missing)}"] * bool(missing)
            changes += [f"has {column_names(new)} besides"] * bool(new)
            raise DataError(
                f"{table.file} {' and '.join(changes)}, compared with the columns of {first.file}; "
                "all files must have the same columns: mend the file, or name the files that "
                "belong together with a pattern (params.yaml: preprocess.files)"
            )

    def _common_sort(self, name: str) -> Sort:
        """What all files hold in a column."""
        known: tuple[Sort, Table] | None = None
        for table in self._tables:
            sort = sort_of(table.types[name])
            if sort is Sort.EMPTY:
                continue
            if known is None:
                known = (sort, table)
            elif {sort, known[0]} == {Sort.TEXT, Sort.LEVELS}:
                known = (Sort.LEVELS, known[1])
            elif name == self._options.time and {sort, known[0]} == {Sort.TEXT, Sort.TIME}:
                known = (Sort.TEXT, known[1])
            elif sort is not known[0]:
                self._refuse_change(name, sort, table, *known)
        return known[0] if known else Sort.EMPTY

    def _refuse_change(
        self, name: str, sort: Sort, table: Table, before: Sort, earlier: Table
    ) -> NoReturn:
        """The error of a column that holds something else in a later file."""
        odd = table if sort is Sort.TEXT else earlier
        shown = ""
        if Sort.TEXT in (sort, before):
            place, text = self._first_value(odd, name, but_numbers=True)
            shown = (
                f" ({odd.file}, {place}: {shortened(text)!r}; if that stands for a gap, add it to "
                f"params.yaml: preprocess.missing_values: {yaml_list([text])})"
            )
        raise DataError(
            f"{table.file}: column {name!r} holds {sort}, but {before} in {earlier.file}{shown}; "
            "a column must hold the same in all files"
        )

    def _is_categorical(self, name: str, sort: Sort) -> bool:
        kind = self._options.kinds.get(name)
        if sort is Sort.LEVELS:
            return kind in (None, CATEGORICAL) or not self._are_numbers_beneath(name)
        return kind == CATEGORICAL or sort is Sort.TEXT

    def _are_numbers_beneath(self, name: str) -> bool:
        """Whether categories, in all files, are numbers."""
        kinds = [table.types[name] for table in self._tables]
        beneath = [k.value_type if pa.types.is_dictionary(k) else k for k in kinds]
        return all(sort_of(kind) in NUMERIC for kind in beneath)

    def _refuse_what_is_no_feature(self, names: Sequence[str], sorts: Mapping[str, Sort]) -> None:
        kinds = self._options.kinds
        for name in names:
            kind, sort = kinds.get(name, CATEGORICAL), sorts[name]
            texts = sort is Sort.TEXT or (
                sort is Sort.LEVELS and not self._are_numbers_beneath(name)
            )
            if texts and kind != CATEGORICAL:
                table = self._first_with(name, Sort.TEXT, Sort.LEVELS)
                place, text = self._first_value(table, name, but_numbers=True)
                raise DataError(
                    f"{table.file}: column {name!r}, {place}: {shortened(text)!r} is text, but "
                    f"params.yaml: preprocess.kinds calls the column {kind}. If it stands for a "
                    f"gap, add it to preprocess.missing_values: {yaml_list([text])}; else mend "
                    f"the text, or say {{{yaml(name)}: categorical}}"
                )
        for name in (n for n, sort in sorts.items() if sort is Sort.OTHER):
            table = self._first_with(name, Sort.OTHER)
            raise DataError(
                f"{table.file}: column {name!r} is of type {table.types[name]}, which is neither "
                "number nor text; save one column for each number, or leave it out (params.yaml: "
                f"preprocess.drop: {yaml_list([name])})"
            )
        days = [n for n in names if sorts[n] is Sort.TIME and kinds.get(n) != CATEGORICAL]
        if days:
            table = self._first_with(days[0], Sort.TIME)
            cells = [(n, *self._first_value(table, n)) for n in days]
            dated = [n for n in days if _has_date(self._first_with(n, Sort.TIME).types[n])]
            raise complaints.dates(f"{table.file}", cells, dated)

    def _first_with(self, name: str, *sorts: Sort) -> Table:
        """The first file that holds one of these in a column."""
        return next(t for t in self._tables if sort_of(t.types[name]) in sorts)

    def _first_value(self, table: Table, name: str, but_numbers: bool = False) -> tuple[str, str]:
        """Place and text of the first value, or of the first that is no number."""
        gaps, before = Gaps.of(self._options.missing_values), 0
        test = (lambda text: not is_number(text, table.decimal)) if but_numbers else None
        for block in table.blocks({name: Sort.TEXT}):
            found = FeatureLevels(gaps, numeric=False, declared=False)
            found.encode_from(block.column(name), before)
            first = found.first(test)
            if first:
                return table.place(first[0]), first[1]
            before += block.rows
        return table.place(0), f"empty, of type {table.types[name]}"

    def _dtype(self, names: Sequence[str], numeric: Sequence[int]) -> np.dtype[Any]:
        """Float32 if all numbers are; booleans and codes fit it too."""
        kinds = {table.types[names[i]] for i in numeric for table in self._tables}
        narrow = {pa.float32(), pa.float16()}
        some = bool(kinds & narrow)
        return np.dtype(np.float32 if some and kinds <= narrow | {pa.bool_()} else np.float64)

    def _holds_wide_integers(self, name: str) -> bool:
        return any(t.types[name] in (pa.int64(), pa.uint64()) for t in self._tables)


def _has_date(kind: pa.DataType) -> bool:
    return bool(pa.types.is_timestamp(kind) or pa.types.is_date(kind))


def _as(sort: Sort) -> Sort:
    """As what a file of text is to be read."""
    if sort is Sort.EMPTY:
        return Sort.NUMBER
    return sort if sort in NUMERIC else Sort.TEXT
