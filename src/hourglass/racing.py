"""Which losses a search need not spend more on: those that are clearly behind.

This is no verdict. The rows of one fit share its luck, so that a test over them calls differences
real which another seed reverses (see `hourglass.verdict`), and the hyperparameters are still being
searched. A loss is therefore dropped only if it is behind on the rows beyond doubt *and* by more
than a search of this length can be expected to make good.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hourglass.verdict import judge

ALPHA = 0.01  # of a false "behind" on these rows, over all losses of one decision
LEAD = 0.05  # bits: what is less, another seed may reverse


@dataclass(frozen=True)
class Racer:
    """Where one loss stands.

    Attributes:
        values: Objective of each trial in the order of proposal; None where it has none.
        parts: That of the best trial on parts of the validation rows, the same for all losses.
    """

    values: Sequence[float | None]
    parts: Sequence[float]

    def gain(self) -> float:
        """By how much the second half of the trials improved on the first, in bits."""
        half = [v for v in self.values[: len(self.values) // 2] if v is not None]
        every = [v for v in self.values if v is not None]
        return min(half) - min(every) if half else math.inf


@dataclass(frozen=True)
class Drop:
    """Why a loss is dropped.

    Attributes:
        loss: Its name.
        trials: How many it had.
        leader: The loss that leads.
        difference: How far its best trial is behind the leader's, in bits.
        low: Of an interval for that, over parts of the rows.
        high: Likewise.
    """

    loss: str
    trials: int
    leader: str
    difference: float
    low: float
    high: float

    def __str__(self) -> str:
        return (
            f"dropped after {self.trials} trials: {self.difference:.3f} "
            f"({self.low:.3f} to {self.high:.3f}) bits behind {self.leader}"
        )


def clearly_behind(racers: Mapping[str, Racer]) -> list[Drop]:
    """The losses to drop now.

    A loss is dropped if the verdict's test, over parts of the validation rows, calls it worse at
    `ALPHA`, and if the lower end of its interval is beyond both `LEAD` and what the second half of
    the trials so far gained on the first, for whichever loss gained most: trials bring ever less,
    so that as many again will hardly bring more.

    Args:
        racers: Loss -> where it stands after the same number of trials; losses without a finished
            trial don't take part.
    """
    if len(racers) < 2:
        return []
    within = max(LEAD, *(r.gain() for r in racers.values()))
    if not math.isfinite(within):
        return []
    ranks = dict.fromkeys(racers, 0)
    decision = judge({n: r.parts for n, r in racers.items()}, ranks, ALPHA, within)
    return [
        Drop(
            s.loss,
            len(racers[s.loss].values),
            decision.leader,
            s.difference,
            s.difference_low,
            s.difference_high,
        )
        for s in decision.standings
        if s.verdict == "worse" and s.difference_low > within
    ]
