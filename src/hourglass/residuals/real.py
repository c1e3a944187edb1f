"""Residual families on the whole line: Gauss, Laplace and Student-t.

Shapes: N rows, D columns; z are residuals in units of the scale.
"""

from abc import abstractmethod

import numpy as np
from scipy import special

from hourglass.residuals import TINY, Block, Family, Mask, Parameters
from hourglass.schema import Array

NUS = np.geomspace(
    1.2, 80.0, 12
)  # neighbours differ by 1.46: at most 0.001 bits beside the best nu
FINE_BIN = 1e-5  # in scales: below, the density times the width is exact and differences are not


class LocationScale(Family):
    """Noise whose shape is the same everywhere: only its scale is fitted."""

    def log_probability(self, block: Block, fitted: Parameters) -> Array:
        """See `Family`."""
        scale = fitted["scale"]
        z_ND = (block.x_ND - block.m_ND) / scale
        if not block.lattice:
            return self.log_density(z_ND, fitted) - np.log(scale)
        width = block.step_D / scale
        exact = self.log_bin(*_bin_from_centre(block, z_ND, width), fitted)
        inner = ~(block.at_low | block.at_high)
        rough = (inner & self.is_fine(z_ND, width)) | np.isneginf(exact)
        if not np.any(rough):
            return exact
        return np.where(rough, self.log_density(z_ND, fitted) + np.log(width), exact)

    def is_fine(self, z_ND: Array, width_D: Array) -> Mask:
        """Bins so narrow that density times width is better than a difference of tails."""
        return np.asarray(width_D * (1 + np.abs(z_ND)) < FINE_BIN)

    @abstractmethod
    def log_density(self, z_ND: Array, fitted: Parameters) -> Array:
        """Natural log of the density at scale 1, (N, D)."""

    @abstractmethod
    def log_bin(self, start_ND: Array, end_ND: Array, fitted: Parameters) -> Array:
        """Natural log of F(end) - F(start) at scale 1, (N, D); start + end >= 0: the upper tail."""


def _bin_from_centre(block: Block, z_ND: Array, width_D: Array) -> tuple[Array, Array]:
    """Start and end of each value's bin, mirrored so that most of it lies above the centre.

    Tails of symmetric densities are alike; seen from the smaller one nothing cancels.
    """
    half = width_D / 2
    start = np.abs(z_ND) - half
    start = np.where(block.at_high, z_ND - half, start)
    start = np.where(block.at_low, -z_ND - half, start)
    start = np.where(block.at_low & block.at_high, -np.inf, start)
    end = np.where(block.at_low | block.at_high, np.inf, np.abs(z_ND) + half)
    return start, end


class Gauss(LocationScale):
    """Normal noise; the scale is the root of the mean squared residual."""

    name = "gauss"
    parameters = ("scale",)

    def fit(self, block: Block) -> dict[str, Array]:
        """See `Family`."""
        rms = np.sqrt(block.mean((block.x_ND - block.m_ND) ** 2))
        return {"scale": np.maximum(rms, block.smallest_scale())}

    def log_density(self, z_ND: Array, fitted: Parameters) -> Array:
        """See `LocationScale`."""
        del fitted
        return np.asarray(-(z_ND**2) / 2 - np.log(2 * np.pi) / 2)

    def log_bin(self, start_ND: Array, end_ND: Array, fitted: Parameters) -> Array:
        """See `LocationScale`."""
        del fitted
        tail = special.log_ndtr(-start_ND)
        share = -np.expm1(special.log_ndtr(-end_ND) - tail)  # of the tail that is in the bin
        return np.asarray(tail + np.log(np.maximum(share, TINY)))


