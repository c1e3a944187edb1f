"""What is recorded lies in a journal first; it reaches MLflow once, whatever happens on the way."""

import json
import logging
import multiprocessing
import os
import signal
import threading
import time
from pathlib import Path

import pytest
import requests
from filelock import FileLock
from mlflow.exceptions import MlflowException

from hourglass import sending, tracking
from hourglass.__main__ import main
from hourglass.errors import TrackingError
from hourglass.journal import Lines, Writer, left
from hourglass.mlflow_runs import MlflowRun, MlflowTracker
from hourglass.paths import Paths
from hourglass.recording import JournalTracker
from hourglass.sending import Connections, Replay, Sent, send_left
from hourglass.tracking import DataSet, end_unfinished

DATA = DataSet("builtin: digits", "0123abcd", "data/interim/train", ("a", "b"), 10, "train")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store of MLflow; making one takes seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        folder = tmp_path_factory.mktemp("store")
        patch.chdir(folder)  # MLflow keeps artifacts below the working folder
        MlflowTracker("any", folder)
    return folder


@pytest.fixture
def paths(store, tmp_path, monkeypatch) -> Paths:
    """A project of its own whose runs go to that store."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{store}/mlflow.db")
    monkeypatch.chdir(store)
    monkeypatch.setattr(sending, "GATHER", 0.01)
    monkeypatch.setattr(sending, "GRACE", 0.5)
    monkeypatch.setattr(sending, "LAST", 60.0)  # a busy machine may need more than a second
    return Paths(tmp_path)


def record(tracker: tracking.Tracker, key: str, folder: Path) -> None:
    """A run with one of everything, and a child."""
    run = tracker.run(key, "a name", {"hourglass.stage": "test"})
    file = folder / "note.txt"
    file.write_text("as it was")
    run.params({"loss": "mse", "learning_rate": 0.001234567})
    run.data([DATA])
    run.artifact(file, "notes")
    file.write_text("changed since")
    child = tracker.run(f"{key} child", "a child", {}, run, seconds=5.0)
    child.params({"loss": "mse"})
    child.curve([{"epoch": 1, "val_loss": 0.5}, {"epoch": 2, "val_loss": 0.25}])
    child.metrics({"bits_per_feature": 1.5})
    child.finish()
    run.table([{"loss": "mse", "bits": 1.0}], "leaderboard")
    run.note("**well**")
    run.finish()


def is_whole(experiment: str, key: str, paths: Paths) -> None:
    """MLflow has the run and its child once, with one of everything."""
    tracker = MlflowTracker(experiment, paths.root)
    client = tracker.client
    runs = client.search_runs([tracker.experiment_id])
    assert sorted(r.data.tags["hourglass.key"] for r in runs) == [key, f"{key} child"]
    by_key = {r.data.tags["hourglass.key"]: r for r in runs}
    run, child = by_key[key], by_key[f"{key} child"]
    assert (run.info.status, child.info.status) == ("FINISHED", "FINISHED")
    assert run.data.params == {"loss": "mse", "learning_rate": "0.00123457"}
    assert run.data.tags["mlflow.note.content"] == "**well**"
    assert child.data.tags["mlflow.parentRunId"] == run.info.run_id
    assert 4900 < child.info.end_time - child.info.start_time < 60_000
    assert child.data.metrics == {"bits_per_feature": 1.5, "curve/val_loss": 0.25}
    history = client.get_metric_history(child.info.run_id, "curve/val_loss")
    assert [(m.step, m.value) for m in history] == [(1, 0.5), (2, 0.25)]
    (entry,) = run.inputs.dataset_inputs
    assert (entry.dataset.name, entry.dataset.digest) == ("builtin: digits", "0123abcd")
    assert len(json.loads(entry.dataset.schema)["mlflow_colspec"]) == 2
    place = Path(run.info.artifact_uri.removeprefix("file://"))
    assert (place / "notes" / "note.txt").read_text() == "as it was"
    assert (place / "leaderboard.json").read_text().count('"mse"') == 1


def nothing_is_left(paths: Paths) -> bool:
    return list(paths.journals.iterdir()) == []


def test_mlflow_has_what_was_recorded_and_the_journal_is_gone(paths, tmp_path):
    tracker = JournalTracker("whole", paths)
    record(tracker, "test 1", tmp_path)
    tracker.close()
    is_whole("whole", "test 1", paths)
    assert nothing_is_left(paths)


def test_recording_a_finished_run_again_adds_nothing(paths, tmp_path):
    for _ in range(2):
        tracker = JournalTracker("twice", paths)
        record(tracker, "test 1", tmp_path)
        tracker.close()
    is_whole("twice", "test 1", paths)


CALLS = (
    "search_runs", "create_run", "log_batch", "log_artifact", "log_text", "log_inputs", "set_tag",
    "set_terminated",
)  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_a_call_that_was_done_though_its_answer_was_lost_adds_nothing_twice(
    paths, tmp_path, monkeypatch, name
):
    """As after a kill between a call and the answer: all is sent again."""
    done, lost = getattr(tracking_client(), name), []

    def lossy(self, *arguments, **options):
        answer = done(self, *arguments, **options)
        if len(lost) < 2:
            lost.append(name)
            raise MlflowException("the answer is lost") from requests.ConnectionError("reset")
        return answer

    with monkeypatch.context() as patch:
        patch.setattr(tracking_client(), name, lossy)
        patch.setattr(sending, "FIRST", 0.01)
        patch.setattr(sending, "GRACE", sending.CLOSING)  # the machine may be slow
        tracker = JournalTracker(f"lost {name}", paths)
        record(tracker, "test 1", tmp_path)
        tracker.close()
    assert len(lost) == 2
    assert nothing_is_left(paths)
    is_whole(f"lost {name}", "test 1", paths)


def tracking_client() -> type:
    from mlflow import MlflowClient

    return MlflowClient


def _record_and_die(paths: Paths, folder: Path, half: bytes) -> None:
    os.environ["MLFLOW_TRACKING_URI"] = "http://127.0.0.1:9"  # nobody is there
    tracker = JournalTracker("killed", paths)
    record(tracker, "test 1", folder)
    tracker.run("test 2", "a run that a kill cuts short", {}).metrics({"bits": 1.0})
    (path,) = paths.journals.glob("*.jsonl")
    with path.open("ab") as file:
        file.write(half)
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("half", [b"", b'{"run":"test 1","do":"met', b"\0\0\0\0\n"])
def test_what_a_killed_process_had_recorded_is_sent_later(paths, tmp_path, monkeypatch, half):
    process = multiprocessing.get_context("spawn").Process(
        target=_record_and_die, args=(paths, tmp_path, half)
    )
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    experiment = f"killed {len(half)}"
    (path,) = paths.journals.glob("*.jsonl")
    path.write_bytes(path.read_bytes().replace(b'"killed"', f'"{experiment}"'.encode()))
    assert send_left(paths, everywhere=True) == Sent(runs=3, kept=())
    tracker = MlflowTracker(experiment, paths.root)
    cut = tracker.run("test 2", "", {})
    before = tracker.client.get_run(cut.id)
    assert before.data.metrics == {"bits": 1.0}
    tracker.client.delete_run(cut.id)
    is_whole(experiment, "test 1", paths)
    assert nothing_is_left(paths)


def test_a_run_that_a_kill_cut_short_ends_as_killed(paths):
    writer = Writer(paths.journals)
    writer.add({"do": "begin", "experiment": "cut", "store": sending.named_store()})
    opening = {"name": "a name", "tags": {}, "parent": "", "start": time.time() - 60}
    writer.add({"run": "test 1", "do": "open", **opening})
    writer.journal.release()
    send_left(paths)
    tracker = MlflowTracker("cut", paths.root)
    (run,) = tracker.client.search_runs([tracker.experiment_id])
    assert run.info.status == "KILLED"


def test_a_journal_of_a_process_that_lives_is_not_touched(paths):
    writer = Writer(paths.journals)
    writer.add({"do": "begin", "experiment": "live", "store": ""})
    assert list(left(paths.journals)) == []
    assert send_left(paths, everywhere=True) == Sent(runs=0, busy=(writer.journal.path,))
    assert writer.journal.path.exists()


def test_what_a_kill_left_while_a_journal_was_removed_is_removed(paths, tmp_path):
    writer = Writer(paths.journals)
    (tmp_path / "a").touch()
    writer.copy(tmp_path / "a")
    writer.journal.path.unlink()
    writer.journal.release()
    assert list(left(paths.journals)) == []
    assert nothing_is_left(paths)


def test_half_a_line_counts_when_it_is_whole(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"do":1}\n{"do"')
    lines = Lines(path)
    found, lines.at = lines.next(9)
    assert found == [{"do": 1}]
    assert lines.next(9) == ([], 9)
    with path.open("ab") as file:
        file.write(b":2}\n")
    assert lines.next(9)[0] == [{"do": 2}]


def test_a_line_that_a_full_disk_cut_short_costs_no_other_line(tmp_path, monkeypatch, caplog):
    """A regression: the next line hung on the half one, and counted for nothing either."""
    writer = Writer(tmp_path)
    writer.add({"do": "first"})
    with writer.journal.path.open("ab") as file:
        file.write(b'{"do":"hal')
    with monkeypatch.context() as patch, pytest.raises(OSError, match="full"):

        def full(_: int) -> None:
            raise OSError(28, "the disk is full")

        patch.setattr(os, "fsync", full)
        writer.add({"do": "lost"})
    writer.add({"do": "second"})
    writer.add({"do": "third"})
    found, _ = Lines(writer.journal.path).next(9)
    assert [line["do"] for line in found] == ["first", "second", "third"]
    assert caplog.text.count("can't be read") == 1
    assert writer.size == writer.journal.size


def test_lines_lie_on_the_disk_before_mlflow_is_asked(paths, tmp_path, monkeypatch):
    """Recording returns while MLflow hangs."""
    asked, go_on = threading.Event(), threading.Event()
    done = MlflowTracker.run

    def hang(self, *arguments):
        asked.set()
        go_on.wait(60)
        return done(self, *arguments)

    monkeypatch.setattr(MlflowTracker, "run", hang)
    tracker = JournalTracker("hangs", paths)
    tracker.run("test 1", "a name", {}).metrics({"bits": 1.0})
    assert asked.wait(60)
    record(tracker, "test 2", tmp_path)
    (path,) = paths.journals.glob("*.jsonl")
    assert json.loads(path.read_bytes().splitlines()[-1])["do"] == "finish"
    go_on.set()
    tracker.close()
    assert nothing_is_left(paths)


def test_a_run_that_mlflow_refuses_holds_up_no_other_and_is_kept(
    paths, tmp_path, monkeypatch, caplog
):
    done = MlflowRun.metrics

    def refuse(self, values):
        if "odd" in values:
            raise TrackingError("MLflow's store can't be used: no")
        done(self, values)

    monkeypatch.setattr(MlflowRun, "metrics", refuse)
    tracker = JournalTracker("refused", paths)
    odd = tracker.run("test odd", "an odd run", {})
    odd.metrics({"odd": 1.0})
    odd.finish()
    record(tracker, "test 1", tmp_path)
    tracker.close()
    assert "an odd run: MLflow's store can't be used: no" in caplog.text
    (path,) = paths.journals.glob("*.jsonl")
    assert send_left(paths) == Sent(runs=2, kept=(path,))
    monkeypatch.setattr(MlflowRun, "metrics", done)
    assert send_left(paths) == Sent(runs=3, kept=())
    own = MlflowTracker("refused", paths.root)
    found = own.client.search_runs([own.experiment_id])
    assert {r.info.status for r in found} == {"FINISHED"}
    assert len(found) == 3


def test_what_an_artifact_store_raises_in_its_own_way_holds_up_no_other_run(
    paths, tmp_path, monkeypatch, caplog
):
    """A regression: s3:// without boto3 ended the thread, and the stage waited 120 s for it."""
    done = MlflowRun.artifact

    def fail(self, *_, **__):
        raise ModuleNotFoundError("No module named 'boto3'")

    monkeypatch.setattr(MlflowRun, "artifact", fail)
    tracker = JournalTracker("foreign", paths)
    record(tracker, "test 1", tmp_path)
    tracker.close()
    assert "a name: ModuleNotFoundError: No module named 'boto3'" in caplog.text
    (path,) = paths.journals.glob("*.jsonl")
    assert f"{path.name} keeps the rest" in caplog.text
    monkeypatch.setattr(MlflowRun, "artifact", done)
    assert send_left(paths) == Sent(runs=2)
    is_whole("foreign", "test 1", paths)


