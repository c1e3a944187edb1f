"""Feeds rows to the training loop in slices: shuffled once an epoch, several batches a call.

Shapes: N rows, B rows of a global batch, F features.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

# Optimiser steps in one call of Lightning's training_step: its fixed cost a call is that of some
# ten small steps, and 16 of them make it vanish (benchmarks/training_step.py).
STEPS_A_CALL = 16


class Batch(NamedTuple):
    """This process's share of one global batch; a tuple, which Lightning can convert to 64-true.

    Attributes:
        rows_BF: Its rows; every `world`-th of the global batch.
        weight: Factor that turns the sum over these rows into a share of the global mean, such
            that averaging over processes (as DDP does) gives the mean over the global batch.
    """

    rows_BF: Tensor
    weight: float


class Epochs:
    """An iterable over one epoch's batches; each pass shuffles anew, from the seed alone.

    All processes shuffle alike and take disjoint shares of each global batch, so the gradients of
    an epoch don't depend on the number of processes.

    Args:
        rows_NF: All training rows, on the device they are trained on.
        batch_size: Rows of a global batch, over all processes together.
        seed: Of the order of rows.
        rank: Number of this process.
        world: Number of processes.
    """

    def __init__(self, rows_NF: Tensor, batch_size: int, seed: int, rank: int, world: int) -> None:
        self.rows_NF = rows_NF
        self.batch_size = batch_size
        self.rank = rank
        self.world = world
        self._generator = torch.Generator().manual_seed(seed)

    @property
    def steps(self) -> int:
        """Optimiser steps of one epoch."""
        return -(-len(self.rows_NF) // self.batch_size)

    def __len__(self) -> int:
        return -(-self.steps // STEPS_A_CALL)

    def __iter__(self) -> Iterator[list[Batch]]:
        order_N = torch.randperm(len(self.rows_NF), generator=self._generator)
        shuffled_NF = self.rows_NF[order_N.to(self.rows_NF.device)]
        batches = [self._share(b) for b in torch.split(shuffled_NF, self.batch_size)]
        for start in range(0, len(batches), STEPS_A_CALL):
            yield batches[start : start + STEPS_A_CALL]

    def _share(self, global_BF: Tensor) -> Batch:
        return Batch(global_BF[self.rank :: self.world], self.world / len(global_BF))


class Slices:
    """An iterable over rows in their order, some thousand at a time: what validation reads.

    Args:
        rows_NF: The rows of this process.
        size: Rows at a time.
    """

    def __init__(self, rows_NF: Tensor, size: int = 8192) -> None:
        self._slices = torch.split(rows_NF, size)

    def __len__(self) -> int:
        return len(self._slices)

    def __iter__(self) -> Iterator[Tensor]:
        return iter(self._slices)
