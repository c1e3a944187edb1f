"""Whether a new model takes the champion's place: code lengths of rows that neither was trained on.

Losses are compared over seeds, since what is said of a loss must hold of its next fit. The gate
compares two models that are there: their luck is part of them, and rows are the evidence.
Shapes: N test rows, F features, U units of evidence.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from hourglass.bundle import Bundle
from hourglass.catalog import listed
from hourglass.metrics import PARTS
from hourglass.schema import LEAST, Array
from hourglass.verdict import judge

NEW, OTHER = "new", "other"


@dataclass(frozen=True)
class Evidence:
    """What the compared rows are.

    Attributes:
        seen_N: Observed values of each row.
        weight_N: How much each row counts.
        unit_N: The unit of evidence that a row belongs to, see `units`.
        unit: What a unit is, for people.
    """

    seen_N: Array
    weight_N: Array
    unit_N: NDArray[np.int64]
    unit: str

    def only(self, kept_N: NDArray[np.bool_]) -> Self:
        """The same of some rows."""
        own = {k: getattr(self, k)[kept_N] for k in ("seen_N", "weight_N", "unit_N")}
        return replace(self, **own)

    def mean(self, bits_N: Array) -> float:
        """Bits of an observed value."""
        return float(np.dot(self.weight_N, bits_N) / np.dot(self.weight_N, self.seen_N))

    def by_unit(self, bits_N: Array) -> Array:
        """Bits of an observed value by unit, (U,); their mean is that of all rows."""
        _, at_N = np.unique(self.unit_N, return_inverse=True)
        total_U = np.bincount(at_N, self.weight_N * bits_N)
        return np.asarray(total_U * len(total_U) / np.dot(self.weight_N, self.seen_N))


def units(rows: int, group_N: NDArray[Any] | None) -> tuple[NDArray[np.int64], str]:
    """The unit of each row, and what it is called: what is independent from one unit to another.

    Rows of a group hang together, and so do neighbours in time: the units are the groups, or else
    blocks of neighbouring rows, whose means scatter nearly as the t test presumes.
    """
    if group_N is not None:
        _, unit_N = np.unique(group_N, return_inverse=True)
        return unit_N.astype(np.int64), "groups"
    return np.arange(rows) * min(PARTS, rows) // max(1, rows), "blocks of neighbouring rows"


def row_bits(bundle: Bundle, rows_NF: Array, hidden: bool) -> Array:
    """What each row costs under a model, (N,).

    Args:
        bundle: The model.
        rows_NF: Original units; NaN where a value is missing.
        hidden: Each value while it is hidden from the model, see `hiding`; else as it is.

    Raises:
        DataError: a value is too far from the training rows to be computed with.
    """
    answer_NW, extra_N = bundle.written(rows_NF)
    if hidden:
        return np.asarray(bundle.masked_code_length(rows_NF).sum(axis=1) + extra_N)
    return np.asarray(bundle.code_length(rows_NF, answer_NW).sum(axis=1) + extra_N)


def differs(new: Bundle, champion: Bundle) -> str:
    """Why the code lengths of two models do not compare, or "" if they do."""
    if mismatch := _column_that_differs(new, champion):
        return mismatch
    widths = [b.recipe.architecture.latent_dim for b in (new, champion)]
    if widths[0] != widths[1]:
        return (
            f"its bottleneck is {widths[1]} wide and the new model's {widths[0]}: the wider one "
            "saves bits for that reason alone"
        )
    return ""


def _column_that_differs(new: Bundle, champion: Bundle) -> str:
    now, then = ({c.name: c for c in b.schema.columns} for b in (new, champion))
    for name in sorted(set(now) ^ set(then)):
        return f"column {name!r} is {'new' if name in now else 'gone'}"
    for name, column in now.items():
        for what in ("kind", "resolution"):
            old, own = getattr(then[name], what), getattr(column, what)
            if old != own:
                return f"column {name!r} had the {what} {old}, and has {own} now"
        if said := _levels_that_differ(then[name].levels, column.levels):
            return f"column {name!r}: {said}"
    if new.schema.shape != champion.schema.shape:
        return f"its rows had the shape {champion.schema.shape}, and have {new.schema.shape} now"
    return ""


def _levels_that_differ(then: Sequence[str], now: Sequence[str]) -> str:
    """What became of a column's levels, or ""; their order gives them their codes."""
    sides = {
        "new": [level for level in now if level not in set(then)],
        "gone": [level for level in then if level not in set(now)],
    }
    said = " and ".join(f"{listed(names)} {how}" for how, names in sides.items() if names)
    if said:
        return f"of its levels, {said}"
    return "" if tuple(then) == tuple(now) else "its levels have another order"


