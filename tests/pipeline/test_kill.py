"""Stages are killed at many moments; the same command then ends as if nothing had happened."""

import contextlib
import random
import shutil
import signal
import sqlite3
import time
from pathlib import Path

import pytest
from tests.conftest import make_project
from tests.kills import TINY, WHOM, Started, differences, files, tracked

from hourglass.stages import STAGES

pytestmark = pytest.mark.slow

KILLS = {"preprocess": 4, "normalize": 4, "search": 3, "train": 3, "evaluate": 3, "register": 3}


class Reference:
    """A project after each stage of an uninterrupted run.

    It is laid out in one folder time after time: MLflow's store holds absolute paths.
    """

    def __init__(self, root: Path) -> None:
        self.folder = root / "project"
        self._copies = root / "copies"
        self.seconds: dict[str, float] = {}
        self.expected: dict[str, tuple[dict, dict]] = {}
        make_project(self.folder).change(**TINY)
        for stage in STAGES:
            shutil.copytree(self.folder, self._copies / stage, symlinks=True)
            start = time.monotonic()
            started = Started(self.folder, "hourglass", stage)
            assert started.ended() == 0, started.said()
            self.seconds[stage] = time.monotonic() - start
            self.expected[stage] = files(self.folder), tracked(self.folder)

    def before(self, stage: str) -> Path:
        """The folder as it was when this stage began."""
        shutil.rmtree(self.folder)
        shutil.copytree(self._copies / stage, self.folder, symlinks=True)
        return self.folder


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    return Reference(tmp_path_factory.mktemp("reference"))


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_that_is_killed_time_after_time_ends_with_the_very_files_and_runs(reference, stage):
    rng = random.Random(f"kills of {stage}")  # noqa: S311  repeatable, no secret
    folder, said = reference.before(stage), []
    for number in range(KILLS[stage]):
        started = Started(folder, "hourglass", stage)
        after = rng.uniform(0.2, 1.0) * reference.seconds[stage]
        whom = WHOM[number % len(WHOM)]
        said.append(f"{started.kill_after(after, whom, rng)} after {after:.2f} s")
        assert started.ended() is not None, f"hangs: {said}"
    last = Started(folder, "hourglass", stage)
    assert last.ended() == 0, f"{said}\n{last.said()}"
    assert differences(folder, reference.expected[stage]) == [], said


def statuses(folder: Path) -> list[str]:
    with (
        contextlib.suppress(sqlite3.OperationalError),
        contextlib.closing(sqlite3.connect(f"file:{folder}/mlflow.db?mode=ro", uri=True)) as store,
    ):
        return [status for (status,) in store.execute("select status from runs")]
    return []


def journals(folder: Path) -> str:
    """What MLflow has not taken yet."""
    found = sorted((folder / ".hourglass" / "journals").glob("*.jsonl"))
    return "".join(path.read_text() for path in found)


def test_a_terminated_search_ends_in_one_line_and_goes_on_in_the_same_run(reference):
    folder = reference.before("search")
    started = Started(folder, "hourglass", "search")
    while '"do":"open"' not in journals(folder):
        assert started.process.poll() is None, started.said()
        time.sleep(0.01)
    started.process.send_signal(signal.SIGTERM)
    assert started.ended() == 143
    assert started.said().endswith("interrupted: run the same command again to continue\n")
    assert "Traceback" not in started.said()
    # What MLflow could not take within a second is in the journal; its store may not be made yet.
    assert "KILLED" in f"{statuses(folder)} {journals(folder)}"
    assert "RUNNING" not in statuses(folder) or journals(folder)
    again = Started(folder, "hourglass", "search")
    assert again.ended() == 0, again.said()
    assert differences(folder, reference.expected["search"]) == []
