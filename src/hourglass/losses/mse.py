"""Mean squared error: the likelihood of Gaussian noise with one scale for all features."""

from torch import Tensor

from hourglass.losses import Domain, Loss, Range, ranges


class MeanSquaredError(Loss):
    """r^2 of the residual r = target - raw."""

    domain = Domain.REAL
    scalers = ("standard", "unit", "robust")
    space = ranges(learning_rate=Range(1e-3, 5e-2, 1e-2))
    rank = 0
    assumes = "Gaussian noise, the same in all features"

    @property
    def nats(self) -> float:
        """Gaussian noise: r^2 / (2 s^2)."""
        return 1 / (2 * self.context.scale**2)

    def reconstruct(self, raw_BF: Tensor) -> Tensor:
        """The raw output itself."""
        return raw_BF

    def elementwise(self, raw_BF: Tensor, target_BF: Tensor) -> Tensor:
        """r^2."""
        return (target_BF - raw_BF).square()


LOSS = MeanSquaredError
