"""A registered model says what it rests on, with links where MLflow has the runs."""

from types import SimpleNamespace

import pytest
from tests.fits import mixed_schema

from hourglass.lineage import Origin
from hourglass.paths import Paths, write_json

REPORT = {"selected_loss": "mse", "selected_seed": 3}


COMMIT = {"mlflow.source.git.commit": "0123456789abcdef", "git.dirty": "true", "other": "x"}


def run(identifier: str, **tags: str) -> SimpleNamespace:
    info = SimpleNamespace(experiment_id="7", run_id=identifier)
    return SimpleNamespace(info=info, data=SimpleNamespace(tags=tags))


@pytest.fixture
def paths(tmp_path) -> Paths:
    own = Paths(tmp_path)
    write_json(own.evaluate("run.json"), {"key": "evaluate 89ab"})
    write_json(own.train("run.json"), {"key": "train 0123"})
    return own


def origin(paths: Paths, runs: dict) -> tuple[Origin, list]:
    """It, and what it marked of version 4, which an earlier evaluation has registered."""
    told = []
    client = SimpleNamespace(
        set_tag=lambda *of: told.append(of), set_model_version_tag=lambda *of: told.append(of)
    )
    tracker = SimpleNamespace(recorded=runs.get, client=client)
    found = Origin.of(tracker, paths, REPORT, mixed_schema())
    tags = {**found.tags, "hourglass.evaluated": "evaluate 0000"}
    version = SimpleNamespace(name="a model", version="4", tags=tags)
    found.mark_version(tracker, version)
    found.mark_evaluation(tracker, version)
    return found, told


def test_its_runs_are_linked_and_know_of_each_other(paths):
    runs = {"evaluate 89ab": run("e1", **COMMIT), "train 0123 mse 3": run("f1")}
    found, told = origin(paths, runs)
    assert str(found) == (
        "It rests on its [evaluation](#/experiments/7/runs/e1), "
        "[report](#/experiments/7/runs/e1/artifacts/report.html), "
        f"its [fit](#/experiments/7/runs/f1), data `{mixed_schema().digest}`, "
        "commit `0123456789ab` with changes."
    )
    assert told == [
        ("a model", "4", "hourglass.evaluated", "evaluate 89ab"),
        ("e1", "hourglass.registered", "a model 4"),
    ]
    assert found.tags["hourglass.fitted"] == "train 0123 mse 3"
    assert found.tags["hourglass.data"] == mixed_schema().digest
    assert "other" not in found.tags


def test_where_mlflow_has_them_no_more_their_keys_are_named(paths):
    found, told = origin(paths, {})
    assert str(found).startswith(
        "It rests on its evaluation (key `evaluate 89ab`), its fit (key `train 0123 mse 3`), data"
    )
    assert told == [("a model", "4", "hourglass.evaluated", "evaluate 89ab")]
