"""Watches a fit epoch by epoch: whether it goes on, and which epoch's weights it keeps.

The ruler is `val_gauss_bits` of the learning curve, which compares across losses and scalers. What
is said follows from the bits of the epochs so far and from `Watch`, on nothing else.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

LEAST_GAIN = 0.001  # bits: a fifth of what params.yaml calls of no practical weight


@dataclass(frozen=True)
class Watch:
    """When a fit ends before its last epoch.

    Attributes:
        bars: Epoch -> the most bits with which a fit goes on; one with more is pruned there.
        patience: Epochs without a gain of `LEAST_GAIN` bits after which a fit ends; its best epoch
            is then what it learned. 0: all epochs are run, and the last one is kept.
    """

    bars: Mapping[int, float] = field(default_factory=dict)
    patience: int = 0

    def prunes(self, epoch: int, bits: float) -> bool:
        """Whether a fit with so many bits after `epoch` goes no further; NaN is too many.

        Since a pruned fit ends there, the last point of a curve tells whether it was pruned.
        """
        return epoch in self.bars and not bits <= self.bars[epoch]


class Watcher:
    """Follows one fit.

    Args:
        watch: When it ends.
    """

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._epoch = 0
        self._best = math.inf
        self._mark = math.inf  # the bits that count as the last gain, and their epoch
        self._marked = 0
        self.keep = False
        self.stop = False

    def see(self, bits: float) -> None:
        """Takes in the next epoch: then `keep` and `stop` speak of it."""
        self._epoch += 1
        self.keep = self._watch.patience > 0 and bits < self._best
        if bits < self._best:
            self._best = bits
        if bits < self._mark - LEAST_GAIN:
            self._mark, self._marked = bits, self._epoch
        tired = 0 < self._watch.patience <= self._epoch - self._marked
        self.stop = tired or self._watch.prunes(self._epoch, bits)
