"""What the losses of counts share: a log rate as raw output, counts as targets."""

import torch
from torch import Tensor

from hourglass.losses import Context, Loss

LEAST_LOG = -15.0  # of a rate over the mean: the gradient is none below


class CountLoss(Loss):
    """The raw output o is the rate over the column's mean: exp(o) below 0, (1 + o/2)^2 above.

    Both branches meet with value and slope 1, so training begins at the mean. Upwards this is the
    square root's link, in which the noise of counts is of one size; under the usual exp one row
    unlike the others is given a rate of thousands.

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
        above_BF = 2 * torch.log1p(raw_BF.clamp(min=0) / 2)
        return above_BF + raw_BF.clamp(LEAST_LOG, 0.0) + self.mean_F.log()

    def counts(self, target_BF: Tensor) -> Tensor:
        """Scaled targets as counts, (B, F)."""
        return (target_BF * self.unit_F + self.offset_F).round().clamp(min=0)

    def reconstruct(self, raw_BF: Tensor) -> Tensor:
        """The expected count, in scaled units, (B, F)."""
        return (self.log_rate(raw_BF).exp() - self.offset_F) / self.unit_F