def test_a_thread_that_breaks_off_is_not_waited_for(paths, monkeypatch, caplog):
    def fail(*_):
        raise ValueError("a fault of ours")

    monkeypatch.setattr(Replay, "send", fail)
    monkeypatch.setattr(sending, "CLOSING", 3600.0)
    tracker = JournalTracker("broken", paths)
    tracker.run("test 1", "a name", {}).finish()
    tracker.close()
    assert "sending broke off (ValueError: a fault of ours): not all is in MLflow" in caplog.text


@pytest.mark.parametrize("damaged", [0, 1])
def test_a_journal_with_a_damaged_line_holds_up_no_other(paths, tmp_path, damaged):
    writer = Writer(paths.journals)
    writer.add({"do": "begin", "experiment": "damaged", "store": sending.named_store()})
    opening = {"name": "a name", "tags": {}, "start": time.time()}
    writer.add({"run": "test 1", "do": "open", "parent": "", **opening})
    writer.add({"run": "test 2", "do": "open", "parent": "test 1", **opening})
    writer.journal.release()
    path = writer.journal.path
    lines = path.read_bytes().splitlines(keepends=True)
    lines[damaged] = b"\0\0\0\n"
    path.write_bytes(b"".join(lines))
    tracker = JournalTracker(f"beside damaged {damaged}", paths)
    record(tracker, "test 3", tmp_path)
    tracker.close()
    is_whole(f"beside damaged {damaged}", "test 3", paths)
    assert [p.name for p in paths.journals.glob("*.jsonl")] == [path.name]


