"""Where pure functions run: each module is one kind of executor under one contract.

An executor decides where and when, never what: the result of a task depends on its argument alone.
"""

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from hourglass.catalog import Catalog
from hourglass.errors import TrainingError

# One fit, one thread: parallelism comes from fits, and sums don't depend on the thread count.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


@dataclass(frozen=True)
class Cluster:
    """What an executor that leaves this machine needs to know; the others don't look at it.

    Attributes:
        folder: The project's; every node sees it under the same path.
        address: Of the cluster; empty: one is started on this machine.
        cpus: CPUs that one task takes; may be a fraction.
        gpus: GPUs that one task takes; may be a fraction.
    """

    folder: Path = Path()
    address: str = ""
    cpus: float = 1.0
    gpus: float = 0.0


# A task whose worker dies (killed, out of memory) runs again, so often in all. A passing lack of
# memory is over by then; what kills three workers would kill the fourth.
ATTEMPTS = 3


class Executor(ABC):
    """Runs tasks; used as a context manager.

    Args:
        workers: How many tasks may run at a time.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers

    @classmethod
    def on(cls, cluster: Cluster, workers: int | None) -> Self:  # noqa: ARG003  for those that leave
        """Starts; without a number of workers, one for each core of this machine."""
        return cls(workers or cores())

    @classmethod  # noqa: B027  most have nothing to begin
    def ahead(cls) -> None:
        """Begins what takes long and needs no settings; its caller has other things to do."""

    @abstractmethod
    def submit(self, task: Callable[[Any], Any], argument: Any) -> Future[Any]:
        """Queues `task(argument)`; both must be picklable, the task at the top of its module.

        Tasks are pure: one whose worker dies runs again, `ATTEMPTS` times at most; then its future
        raises a TrainingError that names the argument.
        """

    @abstractmethod
    def wait(self, pending: Iterable[Future[Any]]) -> set[Future[Any]]:
        """Blocks until at least one of `pending` is done, and returns those that are."""

    @abstractmethod
    def close(self) -> None:
        """Ends the workers; what still runs is given up."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


EXECUTORS: Catalog[type[Executor]] = Catalog("hourglass.executors", "executor", "EXECUTOR")


def start(name: str, workers: int | str, where: str, cluster: Cluster | None = None) -> Executor:
    """Starts the executor `name` with so many workers, "auto" for as many as there is room for.

    Raises:
        UnknownNameError: no such executor; `where` says where the name was read.
        ConfigError: it can't be started.
    """
    executor = EXECUTORS.load(EXECUTORS.check(name, where))
    return executor.on(cluster or Cluster(), None if workers == "auto" else int(workers))


def cores() -> int:
    """Cores of this machine that this process may use."""
    usable = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else ()
    return len(usable) or os.cpu_count() or 1


def deadly(argument: Any, deaths: int) -> TrainingError:
    """What a caller is told of a task whose workers died."""
    return TrainingError(
        f"{argument}: its worker process ended without an answer {deaths} times (killed, or out of "
        "memory?). Nothing finished is lost: run the same command again; fewer `workers` in "
        "params.yaml need less memory"
    )
