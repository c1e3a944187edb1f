"""Poisson likelihood of counts: their variance is their mean."""

import torch
from torch import Tensor

from hourglass.losses import Domain, Range, ranges
from hourglass.losses._count import CountLoss


class Poisson(CountLoss):
    """rate - count log(rate) + log(count!), with the rate positive by construction."""

    domain = Domain.COUNT
    scalers = ("standard", "unit", "robust")
    space = ranges(learning_rate=Range(1e-3, 3e-2, 1e-2))
    rank = 3
    assumes = "counts whose variance is their mean (Poisson)"

    def elementwise(self, raw_BF: Tensor, target_BF: Tensor) -> Tensor:
        """Negative log-likelihood in nats."""
        log_rate_BF, count_BF = self.log_rate(raw_BF), self.counts(target_BF)
        return log_rate_BF.exp() - count_BF * log_rate_BF + torch.lgamma(count_BF + 1)


LOSS = Poisson
