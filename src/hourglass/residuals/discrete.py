"""Residual families of columns with few or whole values: Bernoulli, Poisson, negative binomial.

Shapes: N rows, D columns. Probabilities over the levels of a column sum to one: where it has
walls, the end levels take what lies beyond.
"""

from collections.abc import Callable

import numpy as np
from scipy import special

from hourglass.residuals import TINY, Block, Family, Mask, Parameters, best_positive
from hourglass.schema import Array

SURE = (
    1e-3  # reconstructions of two levels are kept this far inside (0, 1); Platt's slope can sharpen
)
STARTS = (0.3, 0.1, 0.0)  # slopes besides 1: where a model is surer than right, 1 is all but flat
RIDGE = 0.01  # of Platt's slope towards 1 and intercept towards 0: separable data stay finite
LEAST_RATE = 0.01  # mean of a count whose reconstruction is lower or negative
SIZES = (1e-3, 1e6)  # of a negative binomial; at 1e6 it is Poisson


class Bernoulli(Family):
    """Two levels; the logit of the reconstruction is recalibrated by slope and intercept.

    Platt (1999), with a ridge instead of his smoothed targets.
    """

    name = "bernoulli"
    parameters = ("slope", "intercept")

    def fit(self, block: Block) -> dict[str, Array]:
        """See `Family`: Newton steps, halved while they do not descend."""
        logit, up = _logit(block), block.at_high
        slope, best = _start(block, logit, up)
        intercept = np.zeros_like(slope)
        for _ in range(30):
            step = _newton_step(block, logit, up, (slope, intercept))
            size = np.ones_like(slope)
            for _ in range(8):
                moved = slope - size * step[0], intercept - size * step[1]
                loss = _platt_loss(block, logit * moved[0] + moved[1], up) * block.count
                loss += RIDGE / 2 * ((moved[0] - 1) ** 2 + moved[1] ** 2)
                worse = loss > best
                if not np.any(worse):
                    break
                size = np.where(worse, size / 2, size)
            slope = np.where(worse, slope, moved[0])
            intercept = np.where(worse, intercept, moved[1])
            gain = best - loss
            best = np.where(worse, best, loss)
            if np.all(gain < 1e-10 * block.count):
                break
        return {"slope": slope, "intercept": intercept}

    def log_probability(self, block: Block, fitted: Parameters) -> Array:
        """See `Family`."""
        score = fitted["slope"] * _logit(block) + fitted["intercept"]
        return -np.logaddexp(0.0, np.where(block.at_high, -score, score))


def _logit(block: Block) -> Array:
    share = (block.m_ND - block.low_D) / (block.high_D - block.low_D)
    return np.asarray(special.logit(np.clip(share, SURE, 1 - SURE)))


def _start(block: Block, logit_ND: Array, up_ND: Mask) -> tuple[Array, Array]:
    """The slope of each column that Newton's steps begin at, and the ridged loss there, (D,)."""
    slope = np.ones_like(block.low_D)
    best = _platt_loss(block, logit_ND, up_ND) * block.count
    for other in STARTS:
        loss = _platt_loss(block, logit_ND * other, up_ND) * block.count
        loss += RIDGE / 2 * (other - 1) ** 2
        slope, best = np.where(loss < best, other, slope), np.minimum(loss, best)
    return slope, best


def _platt_loss(block: Block, score_ND: Array, up_ND: Mask) -> Array:
    return block.mean(np.logaddexp(0.0, np.where(up_ND, -score_ND, score_ND)))


def _newton_step(
    block: Block, logit_ND: Array, up_ND: Mask, at: tuple[Array, Array]
) -> tuple[Array, Array]:
    """Newton's step of the ridged logistic loss in slope and intercept, each (D,)."""
    slope, intercept = at
    p = special.expit(logit_ND * slope + intercept)
    error = np.where(block.seen_ND, p - up_ND, 0.0)
    weight = np.where(block.seen_ND, p * (1 - p), 0.0)
    down_slope = (error * logit_ND).sum(axis=0) + RIDGE * (slope - 1)
    down_intercept = error.sum(axis=0) + RIDGE * intercept
    ss = (weight * logit_ND**2).sum(axis=0) + RIDGE
    si = (weight * logit_ND).sum(axis=0)
    ii = weight.sum(axis=0) + RIDGE
    size = ss * ii - si**2
    return (
        (ii * down_slope - si * down_intercept) / size,
        (ss * down_intercept - si * down_slope) / size,
    )


class Poisson(Family):
    """Counts whose mean is the reconstruction; nothing fitted."""

    name = "poisson"
    parameters = ()

    def fit(self, block: Block) -> dict[str, Array]:
        """See `Family`."""
        del block
        return {}

    def log_probability(self, block: Block, fitted: Parameters) -> Array:
        """See `Family`."""
        del fitted
        x, rate = np.rint(block.x_ND), np.maximum(block.m_ND, LEAST_RATE)
        value = np.asarray(special.xlogy(x, rate) - rate - special.gammaln(x + 1), np.float64)
        return _with_tails(
            block,
            value,
            lambda at, level: np.asarray(special.gammaincc(level + 1, rate[at])),
            lambda at, level: np.asarray(special.gammainc(level, rate[at])),
        )


class NegativeBinomial(Family):
    """Counts with mean m, the reconstruction, and variance m + m^2 / size; the size is fitted."""

    name = "negative_binomial"
    parameters = ("size",)

    def fit(self, block: Block) -> dict[str, Array]:
        """See `Family`."""
        x, m = np.rint(block.x_ND), np.maximum(block.m_ND, LEAST_RATE)

        def slope(k_D: Array) -> Array:
            rise = special.digamma(x + k_D) - special.digamma(k_D)
            return block.mean(rise - np.log1p(m / k_D) + (m - x) / (k_D + m))

        return {"size": best_positive(slope, SIZES[0], np.full_like(block.low_D, SIZES[1]))}

    def log_probability(self, block: Block, fitted: Parameters) -> Array:
        """See `Family`."""
        x, m = np.rint(block.x_ND), np.maximum(block.m_ND, LEAST_RATE)
        k = np.broadcast_to(fitted["size"], x.shape)
        orders = special.gammaln(x + k) - special.gammaln(k) - special.gammaln(x + 1)
        value = orders - k * np.log1p(m / k) - special.xlogy(x, 1 + k / m)
        share = m / (k + m)
        return _with_tails(
            block,
            np.asarray(value, np.float64),
            lambda at, level: _beta_cdf(k[at], level + 1, 1 - share[at]),
            lambda at, level: _beta_cdf(level, k[at], share[at]),
        )


def _beta_cdf(a: Array, b: Array, u: Array) -> Array:
    return np.asarray(special.betainc(a, b, u), np.float64)


Tail = Callable[[Mask, Array], Array]


def _with_tails(block: Block, value_ND: Array, up_to: Tail, from_on: Tail) -> Array:
    """Replaces the log probability of end levels by that of the whole tail.

    Args:
        block: The columns; their lowest level is at least 0.
        value_ND: Natural log of the probability of each count alone.
        up_to: P(count <= level) at the entries marked by its first argument.
        from_on: P(count >= level), level > 0.
    """
    x = np.rint(block.x_ND)
    value = value_ND.copy()
    low = block.at_low & (x > 0)
    if np.any(low):
        value[low] = np.log(np.maximum(up_to(low, x[low]), TINY))
    high = block.at_high & (x > 0)
    if np.any(high):
        value[high] = np.log(np.maximum(from_on(high, x[high]), TINY))
    both = block.at_low & block.at_high
    value[both] = 0.0
    return value
