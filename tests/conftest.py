"""Shared fixtures: a small project in a folder of its own, and a way to run commands in it."""

import logging
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from ruamel.yaml import YAML

# Ray reads once, when it is imported, whether its clusters want a token; it would leave one in the
# home folder.
os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex()}

ROOT = Path(__file__).parents[1]
PROJECT_FILES = ("dvc.yaml", "params.yaml", "MLproject", "python_env.yaml", ".dvcignore")

# The same examples each time: a merge must not depend on luck. To hunt for new ones:
# HYPOTHESIS_PROFILE=default make test
settings.register_profile("steady", derandomize=True, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))

# A budget that takes seconds: it shows that numbers are equal, not that they are good.
SMALL = {
    "search": {"trials_per_loss": 3, "round_size": 2, "startup_trials": 2, "epochs": 4},
    "train": {"seeds": 2, "epochs": 6},
    "model": {"latent_dim": 4, "hidden": [16]},
    "register": {"gate": "off"},  # so little training does not beat a PCA
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long files first: begun last, one of them would leave the other workers idle."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture(autouse=True)
def nothing_goes_on() -> Iterator[None]:
    """Ends what a test has left: logging to its streams, and threads that send its journals."""
    root, ours = logging.getLogger(), logging.getLogger("hourglass")
    handlers, levels = root.handlers[:], (root.level, ours.level)
    yield
    if "hourglass.recording" in sys.modules:
        from hourglass import recording, tracking

        for tracker in [t for t in tracking.trackers if isinstance(t, recording.JournalTracker)]:
            tracker.break_off("KILLED")
            tracking.trackers.discard(tracker)
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    ours.setLevel(levels[1])


class Project:
    """A project folder, with its pipeline's commands."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def change(self, **sections: dict) -> None:
        """Changes params.yaml: change(search={"workers": 1})."""
        yaml = YAML()
        file = self.folder / "params.yaml"
        params = yaml.load(file.read_text())
        for section, values in sections.items():
            params[section].update(values)
        with file.open("w") as out:
            yaml.dump(params, out)

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess:
        """Runs a command with this interpreter's scripts first on the path."""
        bin_folder = Path(sys.executable).parent
        environment = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_")}
        environment |= {"PATH": f"{bin_folder}{os.pathsep}{environment['PATH']}"}
        environment |= {"MLFLOW_DISABLE_TELEMETRY": "true", "PYTHONWARNINGS": "default"}
        done = subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False
        )
        if check and done.returncode:
            raise AssertionError(f"{command} failed:\n{done.stdout}\n{done.stderr}")
        return done

    def stage(self, *names: str) -> None:
        """Runs stages one after the other, without DVC."""
        for name in names:
            self.run("hourglass", name)

    def read(self, path: str) -> bytes:
        """Content of a file of the project."""
        return (self.folder / path).read_bytes()


def make_project(folder: Path) -> Project:
    """Copies the pipeline's files and sets the small budget."""
    (folder / "data" / "raw").mkdir(parents=True)
    for name in PROJECT_FILES:
        shutil.copy(ROOT / name, folder / name)
    shutil.copytree(ROOT / ".dvc", folder / ".dvc", ignore=shutil.ignore_patterns("cache", "tmp"))
    # Stages name source files as their dependencies.
    (folder / "src").symlink_to(ROOT / "src")
    project = Project(folder)
    project.change(**SMALL)
    return project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A fresh project for one test."""
    return make_project(tmp_path / "a project")
