"""Negative binomial likelihood of counts: they scatter more than Poisson's."""

import torch
from torch import Tensor, nn

from hourglass.losses import Context, Domain, Range, ranges
from hourglass.losses._count import CountLoss

FIRST_LOG_SIZE = 1.0  # a variance of mean + mean^2 / 2.7: clearly more than Poisson's
LARGEST_LOG_SIZE = 10.0  # beyond it Poisson's, but for rounding errors of lgamma


class NegativeBinomial(CountLoss):
    """NB2 (Cameron & Trivedi 1986): mean mu, variance mu + mu^2 / size.

    The size of each feature is learned beside the network.
    """

    domain = Domain.COUNT
    scalers = ("standard", "unit", "robust")
    space = ranges(learning_rate=Range(1e-3, 3e-2, 1e-2))
    rank = 8
    assumes = "counts that scatter more than Poisson's (negative binomial)"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.log_size_F = nn.Parameter(torch.full((context.features,), FIRST_LOG_SIZE))

    @property
    def size(self) -> Tensor:
        """The learned size of each feature, (F,)."""
        return self.log_size_F.clamp(-LARGEST_LOG_SIZE, LARGEST_LOG_SIZE).exp().detach()

    def elementwise(self, raw_BF: Tensor, target_BF: Tensor) -> Tensor:
        """Negative log-likelihood in nats."""
        log_size_F = self.log_size_F.clamp(-LARGEST_LOG_SIZE, LARGEST_LOG_SIZE)
        size_F, log_rate_BF = log_size_F.exp(), self.log_rate(raw_BF)
        count_BF = self.counts(target_BF)
        log_both_BF = torch.logaddexp(log_rate_BF, log_size_F)
        orders = torch.lgamma(count_BF + size_F) - torch.lgamma(size_F) - torch.lgamma(count_BF + 1)
        log_p_BF = (
            orders + size_F * (log_size_F - log_both_BF) + count_BF * (log_rate_BF - log_both_BF)
        )
        return -log_p_BF


LOSS = NegativeBinomial