class Laplace(LocationScale):
    """Double-exponential noise; the scale is the mean absolute residual."""

    name = "laplace"
    parameters = ("scale",)

    def fit(self, block: Block) -> dict[str, Array]:
        """See `Family`."""
        mean_abs = block.mean(np.abs(block.x_ND - block.m_ND))
        return {"scale": np.maximum(mean_abs, block.smallest_scale())}

    def log_density(self, z_ND: Array, fitted: Parameters) -> Array:
        """See `LocationScale`."""
        del fitted
        return np.asarray(-np.abs(z_ND) - np.log(2))

    def log_bin(self, start_ND: Array, end_ND: Array, fitted: Parameters) -> Array:
        """See `LocationScale`."""
        del fitted
        start = np.maximum(start_ND, 0.0)
        share = -np.expm1(start - end_ND)
        above = -start - np.log(2) + np.log(np.maximum(share, TINY))
        below = np.minimum(start_ND, 0.0)
        across = -(np.expm1(below) + np.expm1(-np.maximum(end_ND, 0.0))) / 2
        return np.where(start_ND >= 0, above, np.log(np.maximum(across, TINY)))


class StudentT(LocationScale):
    """Heavy-tailed noise: the best of the degrees of freedom `NUS`, its scale by EM.

    The scale step is the parameter-expanded EM of Kent, Tyler and Vardi (1994), which has the
    same fixed point as EM and needs few steps.
    """

    name = "student_t"
    parameters = ("nu", "scale")

    def fit(self, block: Block) -> dict[str, Array]:
        """See `Family`."""
        square_ND = (block.x_ND - block.m_ND) ** 2
        floor = block.smallest_scale() ** 2
        variance = np.maximum(block.mean(square_ND), floor)
        best = np.full(floor.shape, -np.inf)
        nu, chosen = np.full(floor.shape, NUS[-1]), variance
        for candidate in NUS[::-1]:  # from nearly Gauss on, each from where the last one ended
            tried = np.full(floor.shape, candidate)
            variance = self._variance(block, square_ND, (tried, variance, floor), steps=4)
            fitted = {"nu": tried, "scale": np.sqrt(variance)}
            z_ND = np.sqrt(square_ND) / fitted["scale"]
            value = block.mean(self.log_density(z_ND, fitted)) - np.log(variance) / 2
            better = value > best
            best = np.where(better, value, best)
            nu, chosen = np.where(better, tried, nu), np.where(better, variance, chosen)
        variance = self._variance(block, square_ND, (nu, chosen, floor), steps=25)
        return {"nu": nu, "scale": np.sqrt(variance)}

    @staticmethod
    def _variance(
        block: Block, square_ND: Array, state: tuple[Array, Array, Array], steps: int
    ) -> Array:
        """Takes EM steps on the squared scale; `state` is nu, squared scale and its floor."""
        nu, variance, floor = state
        for _ in range(steps):
            weight_ND = block.seen_ND / (nu + square_ND / variance)
            moved = (weight_ND * square_ND).sum(axis=0) / weight_ND.sum(axis=0)
            variance = np.maximum(np.asarray(moved), floor)
        return variance

    def log_density(self, z_ND: Array, fitted: Parameters) -> Array:
        """See `LocationScale`."""
        nu = fitted["nu"]
        peak = special.gammaln((nu + 1) / 2) - special.gammaln(nu / 2) - np.log(nu * np.pi) / 2
        return np.asarray(peak - (nu + 1) / 2 * np.log1p(z_ND**2 / nu))

    def is_fine(self, z_ND: Array, width_D: Array) -> Mask:
        """See `LocationScale`: the further out, the flatter is a power tail."""
        return np.asarray(width_D < 10 * FINE_BIN * (1 + np.abs(z_ND)))

    def log_bin(self, start_ND: Array, end_ND: Array, fitted: Parameters) -> Array:
        """See `LocationScale`; -inf where the tail is below `TINY`: its density is exact there."""
        nu = np.broadcast_to(fitted["nu"], start_ND.shape)
        mass = special.stdtr(nu, -start_ND) - special.stdtr(nu, -end_ND)
        return np.log(mass, where=mass > TINY, out=np.full(mass.shape, -np.inf))
