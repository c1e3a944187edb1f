"""Is nothing lost? Kills `dvc repro` at random moments, repeats it, and compares what is there.

    python benchmarks/chaos.py --times 100

Each time a project on made-up data is brought to where an uninterrupted run was at a random moment,
killed there (kill -9 of all processes, of the stage's own process, or of one that it has started),
run again, half the times killed again, and run to its end. Then every file of the pipeline must
have the bytes of the uninterrupted run's, and MLflow the same runs, numbers and models. Each
number of `--seed` and on is one time: `--seed 17 --times 1` repeats the time of seed 17. Folders
are temporary, but for those of failures with `--keep`.
"""

import argparse
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from tests.conftest import make_project  # noqa: E402  the folder of the tests is no package
from tests.kills import TINY, WHOM, Started, differences, files, tracked  # noqa: E402

from hourglass import repairing  # noqa: E402
from hourglass.paths import Paths  # noqa: E402

STAGES = ("preprocess", "normalize", "search", "train", "evaluate", "register")
REPRO = ("dvc", "repro")


class Slot:
    """A folder that is used time after time, with copies of it between the stages.

    The folder must stay the same: MLflow's store holds absolute paths.
    """

    def __init__(self, root: Path) -> None:
        self.folder = root / "project"
        self._copies = root / "copies"
        make_project(self.folder).change(**TINY)
        _must(self.folder, "git", "init", "-q")
        self.ends: list[float] = []
        for number, stage in enumerate(STAGES):
            shutil.copytree(self.folder, self._copies / str(number), symlinks=True)
            start = time.monotonic()
            _must(self.folder, "dvc", "repro", "--single-item", stage)
            self.ends.append((self.ends or [0.0])[-1] + time.monotonic() - start)
        self.expected = files(self.folder), tracked(self.folder)

    def brought_to(self, moment: float) -> tuple[str, float]:
        """Lays the folder out as it was at the beginning of the stage that ran at `moment`.

        Returns:
            The stage, and the seconds from its beginning.
        """
        number = next(i for i, end in enumerate(self.ends) if moment < end)
        shutil.rmtree(self.folder)
        shutil.copytree(self._copies / str(number), self.folder, symlinks=True)
        return STAGES[number], moment - ([0.0, *self.ends])[number]


def _must(folder: Path, *command: str) -> None:
    started = Started(folder, *command)
    if started.ended() != 0:
        raise RuntimeError(f"{' '.join(command)} failed:\n{started.said()}")


def once(slot: Slot, seed: int) -> list[str]:
    """One time; what was wrong, the moments first; empty if nothing was lost."""
    rng = random.Random(seed)  # noqa: S311  repeatable, no secret
    stage, after = slot.brought_to(rng.uniform(0, slot.ends[-1]))
    said = [f"{stage} + {after:.2f} s"]
    for _ in range(rng.choice((1, 2))):
        whom = rng.choices(WHOM, (2, 1, 1))[0]
        repairing.run(Paths(slot.folder))  # as `make repro` does
        started = Started(slot.folder, *REPRO)
        said.append(f"killed {started.kill_after(after, whom, rng)} after {after:.2f} s")
        if started.ended() is None:
            return [*said, "hangs after the kill"]
        after = rng.uniform(0.0, slot.ends[-1] / 2)
    repairing.run(Paths(slot.folder))
    last = Started(slot.folder, *REPRO)
    status = last.ended()
    if status != 0:
        how = "hangs" if status is None else f"ends with {status}"
        return [*said, how, *last.said()[-600:].splitlines()]
    wrong = differences(slot.folder, slot.expected)
    return [*said, *wrong] if wrong else []


def times(options: argparse.Namespace, root: Path) -> Iterator[tuple[int, list[str]]]:
    """(seed, what was wrong) of each time."""
    slots: SimpleQueue[Slot] = SimpleQueue()

    def one(seed: int) -> tuple[int, list[str]]:
        slot = slots.get()
        try:
            wrong = once(slot, seed)
            if wrong and options.keep:
                shutil.copytree(slot.folder, options.keep / str(seed), symlinks=True)
            return seed, wrong
        finally:
            slots.put(slot)

    with ThreadPoolExecutor(options.parallel) as pool:
        for slot in pool.map(Slot, [root / str(n) for n in range(options.parallel)]):
            slots.put(slot)
        yield from pool.map(one, range(options.seed, options.seed + options.times))


def main() -> None:
    """Prints a line a failure, and how many times nothing was lost."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--times", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0, help="of the first time")
    parser.add_argument("--parallel", type=int, default=2, help="projects at a time")
    parser.add_argument("--keep", type=Path, help="a folder for the projects of failures")
    options = parser.parse_args()
    whole = 0
    with tempfile.TemporaryDirectory() as folder:
        for seed, wrong in times(options, Path(folder)):
            whole += not wrong
            if wrong:
                print(f"seed {seed}: {'; '.join(wrong)}", flush=True)
            else:
                print(f"seed {seed}: the same", file=sys.stderr, flush=True)
    print(f"{whole} of {options.times} runs ended with the very files and runs")


if __name__ == "__main__":
    main()
