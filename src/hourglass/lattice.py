"""Finds the resolution of a column: the step of the lattice that its values lie on.

A column's values lie on a lattice if they are `anchor + k * step` for integers k: counts, rounded
decimals, grey levels, and each of these after a shift and a rescaling (standardised integers).
Continuous values lie on none, but any numbers lie on one that is fine enough (float64 itself has
a step), so a step counts only while it is coarse against the range; see `MOST_STEPS`.
"""

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

SHARE = 0.999  # of the values that must lie on the lattice
# A range (of the middle 98 % of the values) of more steps than this counts as continuous: 16 bits
# are the finest common converter, and the probability that n continuous values fall on such a
# lattice by chance is below (2 FUZZ)^(n - 2).
MOST_STEPS = 1 << 16
# Integers, and columns where values repeat, may have more; float32 begins to fake integers here.
MOST_STEPS_OF_INTEGERS = 1 << 24
FUZZ = 1e-3  # distance from the lattice that passes, in steps: rounding in files of few digits
# An atom is one value that so many rows share; continuous values hardly ever repeat.
ATOM_SHARE, ATOM_ROWS = 0.01, 5
# Rows with a last digit, from which on a common divisor of the digits (0.02, 0.25) is no accident.
LAST_DIGITS = 20
DIGITS = 17  # that a float64 has
FEW_LEVELS = 0.05  # levels for each row, up to which values count as repeated throughout
# Steps in the range of a column with repeated values on no lattice: as fine as 12 bits, and coarse
# enough that an exact hit earns at most 12 bits (an unbounded density would earn any number).
ATOM_STEPS = 4096
_ROUNDS = 40  # of Euclid's algorithm; it takes about log(MOST_STEPS) of them


def resolution(values: Array) -> tuple[float | None, str]:
    """The smallest step between the values of a column.

    Args:
        values: Finite values, shape (N,).

    Returns:
        The step, or None where the values are continuous or all equal; and where it is from:
        "lattice"; "repeats" (values repeat, but lie on no lattice: the smallest gap, and at least a
        4096th of the range of the values that do not repeat); or "none".
    """
    levels, counts = np.unique(values, return_counts=True)
    if len(levels) < 2:
        return None, "none"
    core = _core(levels, counts)
    span = _span(values)
    repeats = len(levels) <= len(values) / 2
    found = [s for s in _candidates(levels, counts, core) if _coarse(s, span, repeats)]
    if found:
        return max(found), "lattice"
    atoms = counts >= max(ATOM_ROWS, ATOM_SHARE * len(values))
    if atoms.any() or len(levels) <= len(values) * FEW_LEVELS:
        others = levels[~atoms]
        between = _span(others) if len(others) >= 2 else span
        return float(max(np.diff(core).min(), between / ATOM_STEPS)), "repeats"
    return None, "none"


def _core(levels: Array, counts: NDArray[np.int64]) -> Array:
    """The most frequent levels, ascending; they hold 99.9 % of the rows and are at least two."""
    order = np.argsort(-counts, kind="stable")
    enough = int(np.searchsorted(np.cumsum(counts[order]), SHARE * counts.sum())) + 1
    return np.sort(levels[order[: max(2, enough)]])


def _span(values: Array) -> float:
    """The range of the middle 98 %, so that an outlier does not rule it, or else of all."""
    low, high = np.quantile(values, (0.01, 0.99))
    return float(high - low if high > low else values.max() - values.min())


def _coarse(step: float, span: float, repeats: bool) -> bool:
    integers = step >= 1 and step == round(step)
    return span <= step * (MOST_STEPS_OF_INTEGERS if integers or repeats else MOST_STEPS)


