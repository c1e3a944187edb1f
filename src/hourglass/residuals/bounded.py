"""Residual families between two walls: Beta and continuous Bernoulli.

Shapes: N rows, D columns. The walls are mapped to 0 and 1.
"""

import numpy as np
from scipy import special

from hourglass.residuals import SMALLEST, TINY, Block, Family, Parameters, best_positive
from hourglass.schema import Array

NEAR_WALL = (
    1e-3  # unit interval: reconstructions are kept this far inside, a sure error stays finite
)
ON_WALL = 1e-6  # unit interval: values without a resolution are kept this far inside
CONCENTRATIONS = (1e-2, 1e6)  # beyond, gammaln loses digits and a Gauss is as good
HAIR = 1e-12  # unit interval: the narrowest bin that floats near 1 can tell
NEARLY_FLAT = 1e-5  # natural parameter below which the continuous Bernoulli is expanded


def _unit(values_ND: Array, block: Block) -> Array:
    """Values on [0, 1]: the walls, with a resolution the outer edges of the end bins."""
    low = block.low_D - block.step_D / 2
    return (values_ND - low) / (block.high_D + block.step_D / 2 - low)


def _unit_mean(block: Block) -> Array:
    return np.clip(_unit(block.m_ND, block), NEAR_WALL, 1 - NEAR_WALL)


def _unit_width(block: Block) -> Array:
    return block.step_D / (block.high_D - block.low_D + block.step_D)


def _unit_bins(block: Block) -> tuple[Array, Array]:
    """Both edges of each value's bin on [0, 1]; the end bins reach the walls."""
    u, half = _unit(block.x_ND, block), _unit_width(block) / 2
    return (
        np.where(block.at_low, 0.0, u - half).clip(0, 1),
        np.where(block.at_high, 1.0, u + half).clip(0, 1),
    )


class Beta(Family):
    """Beta noise between two walls: mean = reconstruction, one fitted concentration a column.

    In mean and concentration k: Beta(k m, k (1 - m)), Ferrari and Cribari-Neto (2004), eq. 4. The
    likelihood is concave in k, so bisection on its derivative finds the maximum.
    """

    name = "beta"
    parameters = ("concentration",)

    def fit(self, block: Block) -> dict[str, Array]:
        """See `Family`; with a resolution, end bins weigh with their mass, w^a / (a B(a, b))."""
        m, width = _unit_mean(block), _unit_width(block)
        u = _unit(block.x_ND, block)
        inside = np.where(block.step_D > 0, np.maximum(width / 2, HAIR), ON_WALL)
        u = np.clip(u, inside, 1 - inside)
        at_ends = block.lattice & (block.at_low | block.at_high)
        log_low = np.log(np.where(block.lattice & block.at_low, 2 * u, u))
        log_high = np.log1p(-np.where(block.lattice & block.at_high, 2 * u - 1, u))
        data_D = block.mean(m * log_low + (1 - m) * log_high)
        ends_D = block.mean(at_ends.astype(np.float64))

        def slope(k_D: Array) -> Array:
            bend = m * special.digamma(k_D * m) + (1 - m) * special.digamma(k_D * (1 - m))
            return special.digamma(k_D) - block.mean(bend) + data_D - ends_D / k_D

        narrowest = 1 / (4 * np.maximum(width, np.sqrt(SMALLEST)) ** 2)  # sd of one step
        highest = np.clip(narrowest, 1.0, CONCENTRATIONS[1])
        return {"concentration": best_positive(slope, CONCENTRATIONS[0], highest)}

    def log_probability(self, block: Block, fitted: Parameters) -> Array:
        """See `Family`; -inf beyond the walls."""
        m, k = _unit_mean(block), fitted["concentration"]
        a, b = k * m, k * (1 - m)
        if block.lattice:
            start, end = _unit_bins(block)
            return _log_beta_bin((a, b), start, end)
        u = np.clip(_unit(block.x_ND, block), ON_WALL, 1 - ON_WALL)
        value = (a - 1) * np.log(u) + (b - 1) * np.log1p(-u) - special.betaln(a, b)
        value -= np.log(block.high_D - block.low_D)
        return np.where(block.beyond, -np.inf, value)


