"""Where pure functions run: each module is one kind of executor under one contract.

An executor decides where and when, never what: the result of a task depends on its argument alone.
"""

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Self

from hourglass.catalog import Catalog

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


def start(name: str, workers: int | str, where: str) -> Executor:
    """Starts the executor `name` with so many workers, "auto" for one a core.

    Raises:
        UnknownNameError: no such executor; `where` says where the name was read.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    count = (cores or 1) if workers == "auto" else int(workers)
    return EXECUTORS.load(EXECUTORS.check(name, where))(count)
