"""A model is registered once, and again only when its files are lost."""

import logging
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from tests.fits import make_files, spec

from hourglass import config, trials
from hourglass.config import Params
from hourglass.paths import Paths, read_json, write_json, write_text
from hourglass.stages import register

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory):
    """A folder with a trained model that evaluate selected."""
    root = make_files(tmp_path_factory.mktemp("a project"))
    paths = Paths(root)
    trials.run(replace(spec(root), save_to=paths.model("mse", 1)))
    numbers = {"rows": "0123", "test": 2.0, "test_pca": 2.1, "ruler": "bits per hidden value"}
    numbers |= {"bits_per_feature": 1.9, "bits_per_feature_masked": 2.0, "rmse": 1.0, "mae": 0.5}
    chosen = {"selected_loss": "mse", "selected_seed": 1, "rows_test": 40}
    write_text(paths.evaluate("verdict.txt"), "mse is best\n")
    write_json(paths.evaluate("metrics.json"), {**chosen, **numbers})
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.chdir(root)
        yield paths


def registered(params: Params, paths: Paths) -> dict:
    register.run(params, paths)
    return read_json(paths.register("version.json"), "register")


@pytest.mark.slow
def test_a_model_is_registered_once_and_again_when_its_files_are_lost(project, caplog):
    import mlflow

    params = config.load(ROOT / "params.yaml")
    first = registered(params, project)
    assert (first["version"], first["uri"]) == (1, "models:/hourglass-autoencoder@champion")
    assert registered(params, project) == first
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING]
    other = params.model_copy(
        update={"register_": params.register_.model_copy(update={"alias": "challenger"})}
    )
    assert registered(other, project)["version"] == 1
    shutil.rmtree(project.root / "mlruns")
    assert registered(params, project)["version"] == 2
    assert "version 1 has lost its files" in caplog.text
    mlflow.pyfunc.load_model(first["uri"])
    files = {f.name for f in project.root.rglob("artifacts/artifacts/**/*") if f.is_file()}
    assert files == {"model.json", "weights.safetensors", "model.onnx"}
    client = mlflow.MlflowClient()
    assert client.get_registered_model(first["name"]).aliases["champion"] in {2, "2"}


@pytest.mark.slow
def test_a_model_that_was_logged_before_a_kill_is_no_second_one(project, monkeypatch):
    """A regression: each kill between the log and the version left a model more in the run."""
    import mlflow

    class Killed(BaseException):
        pass

    def die(*_: object, **__: object) -> None:
        raise Killed

    params = config.load(ROOT / "params.yaml")
    named = params.register_.model_copy(update={"name": "another-name"})
    params = params.model_copy(update={"register_": named})
    client = mlflow.MlflowClient(f"sqlite:///{project.root}/mlflow.db")
    experiment = client.get_experiment_by_name(params.tracking.experiment).experiment_id
    before = {m.model_id for m in client.search_logged_models([experiment])}
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(mlflow.MlflowClient, "create_model_version", die)
        registered(params, project)
    assert len(client.search_logged_models([experiment])) == len(before) + 1
    assert registered(params, project)["version"] == 1
    after = {m.model_id for m in client.search_logged_models([experiment])}
    assert len(after) == len(before) + 1
    assert before < after  # versions of other names keep theirs