def _log_beta_bin(shape: tuple[Array, Array], start_ND: Array, end_ND: Array) -> Array:
    """Natural log of the Beta mass between two points of [0, 1], from the smaller tail."""
    a, b = shape
    flip = (start_ND + end_ND) / 2 > a / (a + b)
    a, b = np.where(flip, b, a), np.where(flip, a, b)
    low = np.where(flip, 1 - end_ND, start_ND)
    high = np.where(flip, 1 - start_ND, end_ND)
    mass = special.betainc(a, b, high) - special.betainc(a, b, low)
    return np.asarray(np.log(np.maximum(mass, TINY)))


class ContinuousBernoulli(Family):
    """Continuous Bernoulli between two walls, Loaiza-Ganem and Cunningham (2019); nothing fitted.

    In its natural parameter eta the density on [0, 1] is eta exp(eta u) / (exp(eta) - 1).
    """

    name = "continuous_bernoulli"
    parameters = ()

    def fit(self, block: Block) -> dict[str, Array]:
        """See `Family`."""
        del block
        return {}

    def log_probability(self, block: Block, fitted: Parameters) -> Array:
        """See `Family`; -inf beyond the walls."""
        del fitted
        eta = _natural_parameter(_unit_mean(block))
        if block.lattice:
            return _log_tilted_bin(eta, *_unit_bins(block))
        u = np.clip(_unit(block.x_ND, block), 0, 1)
        u, eta = np.where(eta > 0, 1 - u, u), -np.abs(eta)
        flat = eta > -NEARLY_FLAT
        steep = np.where(flat, -1.0, eta)
        height = np.where(flat, -eta / 2, np.log(steep / np.expm1(steep)))
        value = height + eta * u - np.log(block.high_D - block.low_D)
        return np.where(block.beyond, -np.inf, value)


def _log_tilted_bin(eta_ND: Array, start_ND: Array, end_ND: Array) -> Array:
    """Natural log of the mass of exp(eta u), normalised on [0, 1], between two points."""
    start = np.where(eta_ND > 0, 1 - end_ND, start_ND)
    width, eta = np.maximum(end_ND - start_ND, TINY), -np.abs(eta_ND)
    flat = eta > -NEARLY_FLAT
    steep = np.where(flat, -1.0, eta)
    share = np.log(np.expm1(steep * width) / np.expm1(steep))
    return np.asarray(eta * start + np.where(flat, np.log(width) + eta * (width - 1) / 2, share))


def _tilted_mean(eta: Array) -> tuple[Array, Array]:
    """Mean and variance of the continuous Bernoulli; a series near 0, where they cancel."""
    near = np.abs(eta) < 1e-2
    far = np.where(near, 1.0, np.abs(eta))
    upper = -1 / np.expm1(-far) - 1 / far
    mean = np.where(near, 0.5 + eta / 12 - eta**3 / 720, np.where(eta < 0, 1 - upper, upper))
    curved = 1 / (4 * np.sinh(np.minimum(far / 2, 300.0)) ** 2)
    variance = np.where(near, 1 / 12 - eta**2 / 240, 1 / far**2 - curved)
    return mean, variance


def _natural_parameter(mean_ND: Array) -> Array:
    """The eta whose continuous Bernoulli has this mean: looked up, then two Newton steps."""
    knots = np.sinh(np.linspace(-8.0, 8.0, 1025))  # to +-1490: beyond NEAR_WALL's 1000
    eta = np.interp(mean_ND, _tilted_mean(knots)[0], knots)
    for _ in range(2):
        mean, variance = _tilted_mean(eta)
        eta = eta + (mean_ND - mean) / variance
    return np.asarray(eta)