def ordered(rows_NF: Array, new: Bundle, champion: Bundle) -> Array:
    """Today's rows with the columns in the champion's order."""
    return rows_NF[:, [new.schema.names.index(name) for name in champion.schema.names]]


@dataclass(frozen=True)
class Comparison:
    """The new model against another, on the same rows.

    Attributes:
        other: "version 3", or the name of a baseline.
        new_bits: Of an observed value under the new model.
        other_bits: The same under the other.
        difference: The first minus the second: below 0, the new model is ahead.
        low: Of an interval for the difference, paired t over the units at level 1 - alpha.
        high: Likewise.
        p: Of the paired t test, two-sided.
        said: "better" (ahead by more than the margin, p below alpha), "worse", or "tied".
        rows: Rows compared.
        units: Units of evidence.
    """

    other: str
    new_bits: float
    other_bits: float
    difference: float
    low: float
    high: float
    p: float
    said: str
    rows: int
    units: int

    def __str__(self) -> str:
        return (
            f"{self.difference:+.4f} ({self.low:+.4f} to {self.high:+.4f}, p {self.p:.2g}) "
            f"against {self.other}"
        )


@dataclass(frozen=True)
class Terms:
    """When a difference counts, and what it is counted in.

    Attributes:
        alpha: Of the tests and intervals.
        margin: Differences up to here are of no practical weight.
        ruler: Unit of the bits, for people.
    """

    alpha: float
    margin: float
    ruler: str


def compare(
    other: str, new_N: Array, other_N: Array, evidence: Evidence, terms: Terms
) -> Comparison:
    """Compares two models by the verdict's test, with rows in the place of seeds.

    Args:
        other: Name of the other model.
        new_N: What each row costs under the new one.
        other_N: The same under the other.
        evidence: The rows.
        terms: When a difference counts.

    Raises:
        ValueError: fewer than two units, or a code length that is not finite.
    """
    values = {NEW: evidence.by_unit(new_N).tolist(), OTHER: evidence.by_unit(other_N).tolist()}
    verdict = judge(values, {NEW: 1, OTHER: 0}, terms.alpha, terms.margin)
    behind, leads = verdict.standings[1], verdict.leader == NEW
    low, high = behind.difference_low, behind.difference_high
    clear = behind.verdict == "worse"
    return Comparison(
        other=other,
        new_bits=evidence.mean(new_N),
        other_bits=evidence.mean(other_N),
        difference=-behind.difference if leads else behind.difference,
        low=-high if leads else low,
        high=-low if leads else high,
        p=behind.p,
        said=("better" if leads else "worse") if clear else "tied",
        rows=len(new_N),
        units=len(values[NEW]),
    )


@dataclass(frozen=True)
class Incumbent:
    """The champion of today.

    Attributes:
        version: Its number.
        bits_N: What each test row costs under it; None if that can't be compared.
        unseen_N: Test rows that it was not trained on; None: all.
        why_not: Why its code lengths can't be compared.
        lost: Whether its files are gone: it can't serve, and need not be beaten.
    """

    version: int
    bits_N: Array | None = None
    unseen_N: NDArray[np.bool_] | None = None
    why_not: str = ""
    lost: bool = False


