"""Log-cosh: a smooth Huber loss, the likelihood of hyperbolic secant noise."""

import math

from torch import Tensor
from torch.nn.functional import softplus

from hourglass.losses import Context, Domain, Loss, Range, ranges


class LogCosh(Loss):
    """d^2 log cosh(r/d): near r^2/2 for |r| << d, near d |r| for |r| >> d; |gradient| <= d.

    Args:
        context: What is known of the data.
        scale: Where the loss turns from squared to absolute, in units of the residual scale:
            d = scale * residual scale.
    """

    domain = Domain.REAL
    scalers = ("standard", "unit", "robust")
    space = ranges(learning_rate=Range(1e-3, 5e-2, 1e-2), scale=Range(0.1, 3.0, 1.0))
    rank = 5
    assumes = "hyperbolic secant noise: between Gauss and Laplace"

    def __init__(self, context: Context, scale: float) -> None:
        super().__init__(context)
        self.width = scale * context.scale

    @property
    def nats(self) -> float:
        """Its quadratic core is r^2 / 2."""
        return 1 / self.context.scale**2

    def reconstruct(self, raw_BF: Tensor) -> Tensor:
        """The raw output itself."""
        return raw_BF

    def elementwise(self, raw_BF: Tensor, target_BF: Tensor) -> Tensor:
        """Log cosh u = |u| + softplus(-2|u|) - log 2: cosh itself overflows past |u| = 89."""
        size_BF = (target_BF - raw_BF).abs() / self.width
        return self.width**2 * (size_BF + softplus(-2 * size_BF) - math.log(2))


LOSS = LogCosh