def test_one_process_sends_at_a_time(paths, monkeypatch):
    tracker = JournalTracker("in turn", paths)
    sent = threading.Event()
    send = MlflowRun.flush
    monkeypatch.setattr(MlflowRun, "flush", lambda self: (send(self), sent.set()))
    with FileLock(paths.sender.with_suffix(".lock")):  # another one sends
        tracker.run("test 1", "a name", {}).finish()
        assert not sent.wait(1.0)
    tracker.close()
    assert sent.is_set()
    assert nothing_is_left(paths)


def test_two_that_send_the_same_runs_make_each_once(paths):
    """A regression: `hourglass sync` beside the search that goes on doubled its trials."""
    opening = {"name": "a name", "tags": {}, "start": time.time()}
    replays, writers = [], [Writer(paths.journals) for _ in range(2)]
    for writer in writers:
        writer.add({"do": "begin", "experiment": "both", "store": sending.named_store()})
        writer.add({"run": "test 1", "do": "open", "parent": "", **opening})
        writer.add({"run": "test 1 a", "do": "open", "parent": "test 1", **opening})
        replays.append(Replay(writer.journal, Connections(paths)))
        replays[-1].send()
    for number, (writer, replay) in enumerate(zip(writers * 2, replays * 2, strict=True)):
        key = f"test 1 {'bc'[number // 2]}"
        writer.add({"run": key, "do": "open", "parent": "test 1", **opening})
        replay.send()
    tracker = MlflowTracker("both", paths.root)
    keys = [
        run.data.tags["hourglass.key"]
        for run in tracker.client.search_runs([tracker.experiment_id])
    ]
    assert sorted(keys) == ["test 1", "test 1 a", "test 1 b", "test 1 c"]


