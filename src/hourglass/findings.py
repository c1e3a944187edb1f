"""What a person should look at before anything is trained: stand-ins for gaps, far values.

Shapes: S sampled training rows, V sorted observed values of a column, F columns; the columns of an
image or a window count as one for each channel.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hourglass.catalog import counted
from hourglass.looks import NORMAL_IQR, OUTLIER_SDS
from hourglass.schema import Array, Column, Kind, Schema, channels

FAR = 100  # interquartile ranges from the median: values beyond are no measurements, or rule all
SPIKE_ROWS = 3  # sampled rows, of all columns together, on one value that no other value is near
HIDDEN_SPIKE = 0.2  # share of the rows at an end from which a spike may widen the quartiles
SHOWN = 3
BY_HAND = ("named in ", "not named in ")  # how reasons begin that the user gave


@dataclass(frozen=True)
class Far:
    """A value far from all others of its column.

    Attributes:
        column: Its place among the columns.
        value: The minimum or the maximum.
        rows: Sampled training rows that hold it.
    """

    column: int
    value: float
    rows: int


def far_values(
    columns: Sequence[Column],
    figures: Mapping[str, Mapping[str, Any]],
    values_SF: Array,
    low_F: Array,
    high_F: Array,
    known: Sequence[str | float] | None,
) -> list[str]:
    """At most two lines: values that look like gaps, and other values that rule all errors.

    One -9999 that stands for a gap, in any split, outweighs all other rows in the verdict.

    Args:
        columns: The F columns.
        figures: What each looks like, by name.
        values_SF: Training values, or a sample of them; NaN where missing.
        low_F: Minimum over the rows of all splits.
        high_F: Maximum, likewise.
        known: What stands for a gap already; None where the source lets nothing be named so.
    """
    alone = [
        far
        for f, column in enumerate(columns)
        if column.kind not in (Kind.CATEGORICAL, Kind.BINARY)
        for far in _alone(f, column, figures[column.name], values_SF[:, f], low_F[f], high_F[f])
    ]
    rows: dict[float, int] = {}
    for far in alone:
        rows[far.value] = rows.get(far.value, 0) + far.rows
    gaps = [far for far in alone if rows[far.value] >= SPIKE_ROWS or _is_of_nines(far.value)]
    explained = {(far.column, far.value) for far in gaps}
    lines = [_stand_ins(columns, gaps, values_SF, known)] if gaps else []
    wild = [
        f
        for f, column in enumerate(columns)
        if _is_wild(f, column, figures[column.name], low_F[f], high_F[f], explained)
    ]
    if wild:
        lines.append(_wild(columns, wild, figures, low_F, high_F))
    return lines


def _alone(
    f: int, column: Column, its: Mapping[str, Any], values_S: Array, low: float, high: float
) -> list[Far]:
    """The extremes of a column that no other value is near, of all rows and of training rows."""
    reach = OUTLIER_SDS * (its["iqr"] or 0.0) / NORMAL_IQR
    near = max(high - its["median"], its["median"] - low) <= reach
    if near and max(its["mass_low"], its["mass_high"]) < HIDDEN_SPIKE:
        return []
    sorted_V = np.sort(values_S[~np.isnan(values_S)])
    ends = [dict.fromkeys((low, sorted_V[0])), dict.fromkeys((high, sorted_V[-1]))]
    found = [[far for value in end if (far := _lone(f, value, sorted_V))] for end in ends]
    if None not in (column.low, column.high) and all(found):
        return []  # both walls stand apart: flags written as numbers, or salt and pepper
    return [far for end in found for far in end]


def _lone(f: int, value: float, sorted_V: Array) -> Far | None:
    """The value if the others keep away: by 5 of their robust standard deviations.

    Where the others are so alike that quartiles say nothing, by 5 times their whole range.
    """
    rest = sorted_V[sorted_V != value]
    if not len(rest) or rest[0] == rest[-1] or rest[0] < value < rest[-1]:
        return None
    q25, q75 = np.quantile(rest, (0.25, 0.75))
    scale = (q75 - q25) / NORMAL_IQR if q75 > q25 else rest[-1] - rest[0]
    away = min(abs(value - rest[0]), abs(value - rest[-1]))
    rows = len(sorted_V) - len(rest)
    return Far(f, float(value), rows) if away > OUTLIER_SDS * scale else None


def _is_of_nines(value: float) -> bool:
    """Whether it is one of the numbers that people write for a gap: -99, 999, -9999.0, 999.9."""
    digits = f"{abs(value):.15g}".replace(".", "")
    return len(digits) > 1 and set(digits) == {"9"}


def _stand_ins(
    columns: Sequence[Column],
    gaps: Sequence[Far],
    values_SF: Array,
    known: Sequence[str | float] | None,
) -> str:
    """Which values look like gaps, in which columns, and what to write so that they become some."""
    where: dict[float, list[str]] = {}
    for far in gaps:
        where.setdefault(far.value, []).append(columns[far.column].name)
    values = sorted(where, key=lambda v: (-len(where[v]), v))
    said = ", ".join(f"{v:.15g} in {_named(where[v])}" for v in values)
    line = f"far from all other values: {said}; the advice takes it for a measurement: if it "
    line += "stands for a gap, "
    if known is None:
        return f"{line}put NaN in its place in the file"
    holds_F = np.asarray(np.isin(values_SF, values).any(axis=0))
    at_home = [
        column.name
        for column, holds in zip(columns, holds_F.tolist(), strict=True)
        if holds
        and column.kind is not Kind.CATEGORICAL
        and not any(column.name in names for names in where.values())
    ]
    if at_home:
        return f"{line}empty these cells in the file ({_named(at_home)} may well mean it)"
    entries = [repr(v) if isinstance(v, str) else f"{v:.15g}" for v in known]
    wanted = ", ".join([*entries, *(f"{v:.15g}" for v in values)])
    return f"{line}set params.yaml: preprocess.missing_values: [{wanted}]"


def _is_wild(
    f: int,
    column: Column,
    its: Mapping[str, Any],
    low: float,
    high: float,
    explained: set[tuple[int, float]],
) -> bool:
    """Whether an open column reaches 100 interquartile ranges from its median, unexplained."""
    if column.kind is Kind.CATEGORICAL or None not in (column.low, column.high) or not its["iqr"]:
        return False
    ends = {low: its["median"] - low, high: high - its["median"]}
    return any(away > FAR * its["iqr"] and (f, end) not in explained for end, away in ends.items())


def _wild(
    columns: Sequence[Column],
    wild: Sequence[int],
    figures: Mapping[str, Mapping[str, Any]],
    low_F: Array,
    high_F: Array,
) -> str:
    first = columns[wild[0]].name
    more = [repr(columns[f].name) for f in wild[1:]]
    also = f" (so do {_shown(more)})" if more else ""
    positive = [columns[f].name for f in wild if low_F[f] > 0]
    if len(positive) == len(wild):
        cure = ", or take the logarithm if they are right"
    else:
        cure = f", or take the logarithm of {_named(positive)}" if positive else ""
    return (
        f"column {first!r} reaches from {low_F[wild[0]]:g} to {high_F[wild[0]]:g}, more than {FAR} "
        f"times its interquartile range ({figures[first]['iqr']:g}) away from its median "
        f"({figures[first]['median']:g}){also}: such values rule squared errors; mend them if they "
        f"are mistakes{cure}"
    )


def left_out(schema: Schema, dropped: Mapping[str, str]) -> list[str]:
    """Columns that the source left out though nobody asked for it, gaps, rows that are left out."""
    lines = []
    for reason in dict.fromkeys(dropped.values()):
        if not reason.startswith(BY_HAND):
            names = [name for name, its in dropped.items() if its == reason]
            lines.append(f"left out, {reason}: {_named(names)}")
    gaps = _gaps(schema)
    if schema.gaps and gaps:
        shown = [f"{share:.1%} of {name!r}" for name, share in gaps.items()]
        lines.append(f"gaps, which stay gaps and are masked: {_shown(shown)}")
    rows = schema.left_out.items()
    return lines + [f"left out, {reason}: {counted(count, 'row')}" for reason, count in rows]


def _gaps(schema: Schema) -> dict[str, float]:
    """Share of missing values by column, or by channel, the most first; without those of none."""
    names = channels(schema.names, schema.shape)
    missing = [c.missing for c in schema.columns]
    cells = sum(schema.rows.values()) * len(missing) // len(names)
    shares = {n: sum(missing[i :: len(names)]) / cells for i, n in enumerate(names)}
    return {name: s for name, s in sorted(shares.items(), key=lambda its: -its[1]) if s}


def _named(names: Sequence[str]) -> str:
    """Columns for a message: how many there are, and the first three."""
    if len(names) == 1:
        return f"column {names[0]!r}"
    return f"{len(names)} columns ({_shown([repr(name) for name in names])})"


def _shown(parts: Sequence[str]) -> str:
    more = f" and {len(parts) - SHOWN} more" if len(parts) > SHOWN else ""
    return ", ".join(parts[:SHOWN]) + more
