"""A registered model says what it rests on, with links where MLflow has the runs."""

from types import SimpleNamespace

import pytest
from tests.fits import mixed_schema

from hourglass.lineage import Origin
from hourglass.paths import Paths, write_json

REPORT = {"selected_loss": "mse", "selected_seed": 3}


def run(identifier: str) -> SimpleNamespace:
    return SimpleNamespace(info=SimpleNamespace(experiment_id="7", run_id=identifier))


@pytest.fixture
def paths(tmp_path) -> Paths:
    own = Paths(tmp_path)
    write_json(own.evaluate("run.json"), {"key": "evaluate 89ab"})
    write_json(own.train("run.json"), {"key": "train 0123"})
    return own


def origin(paths: Paths, runs: dict) -> tuple[Origin, list]:
    told = []
    client = SimpleNamespace(set_tag=lambda *of: told.append(of))
    tracker = SimpleNamespace(recorded=runs.get, client=client)
    found = Origin.of(tracker, paths, REPORT, mixed_schema())
    found.tell(tracker, "a model 4")
    return found, told


def test_its_runs_are_linked_and_the_evaluation_knows_its_version(paths):
    found, told = origin(paths, {"evaluate 89ab": run("e1"), "train 0123 mse 3": run("f1")})
    assert str(found).startswith(
        "It rests on its [evaluation](#/experiments/7/runs/e1), "
        "[report](#/experiments/7/runs/e1/artifacts/report.html), "
        f"its [fit](#/experiments/7/runs/f1), data `{mixed_schema().digest}`"
    )
    assert told == [("e1", "hourglass.registered", "a model 4")]
    assert found.tags["hourglass.fitted"] == "train 0123 mse 3"
    assert found.tags["hourglass.data"] == mixed_schema().digest


def test_where_mlflow_has_them_no_more_their_keys_are_named(paths):
    found, told = origin(paths, {})
    assert str(found).startswith(
        "It rests on its evaluation (key `evaluate 89ab`), its fit (key `train 0123 mse 3`), data"
    )
    assert told == []
