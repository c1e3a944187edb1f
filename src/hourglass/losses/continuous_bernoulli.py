"""Continuous Bernoulli likelihood (Loaiza-Ganem & Cunningham 2019): a density on [0, 1]."""

import torch
from torch import Tensor

from hourglass.losses import Domain, Loss, Range, ranges

# Below this |raw| the closed forms cancel and their series are used; the first terms left out are
# raw^8/9676800 (1e-15 here) and raw^7/1209600 (1e-13).
NEAR_ZERO = 0.1


def log_partition(raw: Tensor) -> Tensor:
    """K(raw) = log of the integral of exp(raw x) over x in [0, 1] = log((e^raw - 1)/raw).

    In the terms of the paper (lambda = sigmoid(raw), its normaliser C): K = softplus(raw) - log C,
    log C = log a - log tanh(a/2), a = |raw|. This form keeps its digits for large a.
    """
    near = raw.abs() < NEAR_ZERO
    # The branch not taken must be finite too, or its gradient turns 0 * inf into NaN.
    size = torch.where(near, torch.ones_like(raw), raw).abs()
    far_value = raw.clamp_min(0) + (-torch.expm1(-size)).log() - size.log()
    square = raw.square() * near
    series = raw / 2 + square * (1 / 24 - square * (1 / 2880 - square / 181440))
    return torch.where(near, series, far_value)


def mean(raw: Tensor) -> Tensor:
    """Mean of the continuous Bernoulli, K'(raw) = 1/(1 - e^-raw) - 1/raw, in (0, 1)."""
    near = raw.abs() < NEAR_ZERO
    safe = torch.where(near, torch.ones_like(raw), raw)
    # 1/(1 - e^-raw) by way of |raw|, whose exponential can't overflow.
    tail = torch.exp(-safe.abs()) / -torch.expm1(-safe.abs())
    far_value = torch.where(safe > 0, 1 + tail, -tail) - 1 / safe
    odd = raw * near
    square = odd.square()
    series = 0.5 + odd * (1 / 12 - square * (1 / 720 - square / 30240))
    return torch.where(near, series, far_value)


class ContinuousBernoulli(Loss):
    """K(raw) - target raw, with the *mean* as reconstruction, which is not sigmoid(raw).

    As a density it may be negative, without bound for targets at 0 and 1.
    """

    domain = Domain.UNIT
    scalers = ("unit",)
    # Higher than BCE's: a mean of 0.01 takes raw = -100, where BCE takes -4.6.
    space = ranges(learning_rate=Range(2e-3, 6e-2, 2e-2))
    rank = 9
    assumes = "continuous Bernoulli data: any value in [0, 1], often near its ends"

    def reconstruct(self, raw_BF: Tensor) -> Tensor:
        """The mean of the continuous Bernoulli, in [0, 1]."""
        return mean(raw_BF)

    def elementwise(self, raw_BF: Tensor, target_BF: Tensor) -> Tensor:
        """Negative log-likelihood in nats."""
        return log_partition(raw_BF) - target_BF * raw_BF


LOSS = ContinuousBernoulli
