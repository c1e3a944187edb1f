"""Feeds rows to the training loop in slices: shuffled once an epoch, several batches a call.

Shapes: N rows, B rows of a global batch, F features.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

# Optimiser steps in one call of Lightning's training_step, whose fixed cost is that of some small
# steps: so many make it vanish.
STEPS_A_CALL = 64
# Rows on disk are read in runs of so many consecutive ones, and shuffled in pools of so many bytes:
# single rows would cost a page of the disk each.
RUN_ROWS = 1024
POOL_BYTES = 1 << 26


class Batch(NamedTuple):
    """This process's share of one global batch; a tuple, which Lightning can convert to 64-true.

    Attributes:
        rows_BF: Its rows; every `world`-th of the global batch.
        weight: Factor that turns the sum over these rows into a share of the global mean, such
            that averaging over processes (as DDP does) gives the mean over the global batch.
        count_B: How much each row counts, 1 on average; None: all the same.
    """

    rows_BF: Tensor
    weight: float
    count_B: Tensor | None = None


@dataclass(frozen=True)
class Feed:
    """Training rows, in memory or on disk.

    Attributes:
        rows_NF: float32; a memory map is read anew each epoch.
        count_N: How much each row counts, 1 on average; None: all the same.
        device: Where batches from disk go; None: the CPU.
    """

    rows_NF: Tensor | NDArray[np.float32]
    count_N: Tensor | None = None
    device: torch.device | None = None

    @property
    def count(self) -> int:
        """N."""
        return len(self.rows_NF)

    def on(self, device: torch.device) -> "Feed":
        """The same for another device; what is in memory moves there."""
        held = isinstance(self.rows_NF, Tensor)
        rows = self.rows_NF.to(device) if held else self.rows_NF  # type: ignore[union-attr]  # held
        counts = None if self.count_N is None else self.count_N.to(device)
        return replace(self, rows_NF=rows, count_N=counts, device=device)

    def pools(self, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor | None]]:
        """All rows in a new order, with what they count: at once, or pool by pool from disk."""
        if isinstance(self.rows_NF, Tensor):
            order_N = torch.randperm(self.count, generator=generator).to(self.rows_NF.device)
            yield self.rows_NF[order_N], None if self.count_N is None else self.count_N[order_N]
            return
        runs = torch.randperm(-(-self.count // RUN_ROWS), generator=generator).tolist()
        wanted = max(1, POOL_BYTES // (4 * RUN_ROWS * self.rows_NF.shape[1]))
        groups = [runs[i : i + wanted] for i in range(0, len(runs), wanted)]
        with ThreadPoolExecutor(1) as reader:  # reads the next pool while this one trains
            ahead = reader.submit(self._read, groups[0])
            for number in range(len(groups)):
                rows_PF, at_P = ahead.result()
                if number + 1 < len(groups):
                    ahead = reader.submit(self._read, groups[number + 1])
                order_P = torch.randperm(len(rows_PF), generator=generator)
                counts = None if self.count_N is None else self.count_N[at_P[order_P]]
                yield rows_PF[order_P].to(self.device), counts

    def _read(self, runs: list[int]) -> tuple[Tensor, Tensor]:
        """The rows of some runs, one after the other, and their numbers."""
        places = [slice(r * RUN_ROWS, min((r + 1) * RUN_ROWS, self.count)) for r in runs]
        rows_PF = np.concatenate([np.asarray(self.rows_NF[place]) for place in places])
        numbers = torch.cat([torch.arange(place.start, place.stop) for place in places])
        return torch.from_numpy(rows_PF), numbers


class Epochs:
    """An iterable over one epoch's batches; each pass shuffles anew, from the seed alone.

    All processes shuffle alike and take disjoint shares of each global batch, so the gradients of
    an epoch don't depend on the number of processes.

    Args:
        feed: All training rows.
        batch_size: Rows of a global batch, over all processes together.
        seed: Of the order of rows.
        rank: Number of this process.
        world: Number of processes.

    Attributes:
        order: Draws the orders of rows; between epochs its state is that of the feed.
    """

    def __init__(self, feed: Feed, batch_size: int, seed: int, rank: int, world: int) -> None:
        self.feed = feed
        self.batch_size = batch_size
        self.rank = rank
        self.world = world
        self.order = torch.Generator().manual_seed(seed)

    @property
    def steps(self) -> int:
        """Optimiser steps of one epoch."""
        return -(-self.feed.count // self.batch_size)

    def __len__(self) -> int:
        return -(-self.steps // STEPS_A_CALL)

    def __iter__(self) -> Iterator[list[Batch]]:
        call: list[Batch] = []
        for batch in self._batches():
            call.append(batch)
            if len(call) == STEPS_A_CALL:
                yield call
                call = []
        if call:
            yield call

    def _batches(self) -> Iterator[Batch]:
        """Full batches and one rest; what a pool leaves over goes before the next one."""
        left: tuple[Tensor, Tensor | None] | None = None
        for rows, counts in self.feed.pools(self.order):
            if left is not None:
                rows = torch.cat([left[0], rows])
                if counts is not None and left[1] is not None:
                    counts = torch.cat([left[1], counts])
            whole = len(rows) - len(rows) % self.batch_size
            for start in range(0, whole, self.batch_size):
                yield self._share(rows, counts, slice(start, start + self.batch_size))
            left = rows[whole:], None if counts is None else counts[whole:]
        if left is not None and len(left[0]):
            yield self._share(*left, slice(None))

    def _share(self, rows_NF: Tensor, counts: Tensor | None, at: slice) -> Batch:
        global_BF = rows_NF[at]
        own = None if counts is None else counts[at][self.rank :: self.world]
        return Batch(global_BF[self.rank :: self.world], self.world / len(global_BF), own)
