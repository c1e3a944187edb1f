"""Student-t likelihood with a learned scale of each feature and a learned heaviness of tails."""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from hourglass.losses import Context, Domain, Loss, Range, ranges
from hourglass.losses._scale import LearnedScale

FIRST_NU = 5.0  # clearly heavier than Gauss (nu > 30), with a finite kurtosis


class StudentT(Loss):
    """-log t_nu(r/s) + log s with s of each feature and one nu > 1 learned beside the network.

    nu = 1 + softplus(raw_nu). Where nu grows the loss becomes `gaussian_nll`; near nu = 1 a single
    far value has next to no weight.
    """

    domain = Domain.REAL
    scalers = ("standard", "robust", "unit")
    # As gaussian_nll: a lower top, since s may become small.
    space = ranges(learning_rate=Range(1e-3, 3e-2, 1e-2))
    rank = 7
    assumes = "heavy-tailed (Student-t) noise, of its own size in each feature"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.log_scale = LearnedScale(context)
        self.raw_nu = nn.Parameter(torch.tensor(math.log(math.expm1(FIRST_NU - 1))))

    @property
    def scale(self) -> Tensor:
        """The learned s, in scaled units, (F,)."""
        log_s_F: Tensor = self.log_scale()
        return log_s_F.exp().detach()

    @property
    def nu(self) -> Tensor:
        """The learned degrees of freedom, above 1."""
        return (1 + softplus(self.raw_nu)).detach()

    def reconstruct(self, raw_BF: Tensor) -> Tensor:
        """The raw output itself."""
        return raw_BF

    def elementwise(self, raw_BF: Tensor, target_BF: Tensor) -> Tensor:
        """Negative log-likelihood in nats."""
        nu: Tensor = 1 + softplus(self.raw_nu)
        log_s_F: Tensor = self.log_scale()
        log_norm = torch.lgamma((nu + 1) / 2) - torch.lgamma(nu / 2) - 0.5 * (nu * math.pi).log()
        unit_BF = (target_BF - raw_BF) * (-log_s_F).exp()
        return 0.5 * (nu + 1) * torch.log1p(unit_BF.square() / nu) + (log_s_F - log_norm)


LOSS = StudentT
