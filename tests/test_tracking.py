"""Runs are found again by their key; the twin in memory and MLflow's own store agree."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hourglass import tracking
from hourglass.errors import TrackingError
from hourglass.mlflow_runs import MlflowTracker
from hourglass.mlflow_store import tracking_uri
from hourglass.paths import Paths
from hourglass.schema import Column, Kind, Schema
from hourglass.tracking import (
    DataSet,
    MemoryTracker,
    Run,
    Tracker,
    data_sets,
    end_unfinished,
    grouped,
    short,
    thinned,
)

DATA = DataSet("builtin: digits", "0123abcd", "data/interim/train", ("a", "b"), 10, "train")


@pytest.fixture(scope="module")
def mlflow_tracker(tmp_path_factory: pytest.TempPathFactory) -> MlflowTracker:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        folder = tmp_path_factory.mktemp("store")
        patch.chdir(folder)  # MLflow keeps artifacts below the working folder
        return MlflowTracker("tests", folder)


@pytest.fixture(params=["memory", "mlflow"])
def tracker(request: pytest.FixtureRequest, tmp_path: Path) -> Tracker:
    if request.param == "memory":
        return MemoryTracker()
    return request.getfixturevalue("mlflow_tracker")


def record(tracker: Tracker, key: str, tmp_path: Path) -> None:
    run = tracker.run(key, "a name", {"hourglass.stage": "test"})
    file = tmp_path / "note.txt"
    file.write_text("x")
    run.params({"loss": "mse", "learning_rate": 0.001234567})
    run.curve([{"epoch": 1, "val_loss": 0.5}, {"epoch": 2, "val_loss": 0.25}])
    run.metrics({"bits_per_feature": 1.5})
    run.artifact(file)
    run.table([{"loss": "mse", "bits": 1.0}], "leaderboard")
    run.data([DATA])
    run.note("**well**, [drawn](artifact:note.txt)")
    run.finish()


def test_a_table_of_a_killed_process_is_written_anew(mlflow_tracker):
    import mlflow

    run = mlflow_tracker.run("killed", "a name", {})
    mlflow_tracker.client.log_text(run.id, '{"columns": ["lo', "leaderboard.json")
    for _ in range(2):
        run = mlflow_tracker.run("killed", "a name", {})
        run.table([{"loss": "mse", "bits": 1.0}], "leaderboard")
    place = mlflow_tracker.experiment_id
    shown = mlflow_tracker.client.load_table(place, "leaderboard.json", [run.id])
    assert shown.to_dict("list") == {"loss": ["mse"], "bits": [1.0]}
    path = mlflow.artifacts.download_artifacts(
        run_id=run.id, artifact_path="leaderboard.json", tracking_uri=mlflow_tracker.uri
    )
    assert json.loads(Path(path).read_text())["data"] == [["mse", 1.0]]


def test_a_finished_key_is_found_finished(tracker, tmp_path, request):
    key = f"finished {request.node.name}"
    assert not tracker.run(key, "a name", {}).finished
    record(tracker, key, tmp_path)
    assert tracker.run(key, "a name", {}).finished


def test_an_unfinished_key_continues_the_same_run(tracker, request):
    key = f"open {request.node.name}"
    first = tracker.run(key, "a name", {})
    again = tracker.run(key, "a name", {})
    assert (again.id, again.finished) == (first.id, False)


def test_a_failed_run_is_not_finished(tracker, request):
    run = tracker.run(f"failed {request.node.name}", "a name", {})
    run.finish(failed=True)
    if isinstance(tracker, MlflowTracker):
        assert tracker.client.get_run(run.id).info.status == "FAILED"
    else:
        assert run.failed


def test_mlflow_has_what_was_recorded(mlflow_tracker, tmp_path):
    record(mlflow_tracker, "whole", tmp_path)
    client = mlflow_tracker.client
    run = client.get_run(mlflow_tracker.run("whole", "a name", {}).id)
    assert run.data.params == {"loss": "mse", "learning_rate": "0.00123457"}
    assert run.data.metrics == {"curve/val_loss": 0.25, "bits_per_feature": 1.5}
    assert [m.value for m in client.get_metric_history(run.info.run_id, "curve/val_loss")] == [
        0.5,
        0.25,
    ]
    assert {a.path for a in client.list_artifacts(run.info.run_id)} == {
        "note.txt",
        "leaderboard.json",
    }
    (entry,) = run.inputs.dataset_inputs
    assert (entry.dataset.name, entry.dataset.digest) == ("builtin: digits", "0123abcd")
    page = f"#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}/artifacts/note.txt"
    assert run.data.tags["mlflow.note.content"] == f"**well**, [drawn]({page})"


def test_recording_a_finished_key_again_adds_nothing(mlflow_tracker, tmp_path):
    record(mlflow_tracker, "twice", tmp_path)
    record(mlflow_tracker, "twice", tmp_path)
    run_id = mlflow_tracker.run("twice", "a name", {}).id
    assert len(mlflow_tracker.client.get_metric_history(run_id, "curve/val_loss")) == 2


def test_a_stage_that_was_killed_continues_its_run_without_copies(mlflow_tracker):
    """It may come back with other settings that change no number, such as fewer workers."""
    for workers in (2, 1):
        run = mlflow_tracker.run("killed", "a name", {})
        run.params({"workers": workers, "epochs": 3})
        run.curve([{"epoch": 1, "val_loss": 0.5}, {"epoch": 2, "val_loss": 0.25}])
        run.flush()
    run.params({"late": 1})
    run.flush()
    found = mlflow_tracker.client.get_run(run.id).data.params
    assert found == {"workers": "2", "epochs": "3", "late": "1"}
    assert len(mlflow_tracker.client.get_metric_history(run.id, "curve/val_loss")) == 2


def test_half_an_artifact_that_a_kill_left_is_removed(mlflow_tracker, tmp_path):
    """MLflow uploads beside the artifact and renames."""
    run = mlflow_tracker.run("a killed upload", "a name", {})
    (tmp_path / "note.txt").write_text("x")
    run.artifact(tmp_path / "note.txt")
    uri = mlflow_tracker.client.get_run(run.id).info.artifact_uri
    (Path(uri.removeprefix("file://")) / ".artifact.uploading.abcdefgh").touch()
    mlflow_tracker.run("a killed upload", "a name", {})
    assert [a.path for a in mlflow_tracker.client.list_artifacts(run.id)] == ["note.txt"]


@pytest.mark.parametrize("how", ["KILLED", "FAILED"])
def test_the_run_of_a_stage_that_breaks_off_is_opened_again(
    mlflow_tracker, tmp_path, how, monkeypatch
):
    key = f"a run that is {how}"
    run = mlflow_tracker.run(key, "a name", {})
    record(mlflow_tracker, "a run that had ended before", tmp_path)
    ended = mlflow_tracker.run("a run that had ended before", "a name", {})
    client = mlflow_tracker.client

    def status(one: Run) -> str:
        return client.get_run(one.id).info.status

    monkeypatch.setattr(tracking, "PATIENCE", 120.0)  # a busy machine may need more than a second
    end_unfinished(how)
    assert (status(run), status(ended)) == (how, "FINISHED")
    again = mlflow_tracker.run(key, "a name", {})
    assert (again.id, status(run)) == (run.id, "RUNNING")
    again.finish()
    end_unfinished(how)
    assert status(run) == "FINISHED"


def test_a_store_that_does_not_answer_holds_nobody_up(mlflow_tracker, monkeypatch):
    """What is interrupted ends within about a second."""

    monkeypatch.setattr(mlflow_tracker.client, "set_terminated", lambda *_: time.sleep(600))
    monkeypatch.setattr(tracking, "PATIENCE", 0.01)
    mlflow_tracker.run("a run while its store hangs", "a name", {})
    end_unfinished("KILLED")


def test_a_store_is_made_whole_or_not_at_all(monkeypatch, tmp_path):
    """A regression: MLflow refused what a kill in the seconds of its making had left."""

    class Killed(BaseException):
        pass

    def die(*_: object) -> None:
        assert list(tmp_path.glob(".mlflow.db.*.part"))
        raise Killed

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr("mlflow.store.db.utils._upgrade_db", die)
        MlflowTracker("tests", tmp_path)
    assert not (tmp_path / "mlflow.db").exists()


def test_a_deleted_experiment_comes_back(mlflow_tracker, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_tracker.uri)
    first = MlflowTracker("deleted", tmp_path)
    first.client.delete_experiment(first.experiment_id)
    assert MlflowTracker("deleted", tmp_path).experiment_id == first.experiment_id


@pytest.fixture
def restored():
    """MLflow's global choice of a store as it was."""
    import mlflow

    before = mlflow.get_tracking_uri()
    yield
    mlflow.set_tracking_uri(before)
    mlflow.set_registry_uri(before)


