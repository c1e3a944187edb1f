"""MLflow or the database away in the middle: waited for, and nothing is lost or doubled."""

import logging
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from mlflow.exceptions import MlflowException
from tests import postgres
from tests.settings import params
from tests.test_stores import NEEDS_POSTGRES, soon

from hourglass import patience
from hourglass import search as studies
from hourglass.config import Tracking
from hourglass.errors import TrackingError
from hourglass.mlflow_runs import MlflowTracker
from hourglass.paths import Paths
from hourglass.patience import Patience
from hourglass.sending import send_left
from hourglass.stages import normalize, preprocess, search
from hourglass.tracking import DataSet, MemoryTracker, Run

DATA = DataSet("builtin: digits", "0123abcd", "data/interim/train", ("a", "b"), 10, "train")
FITS = 4  # trials in all


@pytest.fixture(autouse=True)
def _short(monkeypatch):
    monkeypatch.setattr(patience, "PATIENCE", Patience(seconds=60, first=0.05, longest=0.2))


@pytest.fixture(autouse=True)
def restored():
    """MLflow's global choice of a store as it was."""
    import mlflow

    before = mlflow.get_tracking_uri()
    yield
    mlflow.set_tracking_uri(before)
    mlflow.set_registry_uri(before)


# --- a call whose answer is lost ------------------------------------------------------------------


@pytest.fixture(scope="module")
def tracker(tmp_path_factory: pytest.TempPathFactory) -> MlflowTracker:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        folder = tmp_path_factory.mktemp("store")
        patch.chdir(folder)  # MLflow keeps artifacts below the working folder
        return MlflowTracker("tests", folder)


