"""Runs tasks in processes of this machine that start once and keep their imports."""

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor
from concurrent.futures import wait as wait_futures
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait as wait_handles
from typing import Any

from hourglass.executors import ONE_THREAD, Executor, died


class Processes(Executor):
    """A pool of processes.

    A server process imports the fits' modules once (some seconds of torch and Lightning) and
    forks each worker from there; systems without fork start each worker anew. A worker ends with
    the process that started it, even if that one is killed.
    """

    def __init__(self, workers: int) -> None:
        super().__init__(workers)
        method = (
            "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
        )
        context = multiprocessing.get_context(method)
        if method == "forkserver":
            context.set_forkserver_preload(["hourglass.trials"])
        self._before = {k: os.environ.get(k) for k in ONE_THREAD}
        os.environ.update(ONE_THREAD)  # the server and its workers inherit them
        self._pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_end_with_parent)
        for _ in range(workers):  # they import while the coordinator does other things
            self._pool.submit(os.getpid)

    def submit(self, task: Callable[[Any], Any], argument: Any) -> Future[Any]:
        """Queues the task; the first one starts the workers."""
        try:
            return self._pool.submit(task, argument)
        except BrokenProcessPool as error:
            raise died() from error

    def wait(self, pending: Iterable[Future[Any]]) -> set[Future[Any]]:
        """Blocks until one is done."""
        done = wait_futures(pending, return_when=FIRST_COMPLETED).done
        if any(isinstance(f.exception(), BrokenProcessPool) for f in done):
            raise died()
        return done

    def close(self) -> None:
        """Ends the workers at once: nobody waits for what still runs."""
        processes = list((getattr(self._pool, "_processes", None) or {}).values())
        self._pool.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.terminate()
        for process in processes:
            process.join()
        for key, value in self._before.items():
            if value is None:
                os.environ.pop(key, None)
            else:
                os.environ[key] = value


def _end_with_parent() -> None:
    """Ends this worker when its parent is gone; else it would wait for tasks for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_watch, args=(parent.sentinel,), daemon=True).start()


def _watch(sentinel: int) -> None:
    wait_handles([sentinel])
    os._exit(1)  # nobody is left to hear of an exception


EXECUTOR = Processes
