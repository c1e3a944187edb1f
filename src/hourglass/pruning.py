"""How far a trial must have come to go on: thresholds from the curves of finished trials.

The curve is `val_gauss_bits`, which compares across trials whatever their scaler. All trials that
reached an epoch count there, pruned ones too: a threshold over survivors alone would tighten with
each round until nothing passed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# Pruner -> shares of the epochs at which it looks, and the share of trials that goes on. While the
# learning rate is high the curve says little of how a trial ends: before a half of the epochs the
# median prunes winners, before a third halving does (docs/decisions/0064).
# halving: successive halving (Jamieson & Talwalkar 2016) with eta = 3 and a third of the epochs as
# the least that each trial gets, by thresholds from earlier trials as in ASHA (Li et al. 2020).
RULES = {
    "none": ((), 1.0),
    "median": ((1 / 2, 3 / 4), 1 / 2),
    "halving": ((1 / 3,), 1 / 3),
}


@dataclass(frozen=True)
class Pruner:
    """A rule for fits of one length.

    Attributes:
        rungs: Epochs at which it looks; none: nothing is pruned.
        share: Of the trials seen so far at a rung, those whose like goes on.
    """

    rungs: tuple[int, ...] = ()
    share: float = 1.0

    def bars(self, curves: Sequence[Sequence[float]]) -> dict[int, float]:
        """Rung -> the most bits with which a trial goes on.

        Args:
            curves: Of finished trials, bits of each epoch, as long as each of them went on.
        """
        found = {}
        for rung in self.rungs:
            reached = np.array([c[rung - 1] for c in curves if len(c) >= rung])
            reached = reached[np.isfinite(reached)]
            if len(reached):
                found[rung] = float(np.quantile(reached, self.share))
        return found


def pruner(name: str, epochs: int) -> Pruner:
    """The rule `name` of params.yaml for fits of so many epochs."""
    shares, share = RULES[name]
    rungs = dict.fromkeys(round(s * epochs) for s in shares)
    return Pruner(tuple(r for r in rungs if 0 < r < epochs), share)
