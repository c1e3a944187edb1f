"""Several losses over one network: each kind of column has its own."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from hourglass.losses import Loss


@dataclass(frozen=True)
class Head:
    """The columns that one loss serves.

    Attributes:
        loss: Over these columns.
        at_F: Their positions among the features.
        at_W: Their positions in the raw output.
    """

    loss: Loss
    at_F: Sequence[int]
    at_W: Sequence[int]


class Heads(nn.Module):
    """Adds the losses up in nats, so that none outweighs the others by its unit.

    Args:
        heads: Each feature and each raw output belongs to just one.
    """

    nats = 1.0

    def __init__(self, heads: Sequence[Head]) -> None:
        super().__init__()
        self.losses = nn.ModuleList([head.loss for head in heads])
        places = [(torch.tensor(head.at_F), torch.tensor(head.at_W)) for head in heads]
        for i, (at_F, at_W) in enumerate(places):
            self.register_buffer(f"features_{i}", at_F, persistent=False)
            self.register_buffer(f"outputs_{i}", at_W, persistent=False)
        order_W = torch.cat([at_W for _, at_W in places]).argsort()
        self.order_W: Tensor
        self.register_buffer("order_W", order_W, persistent=False)

    def parts(self) -> list[tuple[Loss, Tensor, Tensor]]:
        """Each loss with the features and the raw outputs that it serves."""
        return [
            (cast(Loss, loss), getattr(self, f"features_{i}"), getattr(self, f"outputs_{i}"))
            for i, loss in enumerate(self.losses)
        ]

    def reconstruct(self, raw_BW: Tensor) -> Tensor:
        """What the raw output stands for, in scaled units, (B, W); levels: probabilities."""
        parts = [loss.reconstruct(raw_BW[:, at_W]) for loss, _, at_W in self.parts()]
        return torch.cat(parts, dim=1)[:, self.order_W]

    def forward(self, raw_BW: Tensor, target_BF: Tensor) -> Tensor:
        """Nats of each row: the mean over its observed features, (B,)."""
        total_B, count_B = target_BF.new_zeros(len(target_BF)), target_BF.new_zeros(len(target_BF))
        for loss, at_F, at_W in self.parts():
            sum_B, seen_B = loss.summed(raw_BW[:, at_W], target_BF[:, at_F])
            total_B = total_B + loss.nats * sum_B
            count_B = count_B + seen_B
        return total_B / count_B.clamp(min=1)
