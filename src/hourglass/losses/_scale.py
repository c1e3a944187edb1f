"""The learned noise scale of each feature, for the losses that are likelihoods with a scale."""

import torch
from torch import Tensor, nn

from hourglass.losses import TINY, Context


class LearnedScale(nn.Module):
    """Gives log s of each feature, shape (F,), with s never below the feature's resolution.

    s^2 = exp(2 theta) + floor^2. The floor is smooth, so that the gradient lives on both
    sides of it; without a floor the likelihood of a constant feature runs to infinity.

    Args:
        context: The first s is its residual scale; the floor is its resolution, at least `TINY`.
    """

    def __init__(self, context: Context) -> None:
        super().__init__()
        floor_F = torch.as_tensor(context.resolution_F, dtype=torch.get_default_dtype())
        floor_F = floor_F.expand(context.features).clamp_min(TINY)
        free_F = (context.scale**2 - floor_F**2).clamp_min(0.0).sqrt()
        start_F = torch.maximum(free_F, floor_F).log()
        self.theta_F = nn.Parameter(start_F)
        self.log_floor_F: Tensor
        self.register_buffer("log_floor_F", floor_F.log())

    def forward(self) -> Tensor:
        """Log s of each feature, (F,)."""
        return 0.5 * torch.logaddexp(2 * self.theta_F, 2 * self.log_floor_F)