def test_what_was_recorded_for_another_store_is_not_sent_to_this_one(
    paths, tmp_path, monkeypatch, caplog
):
    here = os.environ["MLFLOW_TRACKING_URI"]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://anna:sesame@127.0.0.1:9")
    tracker = JournalTracker("elsewhere", paths)
    record(tracker, "test 1", tmp_path)
    tracker.close()
    assert "store at http://anna:***@127.0.0.1:9 is away" in caplog.text
    monkeypatch.setenv("MLFLOW_TRACKING_URI", here)
    (kept,) = paths.journals.glob("*.jsonl")
    assert send_left(paths) == Sent(runs=0, elsewhere=(kept,))
    assert "was recorded for http://anna:***@127.0.0.1:9, not for sqlite:" in caplog.text
    assert "sesame" not in caplog.text
    assert send_left(paths, everywhere=True).runs == 2
    is_whole("elsewhere", "test 1", paths)


@pytest.mark.parametrize("how", ["KILLED", "FAILED"])
def test_the_runs_of_a_stage_that_breaks_off_end_so_and_go_on_later(paths, how, monkeypatch):
    monkeypatch.setattr(tracking, "PATIENCE", 120.0)  # a busy machine may need more than a second
    tracker = JournalTracker(how, paths)
    tracker.run("test 1", "a name", {}).metrics({"bits": 1.0})
    done = tracker.run("test 2", "a name", {})
    done.finish()
    end_unfinished(how)
    assert nothing_is_left(paths)
    store = MlflowTracker(how, paths.root)

    def states() -> list[str]:
        runs = store.client.search_runs([store.experiment_id], order_by=["tags.`hourglass.key`"])
        return [run.info.status for run in runs]

    assert sorted(states()) == sorted(["FINISHED", how])
    again = JournalTracker(how, paths)
    again.run("test 1", "a name", {}).finish()
    again.close()
    assert states() == ["FINISHED", "FINISHED"]


