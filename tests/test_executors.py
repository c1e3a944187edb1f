"""Every executor runs pure functions and gives their results; contract over the catalog."""

import gc
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hourglass.errors import TrainingError, UnknownNameError
from hourglass.executors import ATTEMPTS, EXECUTORS, Executor, start


def square(value: int) -> int:
    return value * value


def fail(value: int) -> int:
    raise ValueError(f"no {value}")


def die(_: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture(params=EXECUTORS.names(), scope="module")
def executor(request: pytest.FixtureRequest) -> Iterator[Executor]:
    if request.param == "ray":
        pytest.importorskip("ray")
    with EXECUTORS.load(request.param)(2) as made:
        yield made


def collect(executor: Executor, futures: list) -> None:
    pending = set(futures)
    while pending:
        pending -= executor.wait(pending)


def test_results_belong_to_their_arguments(executor):
    futures = [executor.submit(square, n) for n in range(7)]
    collect(executor, futures)
    assert [f.result() for f in futures] == [n * n for n in range(7)]


def test_tasks_may_be_submitted_while_others_are_awaited(executor):
    first = executor.submit(square, 2)
    assert executor.wait([first]) == {first}
    second = executor.submit(square, first.result())
    assert executor.wait([second]) == {second}
    assert second.result() == 16


def test_an_error_of_a_task_reaches_the_caller(executor):
    future = executor.submit(fail, 3)
    executor.wait([future])
    with pytest.raises(ValueError, match="no 3"):
        future.result()


def die_at_first(folder: Path) -> str:
    """Kills its worker unless it did so before."""
    if not (folder / "was here").exists():
        (folder / "was here").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "alive"


def square_later(value: int) -> int:
    time.sleep(0.3)
    return value * value


def test_what_a_killed_worker_held_runs_again_and_nothing_else_is_disturbed(tmp_path):
    with EXECUTORS.load("processes")(2) as executor:
        lost = executor.submit(die_at_first, tmp_path)
        others = [executor.submit(square_later, n) for n in range(4)]
        collect(executor, [lost, *others])
    assert lost.result() == "alive"
    assert [f.result() for f in others] == [0, 1, 4, 9]


def test_a_worker_that_was_killed_while_it_was_idle_is_replaced():
    with EXECUTORS.load("processes")(1) as executor:
        first = executor.submit(own_number, 0)
        collect(executor, [first])
        os.kill(first.result(), signal.SIGKILL)
        second = executor.submit(own_number, 0)
        collect(executor, [second])
    assert second.result() != first.result()


def own_number(_: int) -> int:
    return os.getpid()


def test_a_task_that_kills_each_worker_is_named_and_the_others_come_through(caplog):
    """Those beside it are not to blame: their workers live on."""
    with EXECUTORS.load("processes")(2) as executor:
        deadly = executor.submit(die, "mse (delta 0.5)")
        others = [executor.submit(square_later, n) for n in range(3)]
        collect(executor, [deadly, *others])
    with pytest.raises(TrainingError, match=r"^mse \(delta 0.5\): its worker process .* 3 times"):
        deadly.result()
    assert [f.result() for f in others] == [0, 1, 4]
    assert len(caplog.messages) == ATTEMPTS


START_AND_DIE = """
import os, signal
from hourglass.executors.processes import Processes
if __name__ == "__main__":
    with Processes(1) as pool:
        print(pool.submit(len, "").result(), flush=True)  # the worker is up
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_workers_end_with_a_coordinator_that_was_killed(tmp_path):
    """A regression: they waited for tasks for ever, each with torch in its memory.

    The call returns when the last process that holds the script's output has ended.
    """
    script = tmp_path / "start_and_die.py"
    script.write_text(START_AND_DIE)
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, "0\n")


def spared(_: int) -> int:
    return gc.get_freeze_count()


def test_workers_leave_what_the_server_imported_out_of_their_rounds_for_garbage():
    with EXECUTORS.load("processes")(1) as executor:
        future = executor.submit(spared, 0)
        collect(executor, [future])
    assert future.result() > 100_000


def test_workers_auto_means_one_a_core():
    with start("processes", "auto", "here") as executor:
        assert executor.workers == len(os.sched_getaffinity(0))


def test_an_unknown_executor_is_refused_with_the_nearest_name():
    message = r"here: unknown executor 'proceses', did you mean 'processes'\?"
    with pytest.raises(UnknownNameError, match=message):
        start("proceses", 1, "here")


def test_the_environment_is_as_before_after_closing(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    with EXECUTORS.load("processes")(1):
        assert os.environ["OMP_NUM_THREADS"] == "1"
    assert os.environ["OMP_NUM_THREADS"] == "3"
    assert "MKL_NUM_THREADS" not in os.environ
