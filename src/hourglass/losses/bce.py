"""Binary cross-entropy from logits: the likelihood of Bernoulli data."""

from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from hourglass.losses import Domain, Loss, Range, ranges


class BinaryCrossEntropy(Loss):
    """softplus(raw) - target raw, with reconstruction sigmoid(raw).

    It is computed from the logits: log(sigmoid(raw)) is -inf below about -104 in float32. For
    targets between 0 and 1 the floor is their entropy, not 0.
    """

    domain = Domain.UNIT
    scalers = ("unit",)
    space = ranges(learning_rate=Range(1e-3, 5e-2, 1e-2))
    rank = 1
    assumes = "Bernoulli data: yes or no, or the probability of yes"

    def reconstruct(self, raw_BF: Tensor) -> Tensor:
        """The mean of the Bernoulli distribution, in [0, 1]."""
        return raw_BF.sigmoid()

    def elementwise(self, raw_BF: Tensor, target_BF: Tensor) -> Tensor:
        """Negative log-likelihood in nats."""
        return binary_cross_entropy_with_logits(raw_BF, target_BF, reduction="none")


LOSS = BinaryCrossEntropy
