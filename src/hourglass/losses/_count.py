"""What the losses of counts share: a log rate as raw output, counts as targets."""

import torch
from torch import Tensor

from hourglass.losses import Context, Loss

LARGEST_LOG = 15.0  # of a rate over the mean: beyond it exp leaves the range where steps are sane


class CountLoss(Loss):
    """The raw output is the log of the rate over the column's mean, so that training begins there.

    Targets come scaled; offset and unit of the context lead back to counts.
    """

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        ones_F = torch.ones(context.features)
        self.offset_F: Tensor
        self.unit_F: Tensor
        self.mean_F: Tensor
        self.register_buffer("offset_F", context.offset_F * ones_F)
        self.register_buffer("unit_F", context.unit_F * ones_F)
        self.register_buffer("mean_F", (context.mean_F * ones_F).clamp(min=1e-3))

    def log_rate(self, raw_BF: Tensor) -> Tensor:
        """Log of the expected count, (B, F)."""
        return raw_BF.clamp(-LARGEST_LOG, LARGEST_LOG) + self.mean_F.log()

    def counts(self, target_BF: Tensor) -> Tensor:
        """Scaled targets as counts, (B, F)."""
        return (target_BF * self.unit_F + self.offset_F).round().clamp(min=0)

    def reconstruct(self, raw_BF: Tensor) -> Tensor:
        """The expected count, in scaled units, (B, F)."""
        return (self.log_rate(raw_BF).exp() - self.offset_F) / self.unit_F
