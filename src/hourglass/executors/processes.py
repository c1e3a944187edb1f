"""Runs tasks in processes of this machine that start once and keep their imports."""

import gc
import logging
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor
from concurrent.futures import wait as wait_futures
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import forkserver
from multiprocessing.connection import wait as wait_handles
from multiprocessing.context import BaseContext
from typing import Any, cast

from hourglass.executors import ATTEMPTS, ONE_THREAD, Executor, deadly

log = logging.getLogger(__name__)


@dataclass
class _Task:
    """What was submitted, and how often a worker died of it."""

    function: Callable[[Any], Any]
    argument: Any
    answer: Future[Any] = field(default_factory=Future)
    deaths: int = 0


class Processes(Executor):
    """Processes that take one task at a time.

    A server process imports the fits' modules once (some seconds of torch and Lightning) and
    forks each worker from there; systems without fork start each worker anew. Each worker is a
    pool of its own: its death concerns the one task that it held, which runs again in a new one.
    A worker ends with the process that started it, even if that one is killed.
    """

    def __init__(self, workers: int) -> None:
        super().__init__(workers)
        self._context = _context()
        self._before = _one_thread()  # workers inherit them
        self._lock = threading.RLock()  # answers arrive in threads of the pools
        self._queue: deque[_Task] = deque()
        self._pools = {self._pool() for _ in range(workers)}
        self._idle = list(self._pools)
        self._open = True
        self.ahead()

    @classmethod
    def ahead(cls) -> None:
        """Starts the server: the first worker would wait for its imports."""
        if _context().get_start_method() == "forkserver":
            before = _one_thread()  # the server and its workers inherit them
            forkserver.ensure_running()
            _restore(before)

    def submit(self, task: Callable[[Any], Any], argument: Any) -> Future[Any]:
        """Queues the task."""
        queued = _Task(task, argument)
        with self._lock:
            self._queue.append(queued)
            self._hand_out()
        return queued.answer

    def wait(self, pending: Iterable[Future[Any]]) -> set[Future[Any]]:
        """Blocks until one is done."""
        return wait_futures(pending, return_when=FIRST_COMPLETED).done

    def close(self) -> None:
        """Ends the workers at once: nobody waits for what still runs."""
        with self._lock:
            self._open = False
            for pool in self._pools:
                _end(pool)
        _restore(self._before)

    def _pool(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(1, mp_context=self._context, initializer=_begin)

    def _hand_out(self) -> None:
        """Gives idle workers what is queued; the lock is held."""
        while self._queue and self._idle:
            pool, task = self._idle.pop(), self._queue.popleft()
            try:
                try:
                    running = pool.submit(task.function, task.argument)
                except BrokenProcessPool:  # it died idle
                    pool = self._replaced(pool)
                    running = pool.submit(task.function, task.argument)
            except OSError as error:  # the system gives no further process
                self._idle.append(pool)
                task.answer.set_exception(error)
            else:
                running.add_done_callback(partial(self._ended, pool, task))

    def _ended(self, pool: ProcessPoolExecutor, task: _Task, running: Future[Any]) -> None:
        """Hands the answer on, or the task to another worker if its own died."""
        with self._lock:
            if not self._open:
                return
            error = running.exception()
            if isinstance(error, BrokenProcessPool):
                task.deaths += 1
                log.warning("a worker process ended without an answer: %s", task.argument)
                pool = self._replaced(pool)
                if task.deaths < ATTEMPTS:
                    self._queue.appendleft(task)
                else:
                    task.answer.set_exception(deadly(task.argument, task.deaths))
            elif error is not None:
                task.answer.set_exception(error)
            else:
                task.answer.set_result(running.result())
            self._idle.append(pool)
            self._hand_out()

    def _replaced(self, dead: ProcessPoolExecutor) -> ProcessPoolExecutor:
        self._pools.discard(dead)
        new = self._pool()
        self._pools.add(new)
        return new


def _one_thread() -> dict[str, str | None]:
    """Asks for one thread in processes to come; returns what stood there."""
    before = {k: os.environ.get(k) for k in ONE_THREAD}
    os.environ.update(ONE_THREAD)
    return before


def _restore(before: Mapping[str, str | None]) -> None:
    for key, value in before.items():
        if value is None:
            os.environ.pop(key, None)
        else:
            os.environ[key] = value


def _context() -> BaseContext:
    known = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if "forkserver" in known else "spawn")
    if "forkserver" in known:
        context.set_forkserver_preload(["hourglass.trials", "hourglass.training"])
    return context


def _end(pool: ProcessPoolExecutor) -> None:
    """Kills the worker: Lightning answers a mere SIGTERM at the end of a batch only."""
    processes = list((cast(Any, pool)._processes or {}).values())
    pool.shutdown(wait=False, cancel_futures=True)
    for process in processes:
        process.kill()
    for process in processes:
        process.join()


def _begin() -> None:
    """Leaves Ctrl-C to the parent, and ends when it is gone: else this would wait for ever."""
    gc.freeze()  # the server's imports: no garbage, and memory that the workers share unwritten
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_watch, args=(parent.sentinel,), daemon=True).start()


def _watch(sentinel: int) -> None:
    wait_handles([sentinel])
    os._exit(1)  # nobody is left to hear of an exception


EXECUTOR = Processes