@pytest.mark.usefixtures("restored")
def test_a_store_that_cannot_be_made_is_named_with_the_remedy(monkeypatch, tmp_path):
    (tmp_path / "a file").touch()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/a file/mlflow.db")
    with pytest.raises(TrackingError, match=r"a file/mlflow\.db can't be made: .*Name another"):
        MlflowTracker("tests", tmp_path)


def test_a_store_that_is_no_database_is_named_with_the_remedy(monkeypatch, tmp_path):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "mlflow.db").write_bytes(b"not a database " * 100)
    message = r"MLflow's store at sqlite:.*mlflow.db can't be used: file is not a database. Mend it"
    with pytest.raises(TrackingError, match=message):
        MlflowTracker("x", tmp_path)


@pytest.mark.usefixtures("restored")
def test_an_address_of_an_unknown_kind_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "carrier-pigeon://loft")
    with pytest.raises(TrackingError, match=r"store at carrier-pigeon://loft can't be used"):
        MlflowTracker("x", tmp_path)


@pytest.mark.usefixtures("restored")
def test_a_server_that_is_away_is_given_up(monkeypatch, tmp_path):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(TrackingError, match=r"store at http://127.0.0.1:9 can't be used"):
        MlflowTracker("x", tmp_path)
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "0"


@pytest.mark.parametrize("name", ["50 %41", "why?"])
def test_a_folder_whose_name_mlflow_misreads_is_refused(name, monkeypatch, tmp_path):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(TrackingError, match=r"it misreads % and \? in the names of folders"):
        tracking_uri(tmp_path / name)


