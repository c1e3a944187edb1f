"""Runs tasks in this process, one after the other, when they are waited for."""

from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import Any

from hourglass.executors import Executor


class Serial(Executor):
    """The in-process twin of the other executors: breakpoints and profilers work."""

    def __init__(self, workers: int = 1) -> None:  # noqa: ARG002  the contract's argument
        super().__init__(1)
        self._queue: dict[Future[Any], tuple[Callable[[Any], Any], Any]] = {}

    def submit(self, task: Callable[[Any], Any], argument: Any) -> Future[Any]:
        """Remembers the task until someone waits for it."""
        future: Future[Any] = Future()
        self._queue[future] = (task, argument)
        return future

    def wait(self, pending: Iterable[Future[Any]]) -> set[Future[Any]]:
        """Runs the first of `pending` in the order of submission."""
        wanted = set(pending)
        done = {f for f in wanted if f.done()}
        if done:
            return done
        first = next(f for f in self._queue if f in wanted)
        task, argument = self._queue.pop(first)
        try:
            first.set_result(task(argument))
        except Exception as error:  # noqa: BLE001  kept for who asks, as a pool's future does
            first.set_exception(error)
        return {first}

    def close(self) -> None:
        """Forgets what was not waited for."""
        self._queue.clear()


EXECUTOR = Serial
