"""Infers the schema of the columns from training rows: kind, resolution, walls.

What all rows hold is looked at only to withdraw a guess that other rows contradict (a column of
0 and 1 whose test rows hold a 2 is not binary): a schema must be true of every row.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hourglass.catalog import nearest
from hourglass.errors import ConfigError
from hourglass.lattice import FUZZ, SHARE, resolution
from hourglass.moments import evenly
from hourglass.schema import Column, Kind

Array = NDArray[np.float64]
Walls = tuple[float | None, float | None]
Guess = tuple[Kind, float | None, Walls]

# Both ends of a bounded scale hold a point mass: so large a share of the rows, so many rows.
WALL_SHARE, WALL_ROWS, WALL_LEVELS = 0.005, 3, 3
# Counts: skewed to the right, no less variable than Poisson, and starting near 0.
COUNT_SKEWNESS, COUNT_LEVELS = 0.35, 4
# So many columns with the same walls, and so large a share of all, are one scale.
SCALE_COLUMNS, SCALE_SHARE = 8, 1 / 3
CHANNEL_VALUES = 1 << 20  # of all channels together that their guesses are made from


@dataclass(frozen=True)
class Extent:
    """What all rows of the source hold, each of shape (F,).

    Attributes:
        low_F: Minimum; NaN where nothing was observed.
        high_F: Maximum; likewise.
        whole_F: Whether all values are integers.
        missing_F: Number of missing values.
    """

    low_F: Array
    high_F: Array
    whole_F: NDArray[np.bool_]
    missing_F: NDArray[np.int64]

    def take(self, chosen_F: NDArray[np.bool_] | NDArray[np.int64]) -> "Extent":
        """The extent of the chosen columns."""
        return Extent(
            self.low_F[chosen_F],
            self.high_F[chosen_F],
            self.whole_F[chosen_F],
            self.missing_F[chosen_F],
        )

    def pooled(self) -> "Extent":
        """The extent of all columns taken as one."""
        return Extent(
            np.fmin.reduce(self.low_F, keepdims=True),
            np.fmax.reduce(self.high_F, keepdims=True),
            np.array([self.whole_F.all()]),
            self.missing_F.sum(keepdims=True),
        )


@dataclass(frozen=True)
class Known:
    """What source and user say of the columns, ahead of any guess.

    Attributes:
        kind: Of every column; None: infer.
        bounds: Walls of every column; None: infer.
        kinds: Of single columns, as params.yaml says.
        shape: See `Schema.shape`; the columns of a channel share kind, resolution and walls.
        levels: Of the categorical columns, by name.
    """

    kind: Kind | None
    bounds: tuple[float, float] | None
    kinds: Mapping[str, str]
    shape: tuple[int, ...] | None = None
    levels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def infer(
    names: Sequence[str], train_SF: Array, extent: Extent, known: Known
) -> tuple[Column, ...]:
    """The columns as training rows show them.

    Args:
        names: The F columns.
        train_SF: Training rows or an even sample of them; NaN where a value is missing.
        extent: Of all rows.
        known: What is said of the columns.

    Raises:
        ConfigError: preprocess.kinds names no column, or says what the values contradict.
    """
    check_names(names, known.kinds)
    if known.shape is not None:
        guesses = _by_channel(train_SF, extent, known, known.shape[-1])
    else:
        guesses = [
            _LEVELS if name in known.levels else _guess(train_SF[:, f], extent, f, known)
            for f, name in enumerate(names)
        ]
        guesses = _on_one_scale(guesses, train_SF, extent)
    columns = []
    for f, (name, guess) in enumerate(zip(names, guesses, strict=True)):
        kind, step, walls = guess
        if name in known.levels:
            _check_text(name, known)
            levels, missing = known.levels[name], int(extent.missing_F[f])
            columns.append(Column(name, Kind.CATEGORICAL, None, None, None, missing, levels))
            continue
        if name in known.kinds:
            kind = Kind(known.kinds[name])
            _check_kind(name, kind, extent, f)
        low, high = _walls_of_kind(kind, walls)
        step = 1.0 if kind is not Kind.CONTINUOUS else step
        columns.append(Column(name, kind, step, low, high, int(extent.missing_F[f])))
    return tuple(columns)


_LEVELS: Guess = (Kind.CATEGORICAL, None, (None, None))


def _by_channel(train_SF: Array, extent: Extent, known: Known, channels: int) -> list[Guess]:
    """One guess for all places of a channel; of many values evenly spaced rows."""
    some_SF = train_SF[evenly(len(train_SF), CHANNEL_VALUES // train_SF.shape[1])]
    guesses = []
    for channel in range(channels):
        at = np.arange(channel, train_SF.shape[1], channels)
        guesses.append(_guess(some_SF[:, at].ravel(), extent.take(at).pooled(), 0, known))
    places: int = train_SF.shape[1] // channels
    return guesses * places


def _guess(values: Array, extent: Extent, f: int, known: Known) -> Guess:
    values = values[~np.isnan(values)]
    if not len(values):
        return Kind.CONTINUOUS, None, (None, None)
    step, _ = resolution(values)
    walls = known.bounds or _walls(values, extent, f)
    kind = known.kind or _kind(values, step, walls, extent, f)
    return kind, step, walls


def _piled(values: Array) -> bool:
    """Whether the top level holds clearly more rows than the one below: no end of a tail."""
    below, top = np.unique(values, return_counts=True)[1][-2:]
    return bool(top > below + 3 * np.sqrt(below))


def _on_one_scale(guesses: list[Guess], train_SF: Array, extent: Extent) -> list[Guess]:
    """Gives the scale that many columns share to those that fit it: pixels of an array, ratings.

    A pixel that is seldom inked shows no wall of its own and passes for a count. Columns off the
    scale's steps (a proportion beside ratings) keep their own.
    """
    scales = [
        (step, low, high)
        for _, step, (low, high) in guesses
        if step and low is not None and high is not None
    ]
    if not scales:
        return guesses
    (step, low, high), number = Counter(scales).most_common(1)[0]
    numbers_F = [guess[0] is not Kind.CATEGORICAL for guess in guesses]
    beyond = (extent.low_F < low)[numbers_F].any() or (extent.high_F > high)[numbers_F].any()
    if beyond or number < max(SCALE_COLUMNS, SCALE_SHARE * len(guesses)):
        return guesses
    steps_SF = (train_SF - low) / step
    near_SF = np.isnan(steps_SF) | (np.abs(steps_SF - np.round(steps_SF)) <= FUZZ)
    on_it_F = near_SF.mean(axis=0) >= SHARE
    own = (Kind.BINARY, Kind.CATEGORICAL)
    return [
        (Kind.CONTINUOUS, step, (low, high)) if on_it and guess[0] not in own else guess
        for guess, on_it in zip(guesses, on_it_F, strict=True)
    ]


def _walls_of_kind(kind: Kind, walls: Walls) -> Walls:
    if kind is Kind.BINARY:
        return 0.0, 1.0
    return (0.0, None) if kind is Kind.COUNT else walls


def _walls(values: Array, extent: Extent, f: int) -> Walls:
    """Bounds that the values can't pass: exactly 0 and 1, or a point mass at both ends."""
    low, high = float(values.min()), float(values.max())
    if low == high or extent.low_F[f] < low or extent.high_F[f] > high:
        return None, None
    if (low, high) == (0.0, 1.0):
        return low, high
    enough = max(WALL_ROWS, WALL_SHARE * len(values))
    masses = min(np.count_nonzero(values == low), np.count_nonzero(values == high))
    between = np.any((values > low) & (values < high))  # a third level
    return (low, high) if masses >= enough and between else (None, None)


