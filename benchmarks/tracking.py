"""What recording costs: fits on the digits with MLflow behind them and without, in turns.

    python benchmarks/tracking.py [--rounds 5] [--trials 8] [--losses mse,mae,bce] [--workers 1]
        [--stages search,train]

Settings are those of params.yaml. Both sides fit the same in new studies. `without` keeps
runs in memory. With one worker the fits run in this process, so that its processor time holds
them and what recording adds; with several it holds what recording adds alone, which is told as a
share of what as many cores have, and scatters less than wall time. The sender's thread is also
measured by itself. Of a machine that others use the least times count. Imports and the making of
MLflow's store are not counted: a first round of each is left out.
"""

import argparse
import contextlib
import gc
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hourglass import config
from hourglass.config import Params
from hourglass.paths import Paths
from hourglass.recording import JournalTracker
from hourglass.sending import Sender
from hourglass.stages import normalize, preprocess, search, train
from hourglass.tracking import MemoryTracker

ROOT = Path(__file__).parents[1]
STAGES = {"search": search.run, "train": train.run}
SIDES = {"without": lambda *_, **__: MemoryTracker(), "MLflow": JournalTracker}


def settings(asked: argparse.Namespace, study: str) -> Params:
    """Those of params.yaml, with fewer losses and a study of its own."""
    own = config.read_yaml(ROOT / "params.yaml")
    own["search"] |= {
        "losses": asked.losses.split(","),
        "trials_per_loss": asked.trials,
        "executor": "serial" if asked.workers == 1 else "processes",
        "workers": asked.workers,
        "storage": f"sqlite:///{study}.db",
    }
    own["train"]["executor"] = own["search"]["executor"]
    own["train"]["workers"] = own["search"]["workers"]
    own["tracking"]["experiment"] = study
    return Params.model_validate(own)


@contextlib.contextmanager
def recorded_by(side: str) -> Iterator[None]:
    """The stages with one tracker or the other."""
    modules: tuple[Any, ...] = (search, train)
    for module in modules:
        module.JournalTracker = SIDES[side]
    try:
        yield
    finally:
        for module in modules:
            module.JournalTracker = JournalTracker


def timed_sender() -> list[float]:
    """Lets every sender's thread note its processor time when it ends."""
    module: Any = Sender
    send, seconds = module.run, []

    def run(self: Sender) -> None:
        send(self)
        seconds.append(time.thread_time())

    module.run = run
    return seconds


def measured(asked: argparse.Namespace, root: Path, side: str, number: int) -> tuple[float, float]:
    """Seconds of the stages, wall and processor."""
    params = settings(asked, f"{side} {number}")
    with recorded_by(side):
        wall, cpu = time.perf_counter(), time.process_time()
        for stage in asked.stages.split(","):
            STAGES[stage](params, Paths(root))
        return time.perf_counter() - wall, time.process_time() - cpu


def main() -> None:
    """Prints a line a round, and the medians."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--losses", default="mse,mae,bce")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--stages", default="search", help="search, or search,train")
    asked = parser.parse_args()
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    least: dict[str, tuple[float, float]] = dict.fromkeys(SIDES, (float("inf"), float("inf")))
    sender, own = timed_sender(), float("inf")
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        root = Path(folder)
        first = settings(asked, "first")
        preprocess.run(first, Paths(root))
        normalize.run(first, Paths(root))
        gc.freeze()  # as the command that runs a stage does
        for number in range(asked.rounds + 1):
            turn = list(SIDES) if number % 2 else list(SIDES)[::-1]
            seconds = {side: measured(asked, root, side, number) for side in turn}
            taken = sum(sender)
            sender.clear()
            if number == 0:
                continue
            own = min(own, taken)
            shown = [f"{side} {wall:.2f} s ({cpu:.2f})" for side, (wall, cpu) in seconds.items()]
            print(f"  round {number}, wall (processor): {', '.join(sorted(shown))}", flush=True)
            for side, (wall, cpu) in seconds.items():
                least[side] = (min(wall, least[side][0]), min(cpu, least[side][1]))
    seeds = config.read_yaml(ROOT / "params.yaml")["train"]["seeds"]
    each = asked.trials + (seeds if "train" in asked.stages else 0)
    fits = each * len(asked.losses.split(","))
    without, mlflow = least["without"], least["MLflow"]
    added = (mlflow[1] - without[1]) / (without[0] * asked.workers)
    print(
        f"{fits} fits, the least of {asked.rounds} rounds: {without[0]:.2f} s without, "
        f"{mlflow[0]:.2f} s with MLflow ({mlflow[0] / without[0] - 1:+.1%}); processor time "
        f"{added:+.1%} of what {asked.workers} cores have; the sender's thread takes "
        f"{1000 * own / fits:.0f} ms a fit"
    )


if __name__ == "__main__":
    main()
