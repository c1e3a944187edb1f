"""Mean absolute error: the likelihood of Laplace noise with one scale for all features."""

from torch import Tensor

from hourglass.losses import Domain, Loss, Range, ranges


class MeanAbsoluteError(Loss):
    """|r| of the residual r = target - raw."""

    domain = Domain.REAL
    scalers = ("standard", "unit", "robust")
    space = ranges(learning_rate=Range(1e-3, 5e-2, 1e-2))
    rank = 2
    assumes = "Laplace noise, the same in all features"

    @property
    def nats(self) -> float:
        """Laplace noise: |r| / b."""
        return 1 / self.context.scale

    def reconstruct(self, raw_BF: Tensor) -> Tensor:
        """The raw output itself."""
        return raw_BF

    def elementwise(self, raw_BF: Tensor, target_BF: Tensor) -> Tensor:
        """|r|."""
        return (target_BF - raw_BF).abs()


LOSS = MeanAbsoluteError
