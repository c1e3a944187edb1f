"""Stops a search that mostly fails, with its causes: a budget that is lost compares nothing."""

import re
from collections import Counter

from hourglass.errors import TrainingError

NUMBERS = re.compile(r"[-+]?\d[\d.e+-]*")  # causes that differ in them alone are one


class Failures:
    """Counts trials and causes of failures, loss by loss.

    Args:
        round_size: Trials of a round: shares are looked at where one ends.
        total: Trials of each loss; with the last one its last round ends.
        allowed: The share of failed trials, 0 to 1, that a loss may have.
    """

    def __init__(self, round_size: int, total: int, allowed: float) -> None:
        self._round_size = round_size
        self._total = total
        self._allowed = allowed
        self._causes: dict[str, list[str]] = {}

    def add(self, loss: str, cause: str) -> None:
        """Counts a finished trial.

        Args:
            loss: Its loss.
            cause: Why it failed; empty if it did not.

        Raises:
            TrainingError: more trials of the loss have failed than are allowed.
        """
        own = self._causes.setdefault(loss, [])
        own.append(cause)
        failed = sum(map(bool, own))
        at_an_end = len(own) % self._round_size == 0 or len(own) == self._total
        if at_an_end and failed > self._allowed * len(own):
            raise TrainingError(
                f"{failed} of {len(own)} trials of {loss} failed, a larger share than "
                f"params.yaml: search.max_failed_share {self._allowed:g}:\n{self._table()}\n"
                "Narrow the ranges (search.space), leave the loss out (search.losses), or allow "
                "more: a loss with hardly a trial that came through is then compared all the same"
            )

    def _table(self) -> str:
        width = max(map(len, self._causes))
        lines = []
        for loss, own in self._causes.items():
            kinds = Counter(NUMBERS.sub("#", cause) for cause in own if cause)
            for kind, count in kinds.most_common():
                first = next(cause for cause in own if NUMBERS.sub("#", cause) == kind)
                such = f" (the first of {count})" if count > 1 else ""
                lines.append(f"  {loss:{width}}  {count} of {len(own)}  {first}{such}")
        return "\n".join(lines)