@dataclass(frozen=True)
class Decision:
    """What the gate says of a model.

    Attributes:
        outcome: "first" (no champion that could serve, the baselines are beaten), "better", "tied",
            "worse" (than the champion), "baseline" (one of them is not beaten), "incomparable",
            "withdrawn" (by a person, when it was the champion), "off" (the gate is), "same" (the
            champion is this model, not by the gate), or "settings" (the champion is this model,
            with other settings of its answers).
        incumbent: Version of the champion at that time.
        why: What people should know of it, without the numbers.
        comparisons: With the baselines, then with the champion.
        unit: What the test took for independent.
        ruler: What bits are counted per.
    """

    outcome: str
    incumbent: int | None
    why: str = ""
    comparisons: tuple[Comparison, ...] = ()
    unit: str = ""
    ruler: str = ""

    @property
    def promotes(self) -> bool:
        """Whether the model becomes the champion."""
        return self.outcome in {"first", "better", "off", "same", "settings"}

    @property
    def decisive(self) -> Comparison | None:
        """The comparison that the outcome rests on."""
        if self.outcome in {"better", "tied", "worse"}:
            return self.comparisons[-1]
        if self.outcome in {"first", "baseline"}:
            return max(self.comparisons, key=lambda c: c.difference)
        return None

    def to_json(self) -> dict[str, Any]:
        """Plain data for json.dump; `from_json` is its inverse."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Rebuilds what `to_json` gave."""
        comparisons = tuple(Comparison(**c) for c in data["comparisons"])
        return cls(**{**data, "comparisons": comparisons})

    def sentence(self, version: int, alias: str) -> str:
        """The decision in one sentence, with what to do where a person may want another."""
        stays = (
            f"version {self.incumbent} stays @{alias}"
            if self.incumbent
            else f"there is no @{alias}"
        )
        nonetheless = f"`hourglass promote {version} --reason ...` makes it @{alias} nonetheless"
        numbers = self._numbers()
        first = f"version {self.incumbent} has lost its files" if self.incumbent else "the first"
        return {
            "first": f"version {version} becomes @{alias}, {first}: {numbers}",
            "better": f"version {version} becomes @{alias}: {numbers}",
            "tied": f"{stays}, version {version} is not clearly better: {numbers}",
            "worse": f"{stays}, version {version} is worse: {numbers}",
            "baseline": f"version {version} is not promoted ({stays}), it does not beat every "
            f"baseline: {numbers}; more epochs, more trials or wider model.hidden layers may "
            f"help; {nonetheless}",
            "incomparable": f"version {version} is not promoted ({stays}): {self.why}; "
            f"{nonetheless}",
            "withdrawn": f"version {version} is not promoted ({stays}): {self.why}; {nonetheless}",
            "off": f"version {version} becomes @{alias}: register.gate is off, nothing is compared",
            "same": f"version {version} is @{alias} already",
            "settings": f"version {version} becomes @{alias}: it is the model of version "
            f"{self.incumbent} with another register.anomaly_share",
        }[self.outcome]

    def _numbers(self) -> str:
        own = self.decisive
        if own is None:
            return ""
        return (
            f"{own.new_bits:.4f} {self.ruler} on {own.rows} test rows, {own} "
            f"({own.units} {self.unit}){self.why}"
        )


def decide(
    bits_N: Array,
    baselines: Mapping[str, Array],
    evidence: Evidence,
    incumbent: Incumbent | None,
    terms: Terms,
) -> Decision:
    """Whether a new model becomes the champion.

    It must be better than every baseline and than the champion; each is tested at level alpha, so
    that a model which is no better than one of them passes no more often than alpha. A tie leaves
    the champion where it is.

    Args:
        bits_N: What each test row costs under the new model.
        baselines: The same under each baseline.
        evidence: The rows.
        incumbent: Today's champion; None: there is none.
        terms: When a difference counts.
    """
    version = incumbent.version if incumbent else None
    if (number := len(np.unique(evidence.unit_N))) < 2:
        why = f"the test rows are of {number} group: nothing is known of others"
        return Decision("incomparable", version, why)
    against = tuple(compare(n, bits_N, own_N, evidence, terms) for n, own_N in baselines.items())
    every = Decision("first", version, "", against, evidence.unit, terms.ruler)
    if any(c.said != "better" for c in against):
        return replace(every, outcome="baseline")
    if incumbent is None or incumbent.lost:
        return every
    name, other_N, unseen_N = f"version {version}", incumbent.bits_N, incumbent.unseen_N
    kept_N = np.ones(len(bits_N), dtype=np.bool_) if unseen_N is None else unseen_N
    if other_N is None:
        why = f"it can't be compared with {name}: {incumbent.why_not}"
        return replace(every, outcome="incomparable", why=why)
    if why := _why_not(name, other_N, kept_N, evidence):
        return replace(every, outcome="incomparable", why=why)
    last = compare(name, bits_N[kept_N], other_N[kept_N], evidence.only(kept_N), terms)
    left = int((~kept_N).sum())
    why = f"; {left} more test rows are left out, {name} was trained on them" if left else ""
    return replace(every, outcome=last.said, why=why, comparisons=(*against, last))


def _why_not(name: str, other_N: Array, kept_N: NDArray[np.bool_], evidence: Evidence) -> str:
    """Why the champion's code lengths don't serve to compare, or ""."""
    if not np.isfinite(other_N).all():
        return f"{name} gives no finite code length for some of the test rows"
    rows, number = len(kept_N), int(kept_N.sum())
    enough = number >= LEAST["test"] and len(np.unique(evidence.unit_N[kept_N])) > 1
    if number < rows and not enough:
        return (
            f"{name} was trained on {rows - number} of the {rows} test rows (the split was drawn "
            "anew, or rows were added), and the others are too few to compare"
        )
    return ""