def _candidates(levels: Array, counts: NDArray[np.int64], core: Array) -> Iterator[float]:
    """Steps of lattices that hold `SHARE` of the rows and tell the most frequent levels apart."""
    modes = levels[counts == counts.max()]
    anchor = float(modes[len(modes) // 2])
    for noise in _noises(core):
        decimal = _decimal(levels, counts, core, noise)
        divisor = _common_divisor(core, noise)
        if decimal and divisor and divisor < 10 * decimal:
            divisor = None  # the same lattice; the decimals know the step better
        for raw in (decimal, divisor):
            if raw is None:
                continue
            step = _tidy(raw, float(core[-1] - core[0]), noise)
            slack = FUZZ * step + 2 * noise
            holds = counts[_on(levels, step, anchor, slack)].sum() >= SHARE * counts.sum()
            if holds and _apart(core[_on(core, step, anchor, slack)], step, anchor):
                yield step


def _apart(levels: Array, step: float, anchor: float) -> bool:
    """Whether different levels lie on different points of the lattice, of which there are two."""
    points = len(np.unique(np.round((levels - anchor) / step)))
    return points == len(levels) and points > 1


def _noises(core: Array) -> Iterator[float]:
    """Rounding errors that the values may carry: float64's, and float32's if they all fit there."""
    largest = float(np.abs(core).max())
    yield largest * 2.0**-50
    with np.errstate(over="ignore", under="ignore"):
        if np.all(core.astype(np.float32) == core):
            yield largest * 2.0**-23


def _on(levels: Array, step: float, anchor: float, slack: float) -> NDArray[np.bool_]:
    """Which levels lie on the lattice through `anchor`, or `slack` beside it."""
    k = (levels - anchor) / step
    return np.asarray(np.abs(k - np.round(k)) * step <= slack)


def _decimal(levels: Array, counts: NDArray[np.int64], core: Array, noise: float) -> float | None:
    """The step of rounded decimals: the largest power of ten that divides and tells apart.

    Then times the divisor that the most frequent levels share. Powers are tried while the noise of
    storage is far below them, through all digits of the range: a sentinel may stretch it. Decimals
    are exact, so only that noise is forgiven: 998001, 999000, 999999 are no steps of 1000.
    """
    slack = 2 * noise
    coarsest = math.floor(math.log10(core[-1] - core[0]))
    for exponent in range(coarsest, coarsest - DIGITS, -1):
        unit = 10.0**exponent
        if noise > unit / 20:
            return None
        if counts[_on(levels, unit, 0.0, slack)].sum() < SHARE * counts.sum():
            continue
        if not _apart(core[_on(core, unit, 0.0, slack)], unit, 0.0):
            continue
        if counts[~_on(levels, 10 * unit, 0.0, slack)].sum() < LAST_DIGITS:
            return unit
        whole = np.round((core - core[0]) / unit).astype(np.int64)
        return float(np.gcd.reduce(whole)) * unit
    return None


def _common_divisor(core: Array, noise: float) -> float | None:
    """Euclid's algorithm on the gaps between neighbouring levels, with tolerance.

    The step is then refined by least squares over the whole range, since an error of the step
    grows with the number of steps.
    """
    gaps = np.diff(core)
    smallest = max((core[-1] - core[0]) / MOST_STEPS_OF_INTEGERS, 20 * noise)
    step = float(gaps.min())
    for _ in range(_ROUNDS):
        if step < smallest:
            return None
        times = np.round(gaps / step)
        rest = np.abs(gaps - times * step)
        off = rest > FUZZ * step * np.maximum(times, 1) + 4 * noise
        if not off.any():
            k = np.concatenate([[0.0], np.cumsum(times)])
            centred = k - k.mean()
            return float(centred @ (core - core.mean()) / (centred @ centred))
        step = float(rest[off].min())
    return None


def _tidy(step: float, span: float, noise: float) -> float:
    """The simplest number that cannot be told from `step`: few digits, or one over an integer."""
    slack = (1e-4 * step + noise) * step / span  # moves the far end by a 10,000th of a step
    tries = [float(f"{step:.{digits}g}") for digits in (1, 2, 3)]
    if step < 1:
        tries.append(1 / round(1 / step))  # grey levels between 0 and 1
    return next((t for t in tries if abs(t - step) <= slack), step)