def record(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "note.txt"
    file.write_text("x")
    run.params({"loss": "mse", "learning_rate": 0.001})
    run.curve([{"epoch": 1, "val_loss": 0.5}, {"epoch": 2, "val_loss": 0.25}])
    run.metrics({"bits_per_feature": 1.5})
    run.artifact(file)
    run.table([{"loss": "mse", "bits": 1.0}], "leaderboard")
    run.data([DATA])
    run.note("**well**")
    run.finish()


CALLS = (
    "search_runs", "create_run", "log_batch", "log_artifact", "log_text", "log_inputs", "set_tag",
    "set_terminated",
)  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_a_call_that_was_done_though_its_answer_was_lost_adds_nothing_twice(
    tracker, tmp_path, monkeypatch, name, caplog
):
    client = tracker.client
    done, lost = getattr(client, name), []

    def lossy(*arguments, **options):
        answer = done(*arguments, **options)
        if len(lost) < 2:
            lost.append(name)
            raise MlflowException("the answer is lost") from requests.ConnectionError("reset")
        return answer

    monkeypatch.setattr(client, name, lossy)
    key = f"lost {name}"
    record(tracker.run(key, "a name", {}), tmp_path)
    monkeypatch.undo()
    assert lost
    assert "is away (the answer is lost): waiting up to 60 s for it" in caplog.text
    (run,) = client.search_runs([tracker.experiment_id], f"tags.`hourglass.key` = '{key}'")
    assert run.info.status == "FINISHED"
    assert run.data.params == {"loss": "mse", "learning_rate": "0.001"}
    for metric, values in {"curve/val_loss": [0.5, 0.25], "bits_per_feature": [1.5]}.items():
        points = client.get_metric_history(run.info.run_id, metric)
        assert [m.value for m in points] == values
    assert len(run.inputs.dataset_inputs) == 1
    files = sorted(a.path for a in client.list_artifacts(run.info.run_id))
    assert files == ["leaderboard.json", "note.txt"]
    folder = Path(run.info.artifact_uri.removeprefix("file://"))
    assert (folder / "leaderboard.json").read_text().count('"mse"') == 1


def test_a_refusal_of_mlflow_is_not_repeated(tracker, monkeypatch, caplog):
    run = tracker.run("refused", "a name", {})
    calls = []

    def refuse(*_, **__):
        calls.append(1)
        raise MlflowException("INVALID_PARAMETER_VALUE: no")

    monkeypatch.setattr(tracker.client, "log_batch", refuse)
    with pytest.raises(TrackingError, match=r"can't be used: INVALID_PARAMETER_VALUE: no\. Mend"):
        run.params({"a": 1})
        run.flush()
    assert len(calls) == 1
    assert not caplog.records


def test_a_full_disk_is_said_at_once(tracker, tmp_path, monkeypatch, caplog):
    run = tracker.run("full", "a name", {})

    def fill(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tracker.client, "log_artifact", fill)
    with pytest.raises(TrackingError, match=r"No space left on device\. Make room on the disk"):
        run.artifact(tmp_path / "a")
    assert not caplog.records


def test_mlflows_own_patience_is_off_while_we_ask_and_as_it_was_after(tracker, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "7")
    name, seen = "MLFLOW_HTTP_REQUEST_MAX_RETRIES", []
    monkeypatch.setattr(tracker.client, "set_tag", lambda *_: seen.append(os.environ[name]))
    tracker.run("patience", "a name", {}).table([{"a": 1}], "x")
    assert (seen, os.environ[name]) == (["0"], "7")


# --- whole stages ---------------------------------------------------------------------------------

SMALL = params(
    search={
        "losses": ["mse", "huber"],
        "trials_per_loss": FITS // 2,
        "round_size": 1,
        "scalers": "advised",
        "epochs": 2,
        "max_rows": 200,
        "executor": "serial",
        "accelerator": "cpu",
    },
    model={"latent_dim": 4, "hidden": [8]},
)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder where the search is next."""
    folder = tmp_path_factory.mktemp("project")
    preprocess.run(SMALL, Paths(folder))
    normalize.run(SMALL, Paths(folder))
    return folder


def searched(root: Path, storage: str, experiment: str = "hourglass") -> dict[str, bytes]:
    """The files of a search with its trials in `storage`."""
    changed = {
        "search": SMALL.search.model_copy(update={"storage": storage}),
        "tracking": Tracking(experiment=experiment, system_metrics=False),
    }
    search.run(SMALL.model_copy(update=changed), Paths(root))
    return {n: Paths(root).search(n).read_bytes() for n in ("best.yaml", "trials.csv")}


@pytest.fixture
def untracked(monkeypatch) -> MemoryTracker:
    """The runs of searches, without MLflow."""
    own = MemoryTracker()
    monkeypatch.setattr(search, "JournalTracker", lambda *_, **__: own)
    return own


@pytest.fixture(scope="module")
def expected(root: Path) -> dict[str, bytes]:
    """The files of an undisturbed search on SQLite."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "JournalTracker", lambda *_, **__: MemoryTracker())
        return searched(root, "sqlite:///expected.db")


def disturb(monkeypatch, at: int, do) -> None:
    """Calls `do` in the middle of the fit `at`, counted from 1."""
    fit, begun = studies.trials.run, []

    def run(spec):
        begun.append(spec.name)
        if len(begun) == at:
            do()
        return fit(spec)

    monkeypatch.setattr(studies.trials, "run", run)


@NEEDS_POSTGRES
def test_a_search_on_postgresql_gives_the_very_files_also_through_a_crash_of_it(
    root, expected, untracked, monkeypatch, caplog
):
    with postgres.running() as server:
        assert searched(root, server.create("calm")) == expected

        def crash() -> None:
            server.stop()
            soon(server.start)

        caplog.clear()
        disturb(monkeypatch, 3, crash)
        assert searched(root, server.create("crashed")) == expected
    assert "waiting up to 60 s for it" in caplog.text
    assert "sesame" not in caplog.text
    recorded = [str(run.recorded_params) for run in untracked.runs.values()]
    assert len(recorded) == 1 + FITS
    assert "postgresql+psycopg://miner:***@" in recorded[0]
    assert "sesame" not in "".join(recorded)


class Server:
    """A server of MLflow on a port of its own, whose files stay when it is killed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.uri = f"http://anna:sesame@127.0.0.1:{self.port}"
        self.start()

    def start(self) -> None:
        command = [
            sys.executable, "-m", "mlflow", "server", "--workers", "1", "--host", "127.0.0.1",
            "--port", str(self.port), "--backend-store-uri", f"sqlite:///{self._folder}/server.db",
            "--artifacts-destination", str(self._folder / "artifacts"),
        ]  # fmt: skip
        environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        environment.pop("MLFLOW_TRACKING_URI", None)
        self._process = subprocess.Popen(
            command,
            env=environment,
            cwd=self._folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        for _ in range(600):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=5).close()
                return  # noqa: TRY300
            except OSError:
                time.sleep(0.1)
        raise TimeoutError("mlflow server did not start")

    def kill(self) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


@pytest.fixture(scope="module")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    one = Server(tmp_path_factory.mktemp("server"))  # ten seconds of migrations
    yield one
    one.kill()


@pytest.fixture
def server(mlflow_server, monkeypatch) -> Server:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server.uri)
    return mlflow_server


def journals(root: Path) -> list[Path]:
    return sorted(Paths(root).journals.glob("*.jsonl"))


def has_each_run_once_and_whole(experiment: str, root: Path) -> None:
    tracker = MlflowTracker(experiment, root)
    runs = tracker.client.search_runs([tracker.experiment_id])
    assert Counter(r.info.status for r in runs) == {"FINISHED": 1 + FITS}
    assert len({r.data.tags["hourglass.key"] for r in runs}) == 1 + FITS
    for run in runs:
        if "mlflow.parentRunId" in run.data.tags:
            points = tracker.client.get_metric_history(run.info.run_id, "curve/val_loss")
            assert [m.step for m in points] == [1, 2]
            assert "bits_per_feature" in run.data.metrics
            assert run.data.params["loss"] in ("mse", "huber")
        else:
            artifacts = {a.path for a in tracker.client.list_artifacts(run.info.run_id)}
            assert {"best.yaml", "trials.csv", "search.png"} <= artifacts


@pytest.mark.slow
def test_an_mlflow_server_that_is_killed_for_good_in_a_search_loses_no_metric(
    root, expected, server, monkeypatch, caplog, capfd
):
    disturb(monkeypatch, 3, server.kill)
    assert searched(root, "sqlite:///killed.db", "killed") == expected
    told = caplog.text + "".join(capfd.readouterr())
    assert f"MLflow's store at http://anna:***@127.0.0.1:{server.port} is away" in told
    assert "the next stage sends it, and so does `hourglass sync`" in told
    assert "sesame" not in told
    (kept,) = journals(root)
    assert "sesame" not in kept.read_text()
    with pytest.raises(TrackingError, match=r"is away .*What is not sent stays in") as error:
        send_left(Paths(root))
    assert "sesame" not in str(error.value)
    assert journals(root) == [kept]
    server.start()
    assert send_left(Paths(root)).runs == 1 + FITS
    assert list(Paths(root).journals.iterdir()) == []
    has_each_run_once_and_whole("killed", root)


@pytest.mark.slow
def test_what_a_stage_could_not_send_the_next_one_sends(root, expected, server, monkeypatch):
    disturb(monkeypatch, 2, server.kill)
    assert searched(root, "sqlite:///next.db", "next") == expected
    assert len(journals(root)) == 1
    server.start()
    assert searched(root, "sqlite:///other.db", "another experiment") == expected
    assert journals(root) == []
    has_each_run_once_and_whole("next", root)


@pytest.mark.slow
def test_a_server_that_comes_back_in_time_has_all_at_the_end_of_the_search(
    root, expected, server, monkeypatch, caplog
):
    caplog.set_level(logging.INFO)

    def restart() -> None:
        while "is away" not in caplog.text:
            time.sleep(0.05)
        server.start()

    disturb(monkeypatch, 2, server.kill)
    disturb(monkeypatch, 4, restart)
    assert searched(root, "sqlite:///back.db", "back") == expected
    assert "is back: it has what was kept" in caplog.text
    assert journals(root) == []
    has_each_run_once_and_whole("back", root)
