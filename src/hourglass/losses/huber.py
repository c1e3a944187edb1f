"""Huber's loss (Huber 1964): squared for small residuals, absolute for large ones."""

import torch
from torch import Tensor

from hourglass.errors import LossError
from hourglass.losses import Context, Domain, Loss, Range, ranges


class Huber(Loss):
    """r^2/2 where |r| <= d, else d (|r| - d/2); the gradient never exceeds d.

    Args:
        context: What is known of the data.
        delta: Where the loss turns from squared to absolute, in units of the residual scale:
            d = delta * residual scale. A d in the data's own units would mean something else for
            each data set; on [0, 1] data the customary d = 1 is MSE/2 and nothing else.

    Raises:
        LossError: d reaches the span of the data, so that no residual is ever treated as large.
    """

    domain = Domain.REAL
    scalers = ("standard", "unit", "robust")
    space = ranges(learning_rate=Range(1e-3, 5e-2, 1e-2), delta=Range(0.1, 3.0, 1.0))
    rank = 4
    assumes = "Gaussian noise with Laplace tails: a few outliers"

    def __init__(self, context: Context, delta: float) -> None:
        super().__init__(context)
        self.width = delta * context.scale
        if not 0 < self.width < context.span:
            raise LossError(
                f"huber: delta {delta:g} times the residual scale {context.scale:.3g} is "
                f"{self.width:.3g}, but the scaled data span only {context.span:.3g}: no residual "
                "would count as large and the loss would be exactly MSE/2; use 'mse', or keep "
                f"delta below {context.span / context.scale:.3g} "
                "(params.yaml: search.space.huber.delta)"
            )

    @classmethod
    def limits(cls, context: Context) -> dict[str, float]:
        """Delta stays well below the data's span: other rows may span less of their scale."""
        return {"delta": 0.8 * context.span / context.scale}

    @property
    def nats(self) -> float:
        """Its quadratic core is r^2 / 2."""
        return 1 / self.context.scale**2

    def reconstruct(self, raw_BF: Tensor) -> Tensor:
        """The raw output itself."""
        return raw_BF

    def elementwise(self, raw_BF: Tensor, target_BF: Tensor) -> Tensor:
        """Huber 1964, as c (|r| - c/2) with c = min(|r|, d), which needs no branch."""
        size_BF = (target_BF - raw_BF).abs()
        core_BF = torch.clamp(size_BF, max=self.width)
        return core_BF * (size_BF - 0.5 * core_BF)


LOSS = Huber
