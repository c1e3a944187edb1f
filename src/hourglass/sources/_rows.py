"""Tables become chunks: which columns are read as what, and how blocks become rows of numbers."""

import logging
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NoReturn

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hourglass.catalog import listed
from hourglass.config import Preprocess
from hourglass.errors import DataError
from hourglass.sources import LABEL, Chunk, Layout
from hourglass.sources import _complaints as complaints
from hourglass.sources._levels import MOST_LEVELS, FeatureLevels, Gaps, Levels
from hourglass.sources._select import roles, select
from hourglass.sources._table import Block, Sort, Table, chunk_rows, numbers, sort_of
from hourglass.sources._texts import shortened, yaml, yaml_list
from hourglass.sources._times import times

log = logging.getLogger(__name__)

EXACT = 2.0**53  # from here on float64 does not hold every integer
_CATEGORICAL = "categorical"
_NUMBERS = {Sort.NUMBER, Sort.BOOLEAN, Sort.EMPTY}


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


@dataclass
class _Pass:
    """What is known during one time that all rows are read."""

    gaps: Gaps
    levels: dict[str, FeatureLevels]
    group: Levels
    label: Levels
    starts: list[int] = field(default_factory=list)
    rows: int = 0


class Rows:
    """The rows of one or more tables with the same columns, as a source gives them.

    Args:
        tables: In their order.
        options: Section preprocess of params.yaml.
        where: What messages call the whole.
    """

    def __init__(self, tables: Sequence[Table], options: Preprocess, where: str) -> None:
        self._tables = tables
        self._options = options
        self._where = where
        self._warned: set[str] = set()
        self._levels: dict[str, tuple[str, ...]] = {}
        self._starts: list[int] = []

    # --- before the rows are read -----------------------------------------------------------------

    @cached_property
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
            changes = [f"lacks {listed(missing)}"] * bool(missing)
            changes += [f"has {listed(new)} besides"] * bool(new)
            raise DataError(
                f"{table.file} {' and '.join(changes)}, compared with the columns of {first.file}; "
                "all files must have the same columns: mend the file, or name the files that "
                "belong together with a pattern (params.yaml: preprocess.path)"
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
            return kind in (None, _CATEGORICAL) or not self._are_numbers_beneath(name)
        return kind == _CATEGORICAL or sort is Sort.TEXT

    def _are_numbers_beneath(self, name: str) -> bool:
        """Whether categories, in all files, are numbers."""
        kinds = [table.types[name] for table in self._tables]
        beneath = [k.value_type if pa.types.is_dictionary(k) else k for k in kinds]
        return all(sort_of(kind) in _NUMBERS for kind in beneath)

    def _refuse_what_is_no_feature(self, names: Sequence[str], sorts: Mapping[str, Sort]) -> None:
        kinds = self._options.kinds
        for name in names:
            kind, sort = kinds.get(name, _CATEGORICAL), sorts[name]
            texts = sort is Sort.TEXT or (
                sort is Sort.LEVELS and not self._are_numbers_beneath(name)
            )
            if texts and kind != _CATEGORICAL:
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
        days = [n for n in names if sorts[n] is Sort.TIME and kinds.get(n) != _CATEGORICAL]
        if days:
            table = self._first_with(days[0], Sort.TIME)
            cells = [(n, *self._first_value(table, n)) for n in days]
            raise complaints.dates(f"{table.file}", cells)

    def _first_with(self, name: str, *sorts: Sort) -> Table:
        """The first file that holds one of these in a column."""
        return next(t for t in self._tables if sort_of(t.types[name]) in sorts)

    def _first_value(self, table: Table, name: str, but_numbers: bool = False) -> tuple[str, str]:
        """Place and text of the first value, or of the first that is no number."""
        before = 0
        for block in table.blocks({name: Sort.TEXT}):
            found = FeatureLevels(self._gaps(), numeric=False, declared=False)
            found.encode_from(block.column(name), before)
            first = found.first(but_numbers)
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

    def _gaps(self) -> Gaps:
        return Gaps.of(self._options.missing_values)

    # --- the rows ---------------------------------------------------------------------------------

    def chunks(self) -> Iterator[Chunk]:
        """See `Source.chunks`: all chunks but the last have the same number of rows."""
        plan, state = self.plan, self._start()
        size = chunk_rows(len(plan.layout.names))
        filling = _Filling(plan, size)
        first = True
        for block in self._blocks(state):
            start = 0
            while start < block.rows:
                stop = min(block.rows, start + size - filling.rows)
                self._add(filling, block.part(start, stop), state)
                start = stop
                if filling.rows == size:
                    yield self._finished(filling, state, first)
                    filling, first = _Filling(plan, size), False
        if filling.rows:
            yield self._finished(filling, state, first)
        self._refuse_no_levels(state, at_end=True)
        self._finish(state)

    def levels(self) -> Mapping[str, tuple[str, ...]]:
        """See `Source.levels`."""
        return self._levels

    def place(self, row: int) -> str:
        """See `Source.place`; the file too where there are several."""
        if len(self._tables) == 1:
            return self._tables[0].place(row)
        if not self._starts:
            for _ in self.chunks():
                pass
        number = bisect_right(self._starts, row) - 1
        table = self._tables[number]
        return f"{table.file.name}, {table.place(row - self._starts[number])}"

    def _start(self) -> _Pass:
        plan, gaps = self.plan, self._gaps()
        levels = {}
        for name in (plan.layout.names[i] for i in plan.levels):
            sort = plan.sorts[name]
            declared = sort is Sort.LEVELS or self._options.kinds.get(name) == _CATEGORICAL
            levels[name] = FeatureLevels(gaps, sort in _NUMBERS, declared)
        of_role = {role: plan.sorts[name] in _NUMBERS for role, name in plan.roles.items()}
        texts_only = Gaps(gaps.texts, ())
        group = Levels(texts_only, numeric=of_role.get("group", False))
        label = Levels(texts_only, numeric=of_role.get("label", False))
        self._starts = []
        return _Pass(gaps, levels, group, label, starts=self._starts)

    def _blocks(self, state: _Pass) -> Iterator[Block]:
        """The blocks of all tables; notes at which row each table begins."""
        before = 0
        for table in self._tables:
            state.starts.append(before)
            for block in table.blocks(self.plan.wanted):
                before += block.rows
                yield block

    def _add(self, filling: "_Filling", block: Block, state: _Pass) -> None:
        """Appends a block to the rows of a chunk."""
        plan = self.plan
        names = plan.layout.names
        values_NF = filling.values_NF[filling.rows : filling.rows + block.rows]
        block.fill(values_NF, plan.numeric, [names[i] for i in plan.numeric])
        for i in plan.levels:
            values_NF[:, i] = state.levels[names[i]].encode_from(block.column(names[i]), state.rows)
        if any(len(levels) > MOST_LEVELS for levels in state.levels.values()):
            state.rows += block.rows
            self._refuse_no_levels(state)
        for role, name in plan.roles.items():
            read = getattr(self, f"_{role}")
            filling.roles[role].append(read(name, block.column(name), state))
        filling.rows += block.rows
        state.rows += block.rows

    def _finished(self, filling: "_Filling", state: _Pass, first: bool) -> Chunk:
        """The chunk, with gaps as NaN; watches for what the first rows and large numbers tell."""
        plan = self.plan
        if first:
            self._refuse_no_levels(state)
        values_NF = filling.values_NF[: filling.rows]
        if state.gaps.numbers and plan.numeric:
            if plan.levels:
                number_NF = values_NF[:, plan.numeric]
                state.gaps.blank(number_NF)
                values_NF[:, plan.numeric] = number_NF
            else:
                state.gaps.blank(values_NF)
        self._warn_of_large_integers(values_NF)
        given = {role: np.concatenate(parts) for role, parts in filling.roles.items()}
        return Chunk(
            values_NF,
            group_N=given.get("group"),
            time_N=given.get("time"),
            label_N=given.get("label"),
            weight_N=given.get("weight"),
        )

    def _finish(self, state: _Pass) -> None:
        """After the last row: the levels, and a warning of gaps that never occurred."""
        self._levels = {name: levels.texts for name, levels in state.levels.items()}
        if len(state.label):
            self._levels[LABEL] = state.label.texts
        absent = [number for number in state.gaps.numbers if number not in state.gaps.seen]
        if absent and "missing_values" not in self._warned:
            self._warned.add("missing_values")
            log.warning(
                "%s: no column holds %s, which params.yaml: preprocess.missing_values names",
                self._where,
                " or ".join(f"{number:.15g}" for number in absent),
            )

    def _warn_of_large_integers(self, values_NF: NDArray[Any]) -> None:
        plan = self.plan
        watched = [i for i in plan.watched if plan.layout.names[i] not in self._warned]
        if not watched or _largest(values_NF) < EXACT:
            return
        for i in watched:
            if _largest(values_NF[:, i]) >= EXACT:
                self._warned.add(plan.layout.names[i])
                log.warning(
                    "%s: column %r holds integers from 2^53 on, whose last digits are lost; "
                    "if it is an identifier, name it in params.yaml: preprocess.drop",
                    self._where,
                    plan.layout.names[i],
                )

    def _refuse_no_levels(self, state: _Pass, at_end: bool = False) -> None:
        """Stops where texts are numbers, dates, identifiers or free texts."""
        for name, levels in state.levels.items():
            if levels.are_numbers:
                found = levels.first(but_numbers=True)
                if found:
                    cell = (name, self.place(found[0]), found[1])
                    raise complaints.text_among_numbers(self._where, [cell])
                raise complaints.numbers_as_text(self._where, self._first_cell(name, levels))
        days = [name for name, levels in state.levels.items() if levels.are_dates]
        if days:
            cells = [self._first_cell(name, state.levels[name]) for name in days]
            raise complaints.dates(self._where, cells)
        limits = {f"which has at most {MOST_LEVELS}": self._with_too_many(state)}
        if at_end:
            limits["whose values recur: two rows for each at least"] = self._without_rows(state)
        for limit, names in limits.items():
            if names:
                its = state.levels[names[0]]
                raise complaints.no_levels(
                    self._where, names, len(its), its.rows, its.texts[:3], limit
                )

    @staticmethod
    def _with_too_many(state: _Pass) -> list[str]:
        return [name for name, levels in state.levels.items() if len(levels) > MOST_LEVELS]

    def _without_rows(self, state: _Pass) -> list[str]:
        """Columns with too few rows for each level, if nobody insisted."""
        said = self._options.kinds
        return [
            name
            for name, levels in state.levels.items()
            if len(levels) > 1 and 2 * len(levels) > levels.rows and said.get(name) is None
        ]

    def _first_cell(self, name: str, levels: FeatureLevels) -> complaints.Cell:
        row, text = levels.first() or (0, "")
        return name, self.place(row), text

    # --- the columns beside the features ----------------------------------------------------------

    def _label(self, name: str, column: pa.Array, state: _Pass) -> NDArray[np.float64]:
        column = self._typed(name, column)
        kind = column.type
        beneath = kind.value_type if pa.types.is_dictionary(kind) else kind
        if sort_of(beneath) in (Sort.NUMBER, Sort.EMPTY):
            return numbers(column).astype(np.float64)
        return state.label.encode(column)

    def _group(self, name: str, column: pa.Array, state: _Pass) -> NDArray[np.int64]:
        code_N = state.group.encode(column)
        self._refuse_first("group", name, np.isnan(code_N), column, state)
        return code_N.astype(np.int64)

    def _time(self, name: str, column: pa.Array, state: _Pass) -> NDArray[np.float64]:
        time_N = times(self._typed(name, column))
        self._refuse_first("time", name, np.isnan(time_N), column, state)
        return time_N

    def _weight(self, name: str, column: pa.Array, state: _Pass) -> NDArray[np.float64]:
        if self.plan.sorts[name] in (Sort.NUMBER, Sort.BOOLEAN, Sort.EMPTY):
            weight_N = numbers(self._typed(name, column)).astype(np.float64)
        else:
            weight_N = np.full(len(column), np.nan)
        wrong_N = ~((weight_N > 0) & np.isfinite(weight_N))
        self._refuse_first("weight", name, wrong_N, column, state)
        return weight_N

    def _typed(self, name: str, column: pa.Array) -> pa.Array:
        """A column of numbers as such, although it is read as text because it is the group too."""
        if self.plan.sorts[name] is Sort.NUMBER and self.plan.roles.get("group") == name:
            return column.cast(pa.string()).cast(pa.float64())
        return column

    def _refuse_first(
        self, role: str, name: str, wrong_N: NDArray[np.bool_], column: pa.Array, state: _Pass
    ) -> None:
        if not wrong_N.any():
            return
        row = int(np.argmax(wrong_N))
        value = column[row].as_py()
        missing = value is None or value != value or str(value).strip() in state.gaps.texts
        said = "the value is missing" if missing else f"{shortened(str(value))!r} is no {role}"
        raise DataError(
            f"{self._where}: column {name!r} (preprocess.{role}), {self.place(state.rows + row)}: "
            f"{said}; {_NEEDS[role]}: mend the value, or delete the row"
        )


_NEEDS = {
    "group": "each row needs its group",
    "time": "each row needs a number, a date or a time such as 2024-05-31T12:30",
    "weight": "each row needs a number above 0",
}


class _Filling:
    """A chunk while rows are added."""

    def __init__(self, plan: Plan, size: int) -> None:
        self.values_NF = np.empty((size, len(plan.layout.names)), plan.layout.dtype)
        self.roles: dict[str, list[NDArray[Any]]] = {role: [] for role in plan.roles}
        self.rows = 0


def _as(sort: Sort) -> Sort:
    """As what a file of text is to be read."""
    if sort is Sort.EMPTY:
        return Sort.NUMBER
    return sort if sort in _NUMBERS else Sort.TEXT


def _largest(values: NDArray[Any]) -> float:
    """The largest magnitude; gaps count as 0."""
    high = np.fmax.reduce(values, axis=None, initial=0)
    low = np.fmin.reduce(values, axis=None, initial=0)
    return float(max(high, -low))
