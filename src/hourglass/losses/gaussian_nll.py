"""Gaussian likelihood with a learned scale of each feature."""

import math

from torch import Tensor

from hourglass.losses import Context, Domain, Loss, Range, ranges
from hourglass.losses._scale import LearnedScale

HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


class GaussianNLL(Loss):
    """(r/s)^2/2 + log s + log(2 pi)/2 with s of each feature learned beside the network.

    Unlike MSE it weighs each feature by how well it can be known.
    """

    domain = Domain.REAL
    scalers = ("standard", "unit", "robust")
    # A lower top than MSE's: once s is small, an overshooting step costs 1/s^2.
    space = ranges(learning_rate=Range(1e-3, 3e-2, 1e-2))
    rank = 6
    assumes = "Gaussian noise, of its own size in each feature"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.log_scale = LearnedScale(context)

    @property
    def scale(self) -> Tensor:
        """The learned s, in scaled units, (F,)."""
        log_s_F: Tensor = self.log_scale()
        return log_s_F.exp().detach()

    def reconstruct(self, raw_BF: Tensor) -> Tensor:
        """The raw output itself."""
        return raw_BF

    def elementwise(self, raw_BF: Tensor, target_BF: Tensor) -> Tensor:
        """Negative log-likelihood in nats."""
        log_s_F: Tensor = self.log_scale()
        unit_BF = (target_BF - raw_BF) * (-log_s_F).exp()
        return 0.5 * unit_BF.square() + (log_s_F + HALF_LOG_2PI)


LOSS = GaussianNLL