def _kind(values: Array, step: float | None, walls: Walls, extent: Extent, f: int) -> Kind:
    if not extent.whole_F[f] or extent.low_F[f] < 0:
        return Kind.CONTINUOUS
    if extent.high_F[f] <= 1 and values.min() < values.max():
        return Kind.BINARY
    if step != 1 or (walls[1] is not None and _piled(values)):
        return Kind.CONTINUOUS
    return Kind.COUNT if _looks_like_counts(values) else Kind.CONTINUOUS


def _looks_like_counts(values: Array) -> bool:
    """Whether integers look like counts: at least Poisson's variance, skewed, starting near 0."""
    mean, variance = float(values.mean()), float(values.var())
    chance = 3 * np.sqrt(2 / len(values))  # standard errors of Poisson's variance over its mean
    if variance <= mean * (1 - chance) or values.min() > 1 + mean / 10:
        return False
    skewness = float(np.mean((values - mean) ** 3)) / variance**1.5
    return skewness > COUNT_SKEWNESS and len(np.unique(values)) >= COUNT_LEVELS


def check_names(names: Sequence[str], kinds: Mapping[str, str]) -> None:
    """Makes sure that preprocess.kinds names features.

    Raises:
        ConfigError: one is none; the nearest is named.
    """
    for name in kinds:
        if name not in names:
            raise ConfigError(
                f"params.yaml: preprocess.kinds: no feature {name!r}{nearest(name, names)} "
                "(dropped columns, labels and columns that never vary are no features)"
            )


def _check_text(name: str, known: Known) -> None:
    wanted = known.kinds.get(name, Kind.CATEGORICAL)
    if wanted != Kind.CATEGORICAL:
        shown = ", ".join(map(repr, known.levels[name][:3]))
        raise ConfigError(
            f"params.yaml: preprocess.kinds.{name}: {wanted!r} means numbers, but the column holds "
            f"levels ({shown}{', ...' * (len(known.levels[name]) > 3)}); say 'categorical', or "
            "encode it as numbers in the file"
        )


def _check_kind(name: str, kind: Kind, extent: Extent, f: int) -> None:
    """Refuses binary on values other than 0 and 1, and counts below 0 or between integers."""
    low, high, whole = extent.low_F[f], extent.high_F[f], extent.whole_F[f]
    allowed = {
        Kind.CONTINUOUS: (True, ""),
        Kind.BINARY: (whole and low >= 0 and high <= 1, "only 0 and 1"),
        Kind.COUNT: (whole and low >= 0, "only integers from 0 on"),
        # The source has made codes of the levels of those it can: what comes here has none.
        Kind.CATEGORICAL: (False, "levels, which this source does not give"),
    }
    fits, values = allowed[kind]
    if not fits:
        parts = "" if whole else ", some of them no integers"
        raise ConfigError(
            f"params.yaml: preprocess.kinds.{name}: {kind.value!r} means {values}, but the column "
            f"holds values from {low:g} to {high:g}{parts}; recode the column or say 'continuous'"
        )
