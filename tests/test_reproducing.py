"""How to get numbers again: the revision, the runs, and the settings that count."""

import subprocess

import pytest

from hourglass import reproducing
from hourglass.config import NO_EFFECT_ON_RESULTS, read_yaml
from hourglass.paths import Paths, write_json
from house import ROOT


@pytest.fixture
def paths(tmp_path) -> Paths:
    paths = Paths(tmp_path)
    paths.params.write_bytes((ROOT / "params.yaml").read_bytes())
    write_json(paths.search("run.json"), {"key": "search abc"})
    write_json(paths.train("run.json"), {"key": "train def"})
    return paths


def git(paths, *arguments) -> str:
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]
    command = ["git", "-C", str(paths.root), *who, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_without_git_the_runs_and_the_command_are_told(paths):
    told = reproducing.again(paths, "evaluate ghi")
    assert told["command"] == "dvc repro"
    assert told["commit"] == "none: not under git"
    assert told["runs in MLflow"].startswith("search abc, train def, evaluate ghi (tag hourglass.k")


def test_the_commit_is_told_and_whether_there_were_changes(paths):
    git(paths, "init", "-q")
    git(paths, "add", ".")
    git(paths, "commit", "-qm", "first")
    commit = git(paths, "rev-parse", "HEAD")
    told = reproducing.again(paths, "evaluate ghi")
    assert told["command"] == f"git checkout {commit[:12]} && dvc repro"
    assert told["commit"] == commit
    paths.params.write_text("changed")
    assert "not committed" in reproducing.again(paths, "evaluate ghi")["commit"]


def test_settings_are_those_that_can_change_a_number(paths):
    text = reproducing.settings(paths)
    (paths.root / "told.yaml").write_text(text)
    told, every = read_yaml(paths.root / "told.yaml"), read_yaml(paths.params)
    keys = {f"{section}.{key}" for section, own in told.items() for key in own}
    assert not keys & NO_EFFECT_ON_RESULTS
    assert told["search"]["trials_per_loss"] == every["search"]["trials_per_loss"]
    assert set(every["preprocess"]) == set(told["preprocess"])
    assert "#" not in text
