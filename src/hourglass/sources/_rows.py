"""Tables become chunks: blocks of columns become rows of numbers, texts become codes."""

import logging
import os
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hourglass.catalog import listed
from hourglass.config import Preprocess
from hourglass.errors import DataError
from hourglass.gaps import Gaps, is_number
from hourglass.sources import LABEL, Chunk
from hourglass.sources import _complaints as complaints
from hourglass.sources._levels import MOST_LEVELS, FeatureLevels, Levels
from hourglass.sources._plan import CATEGORICAL, Plan, Planner
from hourglass.sources._table import NUMERIC, Block, Sort, Table, chunk_rows, numbers, sort_of
from hourglass.sources._texts import has_comma, has_point, shortened, yaml
from hourglass.sources._times import Days, are_dates, has_slashes, times

log = logging.getLogger(__name__)

EXACT = 2.0**53  # from here on float64 does not hold every integer


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
        self._decimal = "," if any(table.decimal == "," for table in tables) else "."
        self._warned: set[str] = set()
        self._told_of_gaps = False
        self._levels: dict[str, tuple[str, ...]] = {}
        self._starts: list[int] = []

    @cached_property
    def plan(self) -> Plan:
        """What becomes of the columns; see `Planner.plan`."""
        plan = Planner(self._tables, self._options, self._where).plan()
        self._warn_of_codes([plan.layout.names[i] for i in plan.numeric])
        return plan

    def _warn_of_codes(self, names: Sequence[str]) -> None:
        """Says which numbers are written with leading zeros, as codes are."""
        codes = self._tables[0].codes()
        found = [name for name in names if name in codes]
        if found:
            log.warning(
                "%s: codes, such as postcodes, among the numbers? Leading zeros get lost: %s; if "
                "they are no quantities, name them in params.yaml: preprocess.drop, or with up to "
                "%d values in preprocess.kinds: {%s: categorical}",
                self._where,
                listed([f"{name!r} ({shortened(codes[name])})" for name in found]),
                MOST_LEVELS,
                yaml(found[0]),
            )

    def count(self) -> int | None:
        """See `Source.rows`."""
        each = [table.rows for table in self._tables]
        known = [rows for rows in each if rows is not None]
        return sum(known) if len(known) == len(each) else None

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
        folder = os.path.commonpath([t.file.parent for t in self._tables])
        return f"{table.file.relative_to(folder)}, {table.place(row - self._starts[number])}"

    @cached_property
    def _days(self) -> Days:
        """Of the times."""
        name = self.plan.roles.get("time", "")
        wanted = {name: Sort.TEXT}
        return Days(lambda: ((b.column(name) for b in t.blocks(wanted)) for t in self._tables))

    def _start(self) -> _Pass:
        plan, gaps = self.plan, Gaps.of(self._options.missing_values)
        levels = {}
        for name in (plan.layout.names[i] for i in plan.levels):
            sort = plan.sorts[name]
            declared = sort is Sort.LEVELS or self._options.kinds.get(name) == CATEGORICAL
            levels[name] = FeatureLevels(gaps, sort in NUMERIC, declared)
        of_role = {role: plan.sorts[name] in NUMERIC for role, name in plan.roles.items()}
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
        if absent and not self._told_of_gaps:
            self._told_of_gaps = True
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
                raise self._no_numbers(name, levels)
            if levels.unit:
                cell = self._first_cell(name, levels)
                raise complaints.with_unit(self._where, cell, levels.unit)
        days = [name for name, levels in state.levels.items() if levels.are_dates]
        if days:
            cells = [self._first_cell(name, state.levels[name]) for name in days]
            readable = [n for n in days if are_dates(pa.array(state.levels[n].texts))]
            raise complaints.dates(self._where, cells, readable)
        limits = {f"which has at most {MOST_LEVELS}": self._with_too_many(state)}
        if at_end:
            limits["whose values recur: two rows for each at least"] = self._without_rows(state)
        for limit, names in limits.items():
            if names:
                its = state.levels[names[0]]
                raise complaints.no_levels(
                    self._where, names, len(its), its.rows, its.texts[:3], limit
                )

    def _no_numbers(self, name: str, levels: FeatureLevels) -> DataError:
        """The error of a column of texts most of which are meant as numbers."""
        decimal = self._decimal
        found = {test: levels.first(test) for test in (has_comma, has_point)}
        comma, point = [f and (self.place(f[0]), f[1]) for f in found.values()]
        if comma and point:
            return complaints.two_decimal_signs(self._where, name, comma, point)
        strange = levels.first(lambda text: not is_number(text, decimal))
        if strange:
            cell = (name, self.place(strange[0]), strange[1])
            return complaints.text_among_numbers(self._where, [cell], decimal)
        return complaints.numbers_as_text(self._where, self._first_cell(name, levels), decimal)

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
        time_N = times(self._typed(name, column), self._days)
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
        if role == "time" and has_slashes(str(value)) and self._days.first is None:
            place = self.place(state.rows + row)
            raise complaints.day_or_month(self._where, (name, place, str(value)))
        missing = value is None or value != value or str(value).strip() in state.gaps.texts
        said = "the value is missing" if missing else f"{shortened(str(value))!r} is no {role}"
        raise DataError(
            f"{self._where}: column {name!r} (preprocess.{role}), {self.place(state.rows + row)}: "
            f"{said}; {_NEEDS[role]}: mend the value, or delete the row"
        )


_NEEDS = {
    "group": "each row needs its group",
    "time": "each row needs a number, or a date such as 2024-05-31 12:30 or 31.05.2024 12:30",
    "weight": "each row needs a number above 0",
}


class _Filling:
    """A chunk while rows are added."""

    def __init__(self, plan: Plan, size: int) -> None:
        self.values_NF = np.empty((size, len(plan.layout.names)), plan.layout.dtype)
        self.roles: dict[str, list[NDArray[Any]]] = {role: [] for role in plan.roles}
        self.rows = 0


def _largest(values: NDArray[Any]) -> float:
    """The largest magnitude; gaps count as 0."""
    high = np.fmax.reduce(values, axis=None, initial=0)
    low = np.fmin.reduce(values, axis=None, initial=0)
    return float(max(high, -low))