def test_a_copy_of_the_project_keeps_its_journal_where_the_project_is(
    tmp_path, monkeypatch, caplog
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setattr(sending, "GRACE", 0.1)
    copy = tmp_path / ".dvc" / "tmp" / "exps" / "a copy"
    copy.mkdir(parents=True)
    tracker = JournalTracker("copy", Paths(copy))
    tracker.run("test 1", "a name", {}).finish()
    tracker.close()
    (path,) = (tmp_path / ".hourglass" / "journals").glob("*.jsonl")
    assert f".hourglass/journals/{path.name} keeps the rest" in caplog.text


@pytest.mark.parametrize("opened", [True, False])
def test_a_signal_while_a_run_is_opened_leaves_none_open(paths, monkeypatch, opened):
    """A regression: a run was ended only if it had been opened for some microseconds."""
    monkeypatch.setattr(tracking, "PATIENCE", 120.0)  # a busy machine may need more than a second
    tracker = JournalTracker(f"signal {opened}", paths)
    add = Writer.add

    def interrupted(self, line):
        if line["do"] == "open":
            if opened:
                add(self, line)
            raise KeyboardInterrupt
        add(self, line)

    with monkeypatch.context() as patch:
        patch.setattr(Writer, "add", interrupted)
        with pytest.raises(KeyboardInterrupt):
            tracker.run("test 1", "a name", {})
    end_unfinished("KILLED")
    store = MlflowTracker(f"signal {opened}", paths.root)
    runs = store.client.search_runs([store.experiment_id])
    assert [r.info.status for r in runs] == ["KILLED"] * opened
    assert nothing_is_left(paths)


def test_a_stage_that_breaks_off_while_mlflow_is_away_says_so_and_ends(paths, monkeypatch, caplog):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    tracker = JournalTracker("away", paths)
    tracker.run("test 1", "a name", {}).metrics({"bits": 1.0})
    end_unfinished("KILLED")
    (path,) = paths.journals.glob("*.jsonl")
    assert json.loads(path.read_bytes().splitlines()[-1])["with"]["status"] == "KILLED"
    assert (
        f"not all is in MLflow yet. .hourglass/journals/{path.name} keeps the rest" in caplog.text
    )


def test_what_the_machine_does_is_recorded_when_asked_for(paths, monkeypatch, caplog):
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.05")
    caplog.set_level(logging.INFO)
    tracker = JournalTracker("machine", paths, system_metrics=True)
    run = tracker.run("test 1", "a name", {})
    (path,) = paths.journals.glob("*.jsonl")
    while path.read_bytes().count(b'"sample"') < 2:
        time.sleep(0.02)
    run.finish()
    tracker.close()
    store = MlflowTracker("machine", paths.root)
    (found,) = store.client.search_runs([store.experiment_id])
    names = [m for m in found.data.metrics if m.startswith("system/")]
    assert "system/cpu_utilization_percentage" in names
    history = store.client.get_metric_history(found.info.run_id, names[0])
    assert len({m.timestamp for m in history}) >= 2


def test_sync_sends_what_is_left_and_says_how_much(paths, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sending, "GRACE", 0.1)
    here = os.environ["MLFLOW_TRACKING_URI"]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    tracker = JournalTracker("sync", paths)
    record(tracker, "test 1", tmp_path)
    tracker.close()
    command = ["-C", str(tmp_path), "sync"]
    (own,) = left(paths.journals)
    assert main(command) == 0
    said = f"{own.path.relative_to(tmp_path)} is left alone: another process writes or sends it"
    assert said in capsys.readouterr().out
    own.release()
    assert main(command) == 2
    assert "What is not sent stays in .hourglass/journals" in capsys.readouterr().err
    monkeypatch.setenv("MLFLOW_TRACKING_URI", here)
    assert main(command) == 0
    said = capsys.readouterr().out
    assert said.startswith(".hourglass/journals/")
    assert said.endswith("is kept: it is for another store, see above\n")
    assert main([*command, "--all", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "runs": 2,
        "kept": [],
        "elsewhere": [],
        "busy": [],
    }
    is_whole("sync", "test 1", paths)


def test_what_was_given_up_is_let_go_when_its_thread_ends(paths, monkeypatch):
    """Else a `sync` in the same process would find nothing to send."""
    go = threading.Event()

    def hanging(_) -> None:
        go.wait(60)
        raise TrackingError("away")

    monkeypatch.setattr(Replay, "send", hanging)
    monkeypatch.setattr(sending, "LAST", 0.0)
    earlier = Writer(paths.journals)
    earlier.add({"do": "begin", "experiment": "hangs", "store": sending.named_store()})
    earlier.journal.release()
    tracker = JournalTracker("hangs", paths)
    tracker.run("test 1", "a name", {})
    while not tracker._sender._left:
        time.sleep(0.01)
    tracker._sender.finish(0.1)
    busy: list[Path] = []
    assert list(left(paths.journals, busy)) == []
    assert len(busy) == 2
    go.set()
    tracker._sender.join(60)
    free = list(left(paths.journals))
    assert [one.path for one in free] == busy
    for one in free:
        one.release()
