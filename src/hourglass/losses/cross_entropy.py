"""Cross-entropy over the levels of categorical columns, from logits."""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from hourglass.losses import Context, Domain, Loss, Range, ranges


class CrossEntropy(Loss):
    """-log softmax(raw)[level]; each column has a raw output for each of its levels.

    Targets are codes. The code that stands for levels which training rows lack is no target: no
    output is its own, so it counts as not observed.
    """

    domain = Domain.LEVELS
    scalers = ("standard", "unit", "robust")
    space = ranges(learning_rate=Range(1e-3, 5e-2, 1e-2))
    rank = 10
    assumes = "levels without order"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._levels = list(context.levels)

    def seen(self, target_BF: Tensor) -> Tensor:
        """Which targets are levels of the training rows, (B, F)."""
        return target_BF < torch.tensor(self._levels, device=target_BF.device)  # NaN is not

    def reconstruct(self, raw_BW: Tensor) -> Tensor:
        """Probability of each level, (B, W)."""
        return torch.cat([part.softmax(dim=1) for part in self._parts(raw_BW)], dim=1)

    def _parts(self, raw_BW: Tensor) -> tuple[Tensor, ...]:
        """The raw outputs of each column."""
        return torch.split(raw_BW, self._levels, dim=1)

    def elementwise(self, raw_BW: Tensor, target_BF: Tensor) -> Tensor:
        """Negative log-likelihood in nats, (B, F)."""
        code_BF = target_BF.long()
        losses = [
            cross_entropy(part, code_BF[:, f], reduction="none")
            for f, part in enumerate(self._parts(raw_BW))
        ]
        return torch.stack(losses, dim=1)

    def forward(self, raw_BW: Tensor, target_BF: Tensor) -> Tensor:
        """One value per row: the mean over its columns with a known level, (B,)."""
        sum_B, count_B = self.summed(raw_BW, target_BF)
        return sum_B / count_B.clamp(min=1)


LOSS = CrossEntropy
