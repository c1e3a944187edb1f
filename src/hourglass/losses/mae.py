"""Mean absolute error: the likelihood of Laplace noise with one scale for all features."""

from torch import Tensor

from hourglass.losses import Domain, Loss, Range, ranges


class MeanAbsoluteError(Loss):
    """|r| of the residual r = target - raw."""

    domain = Domain.REAL
    scalers = ("standard", "unit", "robust")
    # A lower top than MSE's: the gradient of |r| does not fade as the residual does.
    space = ranges(learning_rate=Range(3e-4, 2e-2, 3e-3))
    rank = 2
    assumes = "Laplace noise, the same in all features"

    def reconstruct(self, raw_BF: Tensor) -> Tensor:
        """The raw output itself."""
        return raw_BF

    def elementwise(self, raw_BF: Tensor, target_BF: Tensor) -> Tensor:
        """|r|."""
        return (target_BF - raw_BF).abs()


LOSS = MeanAbsoluteError
