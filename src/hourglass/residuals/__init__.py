"""The residual families: how an observed value scatters around its reconstruction.

A family says how probable an observed value is, given its reconstruction. Where a column has a
resolution, it gives the probability of the value's bin; elsewhere the density. Shapes: N rows,
D columns; what is fitted is one number a column.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from hourglass.schema import Array, Column, Kind

Mask = NDArray[np.bool_]
Parameters = Mapping[str, Array]

RELATIVE_FLOOR = 1e-6  # of a column's spread: what float32 models resolve; keeps densities finite
LARGEST = 1e100  # values are clipped here, so that squares stay finite
SMALLEST = 1e-50  # no scale is smaller, for the same reason
TINY = 1e-290  # probabilities below are taken from the density in logs


@dataclass(frozen=True)
class Block:
    """Columns that are fitted or scored together: all of them with a resolution, or none.

    Attributes:
        x_ND: Observed values; where nothing was observed, the reconstruction.
        m_ND: Reconstructions.
        seen_ND: Whether a value was observed.
        step_D: Resolution of each column, 0 in all columns where there is none.
        low_D: Lower wall of each column, -inf where there is none.
        high_D: Upper wall, inf where there is none.
    """

    x_ND: Array
    m_ND: Array
    seen_ND: Mask
    step_D: Array
    low_D: Array
    high_D: Array

    @classmethod
    def of(cls, target_ND: Array, reconstruction_ND: Array, columns: list[Column]) -> Self:
        """Packs columns whose values are finite or, in the target, NaN."""
        seen = ~np.isnan(target_ND)
        m = np.clip(reconstruction_ND, -LARGEST, LARGEST)
        x = np.clip(np.where(seen, target_ND, m), -LARGEST, LARGEST)
        step, low, high = np.array([grid(c) for c in columns]).reshape(-1, 3).T
        return cls(x, m, seen, step, low, high)

    def snapped(self) -> Self:
        """Values within half a step beyond a wall are put on it."""
        return replace(self, x_ND=np.clip(self.x_ND, self.low_D, self.high_D))

    @property
    def lattice(self) -> bool:
        """Whether the columns have a resolution."""
        return bool(np.all(self.step_D > 0))

    @cached_property
    def beyond(self) -> Mask:
        """Values past a wall by more than half a step."""
        half = self.step_D / 2
        return (self.x_ND < self.low_D - half) | (self.x_ND > self.high_D + half)

    @cached_property
    def at_low(self) -> Mask:
        """Values on the lowest level: their bin takes all that is below."""
        return np.asarray(self.x_ND - self.low_D < self.step_D / 2)

    @cached_property
    def at_high(self) -> Mask:
        """Values on the highest level: their bin takes all that is above."""
        return np.asarray(self.high_D - self.x_ND < self.step_D / 2)

    @property
    def count(self) -> Array:
        """Observed values of each column."""
        return np.asarray(self.seen_ND.sum(axis=0), dtype=np.float64)

    def mean(self, values_ND: Array) -> Array:
        """Mean of each column over its observed values, (D,)."""
        return np.asarray(np.where(self.seen_ND, values_ND, 0.0).sum(axis=0) / self.count)

    def smallest_scale(self) -> Array:
        """The resolution, or where there is none a millionth of the spread, (D,).

        The spread is the standard deviation, of a constant column its magnitude (1 for zeros).
        """
        mean = self.mean(self.x_ND)
        spread = np.sqrt(self.mean((self.x_ND - mean) ** 2))
        top = np.where(self.seen_ND, self.x_ND, -np.inf).max(axis=0)
        bottom = np.where(self.seen_ND, self.x_ND, np.inf).min(axis=0)
        magnitude = np.where(top == 0, 1.0, np.abs(top))
        spread = np.where(top > bottom, spread, magnitude)
        return np.maximum(np.where(self.step_D > 0, self.step_D, RELATIVE_FLOOR * spread), SMALLEST)


def grid(column: Column) -> tuple[float, float, float]:
    """Resolution (0: none), lower and upper wall (infinite: none) that a column is coded with.

    A binary column has two levels, at its walls or else 0 and 1. Counts are integers from 0 on.
    """
    low = -np.inf if column.low is None else column.low
    high = np.inf if column.high is None else column.high
    if column.kind is Kind.BINARY:
        low, high = (low, high) if np.isfinite(high - low) and high > low else (0.0, 1.0)
        return high - low, low, high
    if column.kind is Kind.COUNT:
        return column.resolution or 1.0, max(low, 0.0), high
    return column.resolution or 0.0, low, high


class Family(ABC):
    """One kind of noise around a reconstruction.

    Attributes:
        name: As in calibrations.
        parameters: What is fitted, one number a column each.
    """

    name: ClassVar[str]
    parameters: ClassVar[tuple[str, ...]]

    @abstractmethod
    def fit(self, block: Block) -> dict[str, Array]:
        """The parameters by maximum likelihood, each of shape (D,)."""

    @abstractmethod
    def log_probability(self, block: Block, fitted: Parameters) -> Array:
        """Natural log of each value's probability (with a resolution) or density, (N, D).

        The values of a block with a resolution are expected between the walls.
        """


def best_positive(slope: Callable[[Array], Array], lowest: float, highest_D: Array) -> Array:
    """The positive parameter of each column whose likelihood is largest, by bisection, (D,).

    Args:
        slope: Derivative of a concave log likelihood at a parameter a column.
        lowest: Where the search begins.
        highest_D: Where it ends; returned, as is `lowest`, where the slope keeps its sign.
    """
    low, high = np.full_like(highest_D, np.log(lowest)), np.log(highest_D)
    for _ in range(16):  # to 3e-4 of the parameter: second order in the likelihood
        middle = (low + high) / 2
        rising = slope(np.exp(middle)) > 0
        low, high = np.where(rising, middle, low), np.where(rising, high, middle)
    return np.asarray(np.exp((low + high) / 2))
