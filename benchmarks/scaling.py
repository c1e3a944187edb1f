"""What one trial costs, the coordinator for each trial, and what an executor adds.

    python benchmarks/scaling.py [--rows 2000 8000 32000] [--recorded 100 400] [--tasks 200]

Prints the constants that docs/scaling.md computes with: seconds of a trial by rows x epochs with
one and two workers, the coordinator's seconds a trial for proposing, keeping and recording it, by
the number of trials that a study holds, bytes of a specification and of a result, and what a task
that does nothing costs on each executor.
"""

import argparse
import pickle
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hourglass import config, stores, trials
from hourglass.candidates import Candidate
from hourglass.config import Params
from hourglass.executors import Executor, start
from hourglass.losses import Range
from hourglass.mlflow_runs import MlflowTracker
from hourglass.paths import Paths
from hourglass.search import Budget, Space, Study
from hourglass.stages import normalize, preprocess
from hourglass.stages import search as stage
from hourglass.trials import Result, Spec

PARAMS = Path(__file__).parents[1] / "params.yaml"
CANDIDATE = Candidate("mse", ("standard",))
HYPER = {"learning_rate": 1e-3}
COLUMNS = 32
EPOCHS = (5, 20)


def settings(rows: int, epochs: int) -> Params:
    """The project's params on made-up data."""
    own = config.read_yaml(PARAMS)
    own["preprocess"] |= {"source": "synthetic", "dataset": "gauss"}
    own["preprocess"]["synthetic"] = {"rows": rows, "columns": COLUMNS}
    own["search"] |= {"epochs": epochs, "accelerator": "cpu"}
    return Params.model_validate(own)


def prepared(root: Path, rows: int) -> Paths:
    """Data of so many rows, ready for search."""
    paths = Paths(root / str(rows))
    paths.root.mkdir()
    preprocess.run(settings(rows, 1), paths)
    normalize.run(settings(rows, 1), paths)
    return paths


def spec(paths: Paths, rows: int, epochs: int) -> Spec:
    """The default trial of mse."""
    return stage._spec(settings(rows, epochs), paths, CANDIDATE, HYPER)


def one(_: None) -> int:
    """A task that does nothing."""
    return 1


class Stopwatch:
    """Wall and processor seconds of calls; as text their medians over the last fifth."""

    def __init__(self) -> None:
        self.walls: list[float] = []
        self.cpus: list[float] = []

    def timed(self, call: Callable[..., Any], *arguments: Any) -> Any:
        """Calls."""
        wall, cpu = time.perf_counter(), time.process_time()
        answer = call(*arguments)
        self.walls.append(time.perf_counter() - wall)
        self.cpus.append(time.process_time() - cpu)
        return answer

    def __str__(self) -> str:
        last = -max(1, len(self.walls) // 5)
        wall, cpu = (statistics.median(each[last:]) for each in (self.walls, self.cpus))
        return f"{wall:.3f} (processor {cpu:.3f})"


def answered(pool: Executor, task: Callable[[Any], Any], arguments: list[Any]) -> list[Any]:
    """Results of all, submitted at once."""
    futures = [pool.submit(task, a) for a in arguments]
    pending = set(futures)
    while pending:
        pending -= pool.wait(pending)
    return [f.result() for f in futures]


def measure_trials(root: Path, sizes: list[int]) -> Result:
    """Seconds of a trial; two workers get two trials each."""
    print(f"\ntrials: mse, {COLUMNS} columns, batches of 64, training rows are 70 % of the rows")
    paths = {rows: prepared(root, rows) for rows in sizes}
    result = None
    for workers in (1, 2):
        with start("processes", workers, "here") as pool:
            answered(pool, trials.run, [spec(paths[sizes[0]], sizes[0], 1)] * workers)  # imports
            for rows in sizes:
                seconds = {}
                for epochs in EPOCHS:
                    wanted = [spec(paths[rows], rows, epochs)] * (2 * workers)
                    results = answered(pool, trials.run, wanted)
                    seconds[epochs] = min(r.seconds for r in results)
                    result = results[0]
                few, many = EPOCHS
                shown = ", ".join(f"{e} epochs {s:6.2f} s" for e, s in seconds.items())
                each = (seconds[many] - seconds[few]) / (many - few) / (0.7 * rows)
                fixed = seconds[few] - each * few * 0.7 * rows
                print(
                    f"  {workers} workers, {rows:7d} rows: {shown}; {1e6 * each:6.1f} s per "
                    f"million rows x epochs, {fixed:5.2f} s beside them",
                    flush=True,
                )
    assert result is not None  # noqa: S101  there is at least one size
    size = len(pickle.dumps(spec(paths[sizes[0]], sizes[0], 60)))
    print(f"  a specification takes {size} bytes, a result {len(pickle.dumps(result))}")
    return result


def measure_coordinator(root: Path, like: Result, totals: list[int]) -> None:
    """Seconds a trial for Optuna's store and for MLflow, both in SQLite files."""
    print("\ncoordinator, seconds a trial by trials of one loss (rounds of 4; curves of 60 epochs)")
    point = {"train_loss": 1.0, "val_loss": 1.0, "val_gauss_bits": 1.0}
    result = Result(like.metrics, [{"epoch": e, **point} for e in range(60)], 1.0)
    for total in totals:
        folder = root / f"recorded {total}"
        folder.mkdir()
        store = stores.opened("sqlite:///studies.db", folder)
        space = Space({"learning_rate": Range(1e-4, 1e-2, 1e-3, log=True)}, {})
        study = Study(store, "a study", CANDIDATE, space, Budget(total, 4, 4, "code_length", 0))
        tracker = MlflowTracker("a benchmark", folder)
        parent = tracker.run("search 0", "search", {})
        propose, keep, send = Stopwatch(), Stopwatch(), Stopwatch()
        while asked := propose.timed(study.next_round):
            for number, _ in asked:
                outcome = keep.timed(study.record, number, result)
                send.timed(stage._record, tracker, parent, outcome)
        print(
            f"  {total:5d}: proposing a round {propose}, keeping {keep}, MLflow {send}", flush=True
        )


def measure_executors(tasks: int) -> None:
    """What a task that does nothing costs."""
    print(f"\nexecutors: {tasks} tasks that do nothing, two workers")
    for name in ("serial", "processes", "ray"):
        begin = time.perf_counter()
        with start(name, 2, "here") as pool:
            answered(pool, one, [None, None])
            ready = time.perf_counter() - begin
            watch = Stopwatch()
            watch.timed(answered, pool, one, [None] * tasks)
            wall, cpu = (1e3 * each[0] / tasks for each in (watch.walls, watch.cpus))
            print(
                f"  {name:10s} ready after {ready:5.2f} s, then {wall:6.3f} ms a task, of which "
                f"the coordinator computes {cpu:6.3f} ms",
                flush=True,
            )


def main() -> None:
    """Measures in turn."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rows", type=int, nargs="+", default=[2000, 8000, 32000])
    parser.add_argument("--recorded", type=int, nargs="+", default=[100, 400])
    parser.add_argument("--tasks", type=int, default=200)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = measure_trials(Path(folder), arguments.rows)
        measure_coordinator(Path(folder), result, arguments.recorded)
    measure_executors(arguments.tasks)


if __name__ == "__main__":
    main()