@pytest.mark.parametrize("place", ["tmp1234", "standalone/tmp1234"])  # of --queue, of --temp
def test_an_experiment_that_dvc_runs_in_a_copy_records_where_the_project_does(
    monkeypatch, tmp_path, place
):
    """DVC removes the copy afterwards, and all that is in it."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    copy = tmp_path / ".dvc" / "tmp" / "exps" / place
    copy.mkdir(parents=True)
    assert tracking_uri(copy) == f"sqlite:///{tmp_path}/mlflow.db"
    assert Paths(copy).journals == tmp_path / ".hourglass" / "journals"
    assert Paths(copy / "part").journals == tmp_path / "part" / ".hourglass" / "journals"
    monkeypatch.chdir(copy)
    tracker = MlflowTracker(f"in a copy, {place[:4]}", copy)
    run = tracker.run("search a", "search", {})
    (copy / "picture.txt").write_text("kept")
    run.artifact(copy / "picture.txt")
    kept = tracker.client.get_run(run.id).info.artifact_uri.removeprefix("file://")
    assert Path(kept, "picture.txt").read_text() == "kept"
    assert not Path(kept).is_relative_to(copy)


OPENS = """
import sys
from pathlib import Path
from hourglass.mlflow_runs import MlflowTracker
tracker = MlflowTracker("shared", Path(sys.argv[1]))
tracker.run(sys.argv[2], sys.argv[2], {}).finish()
"""


@pytest.mark.slow
def test_two_that_make_the_store_at_once_lose_nothing(monkeypatch, tmp_path):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    command = [sys.executable, "-c", OPENS, str(tmp_path)]
    both = [subprocess.Popen([*command, f"run {i}"], stderr=subprocess.PIPE) for i in range(2)]
    said = [process.communicate()[1].decode() for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    client = MlflowTracker("shared", tmp_path).client
    (experiment,) = [e for e in client.search_experiments() if e.name == "shared"]
    runs = client.search_runs([experiment.experiment_id])
    assert {run.info.run_name for run in runs} == {"run 0", "run 1"}


def test_children_name_their_parent(mlflow_tracker):
    parent = mlflow_tracker.run("parent", "parent", {})
    child = mlflow_tracker.run("child", "child", {}, parent)
    tags = mlflow_tracker.client.get_run(child.id).data.tags
    assert tags["mlflow.parentRunId"] == parent.id


def test_the_store_is_a_file_of_the_project_unless_the_environment_names_one(monkeypatch, tmp_path):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert tracking_uri(tmp_path) == f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    assert tracking_uri(tmp_path) == "http://127.0.0.1:5000"


def test_the_experiment_has_views_as_mlflow_saves_them(mlflow_tracker):
    experiment = mlflow_tracker.client.get_experiment(mlflow_tracker.experiment_id)
    shared = {k: v for k, v in experiment.tags.items() if k.startswith("mlflow.sharedViewState.")}
    assert {k.rpartition(".")[2] for k in shared} == {"losses", "fits", "trials"}
    for text in shared.values():
        view = json.loads(text)
        assert (type(view["name"]), type(view["createdAt"])) == (str, int)
        state = json.loads(view["state"])
        assert state["selectedColumns"][0] == "params.`loss`"
        assert "metrics.`bits_per_feature`" in state["selectedColumns"]


def test_a_view_shows_the_children_of_its_stage_best_first(mlflow_tracker):
    parent = mlflow_tracker.run("view parent", "parent", {"hourglass.stage": "search"})
    for bits in (2.0, 1.0):
        child = mlflow_tracker.run(f"view {bits}", "child", {"hourglass.stage": "search"}, parent)
        child.metrics({"bits_per_feature": bits})
        child.finish()
    experiment = mlflow_tracker.client.get_experiment(mlflow_tracker.experiment_id)
    state = json.loads(json.loads(experiment.tags["mlflow.sharedViewState.trials"])["state"])
    found = mlflow_tracker.client.search_runs(
        [mlflow_tracker.experiment_id],
        state["searchFilter"],
        order_by=[f"{state['orderByKey']} {'ASC' if state['orderByAsc'] else 'DESC'}"],
    )
    assert [r.data.tags["hourglass.key"] for r in found] == ["view 1.0", "view 2.0"]


def test_an_older_experiment_gets_the_views_and_keeps_what_people_changed(
    mlflow_tracker, tmp_path, monkeypatch
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_tracker.uri)
    note = {"mlflow.note.content": "ours"}
    mlflow_tracker.client.create_experiment("older", tags=note)
    own = MlflowTracker("older", tmp_path)
    tags = own.client.get_experiment(own.experiment_id).tags
    assert "mlflow.sharedViewState.fits" in tags
    assert tags["mlflow.note.content"] == "ours"


def test_parameters_are_written_for_people():
    assert [short(v) for v in (0.12345678, 3, ("mse", "mae"), (), "x")] == [
        "0.123457",
        "3",
        "mse, mae",
        "none",
        "x",
    ]


def test_each_split_is_a_data_set_of_its_own(mlflow_tracker):
    """A regression: MLflow kept the first of several that had one name and one digest."""
    run = mlflow_tracker.run("splits", "a name", {})
    column = Column("x", Kind.CONTINUOUS, 0.1, None, None, 0)
    schema = Schema("a table", (column,), {}, {}, None, {"train": 7, "val": 3}, "0123")
    run.data(data_sets(schema, Paths(), ("train", "val")))
    found = mlflow_tracker.client.get_run(run.id).inputs.dataset_inputs
    assert sorted((d.dataset.name, d.tags[0].value) for d in found) == [
        ("a table, train rows", "train"),
        ("a table, val rows", "val"),
    ]


def test_bits_per_feature_stand_before_the_group_of_other_metrics():
    values = {"bits_per_feature": 1.0, "bits_per_feature_masked": 2.0, "rmse": 3.0}
    assert grouped(values, "validation") == {
        "bits_per_feature": 1.0,
        "bits_per_feature_masked": 2.0,
        "validation/rmse": 3.0,
    }


@pytest.mark.parametrize(("epochs", "sent"), [(1, 1), (40, 40), (41, 40), (120, 40)])
def test_of_a_long_curve_evenly_spaced_epochs_are_sent(epochs, sent):
    curve = [{"epoch": float(e), "val_loss": 1 / e} for e in range(1, epochs + 1)]
    own = thinned(curve, 40)
    assert (len(own), own[0], own[-1]) == (sent, curve[0], curve[-1])
