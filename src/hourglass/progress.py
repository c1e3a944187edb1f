"""Shows how far a long stage is: a live table on a terminal, now and then a line elsewhere."""

import logging
import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

log = logging.getLogger(__name__)


class Board:
    """Counts finished fits, keeps the best of each loss, and estimates the time left.

    Args:
        title: What is counted, e.g. "search".
        total: For each loss the number of fits it will have.
        unit: What the shown value is, e.g. "bits per feature".
        quiet: Show nothing: another process shows the same.
    """

    def __init__(
        self, title: str, total: dict[str, int], unit: str, *, quiet: bool = False
    ) -> None:
        self._quiet = quiet
        self._on_terminal = sys.stderr.isatty() and not quiet
        self._total = dict(total)
        self._title = title
        self._unit = unit
        self._done = dict.fromkeys(total, 0)
        self._failed = dict.fromkeys(total, 0)
        self._pruned = dict.fromkeys(total, 0)
        self._best: dict[str, float] = {}
        self._start = time.monotonic()
        self._earlier = 0
        self._said = 0
        self._console = Console(stderr=True)
        self._bar = Progress(
            TextColumn(title),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self._console,
        )
        self._task = self._bar.add_task(title, total=sum(total.values()))
        self._live = Live(self._view(), console=self._console, refresh_per_second=4)

    def __enter__(self) -> Self:
        if self._on_terminal:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._on_terminal:
            self._live.stop()

    def done(
        self,
        loss: str,
        value: float | None,
        *,
        earlier: bool = False,
        pruned: bool = False,
        compares: bool = True,
    ) -> None:
        """Counts a finished fit of `loss`.

        Args:
            loss: Its loss.
            value: None if it failed or was pruned.
            earlier: Whether an earlier run finished it: then it says nothing of the time left.
            pruned: Whether it was pruned.
            compares: Whether its value stands beside the others; not where its bottleneck differs.
        """
        self._done[loss] += 1
        if pruned:
            self._pruned[loss] += 1
        elif value is None:
            self._failed[loss] += 1
        elif compares:
            self._best[loss] = min(value, self._best.get(loss, value))
        self._bar.advance(self._task)
        if earlier:
            self._earlier, self._start = sum(self._done.values()), time.monotonic()
            self._bar.reset(self._task, completed=self._earlier)
        if self._on_terminal:
            self._live.update(self._view())
        elif not earlier:
            self._say()

    def ends(self, loss: str) -> None:
        """Expects no further fits of `loss`."""
        self._total[loss] = self._done[loss]
        self._bar.update(self._task, total=sum(self._total.values()))
        if self._on_terminal:
            self._live.update(self._view())

    def _view(self) -> Group:
        heads = ("loss", "done", f"best ({self._unit})", "pruned", "failed")
        table = Table(*heads, box=None, pad_edge=False)
        leader = min(self._best, key=lambda k: self._best[k], default="")
        for loss, total in self._total.items():
            best = f"{self._best[loss]:.4f}" if loss in self._best else "-"
            style = "bold" if loss == leader else ""
            ended = (str(n[loss] or "") for n in (self._pruned, self._failed))
            table.add_row(loss, f"{self._done[loss]}/{total}", best, *ended, style=style)
        return Group(table, self._bar)

    def _say(self) -> None:
        """A line at every tenth of the way."""
        done, total = sum(self._done.values()), sum(self._total.values())
        if self._quiet or done * 10 // total == self._said:
            return
        self._said = done * 10 // total
        elapsed = time.monotonic() - self._start
        left = elapsed / (done - self._earlier) * (total - done)
        pruned = sum(self._pruned.values())
        ended = f" ({pruned} pruned)" if pruned else ""
        best = ", ".join(f"{k} {v:.3f}" for k, v in sorted(self._best.items(), key=lambda i: i[1]))
        log.info(
            "%s: %d/%d%s, about %.0f s left; best fit so far: %s",
            self._title,
            done,
            total,
            ended,
            left,
            best,
        )
