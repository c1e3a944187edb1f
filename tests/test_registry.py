"""The champion is moved with a reason, and rollbacks go back along the champions that were."""

import logging
import multiprocessing
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from filelock import FileLock, Timeout
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST
from tests.registries import NAME, Killed, make, state
from tests.settings import params

from hourglass import registry
from hourglass.errors import ConfigError, TrackingError
from hourglass.paths import Paths
from hourglass.registry import PROMOTE, REGISTER, ROLLBACK, Move, champions


def moves(*steps: tuple[int | None, int, str]) -> list[Move]:
    return [Move(i, "champion", *step, "ann", "", "") for i, step in enumerate(steps, 1)]


# --- the line of champions ------------------------------------------------------------------------


def test_champions_follow_each_other_and_a_rollback_takes_the_last_off():
    first = [(None, 1, REGISTER), (1, 2, REGISTER), (2, 3, PROMOTE)]
    assert champions(moves(*first), 3) == [1, 2, 3]
    assert champions(moves(*first, (3, 2, ROLLBACK)), 2) == [1, 2]
    assert champions(moves(*first, (3, 2, ROLLBACK), (2, 4, REGISTER)), 4) == [1, 2, 4]
    assert champions(moves(*first, (3, 1, PROMOTE)), 1) == [1, 2, 3, 1]


def test_a_move_that_was_noted_and_never_made_is_not_believed():
    noted = [(None, 1, REGISTER), (1, 2, REGISTER)]
    assert champions(moves(*noted), 1) == [1]
    assert champions(moves(*noted, (1, 3, REGISTER)), 3) == [1, 3]
    assert champions(moves(*noted, (2, 1, ROLLBACK)), 2) == [1, 2]


def test_an_alias_that_was_moved_by_other_means_is_believed():
    noted = [(None, 1, REGISTER), (1, 2, REGISTER)]
    assert champions(moves(*noted), 7) == [1, 2, 7]
    assert champions(moves(*noted, (7, 3, REGISTER)), 3) == [1, 2, 7, 3]
    assert champions(moves(*noted, (None, 3, REGISTER)), 3) == [1, 2, 3]  # it had been taken away
    assert champions([], 5) == [5]
    assert champions([], None) == []


# --- moves ----------------------------------------------------------------------------------------


def test_a_move_is_noted_on_the_version_with_who_when_and_why():
    own = make(2)
    assert own.move(None, 1, REGISTER, "the first")
    assert own.move(1, 2, PROMOTE, "the customer asked")
    last = own.moves()[-1]
    assert (last.number, last.start, last.end, last.how) == (2, 1, 2, PROMOTE)
    assert last.why == "the customer asked"
    assert last.who
    assert last.when.endswith("+00:00")
    assert own.champion() == 2
    assert own.line() == [1, 2]


def test_a_move_that_was_made_keeps_its_note(monkeypatch):
    """A regression: the same move again, the alias moved back in MLflow, wrote over it."""
    own = make(2)
    own.move(None, 1, REGISTER, "the first")
    own.move(1, 2, PROMOTE, "the customer asked")
    own.client.set_registered_model_alias(NAME, "champion", "1")
    own.move(1, 2, PROMOTE, "she asked again")
    assert [m.why for m in own.moves()] == ["the first", "the customer asked", "she asked again"]
    assert all(m.done for m in own.moves())


def test_nothing_moves_if_the_champion_is_another_than_was_seen():
    own = make(3)
    own.move(None, 1, REGISTER, "")
    assert not own.move(2, 3, REGISTER, "")
    assert own.champion() == 1
    assert len(own.moves()) == 1


def test_whoever_is_overtaken_while_it_moves_the_alias_is_told():
    own, client = make(3), None
    client = own.client
    set_alias = client.set_registered_model_alias

    def overtaken(name: str, alias: str, version: str) -> None:
        set_alias(name, alias, version)
        set_alias(name, alias, "3")

    client.set_registered_model_alias = overtaken
    assert not own.move(None, 2, REGISTER, "")


def test_moves_of_two_aliases_do_not_mix():
    own = make(2)
    own.move(None, 1, REGISTER, "")
    other = registry.Registry(type("T", (), {"client": own.client, "uri": ""})(), NAME, "other")
    other.move(None, 1, REGISTER, "")
    other.move(1, 2, REGISTER, "")
    assert [m.number for m in own.moves()] == [1, 2, 3]
    assert (own.line(), other.line()) == ([1], [1, 2])


def test_a_note_that_is_none_is_named():
    own = make(1)
    own.client.tags[1]["hourglass.move.0001"] = "{}"
    with pytest.raises(TrackingError, match=r"version 1 of a model: tag hourglass.move.0001 is no"):
        own.moves()


# --- what people ask for --------------------------------------------------------------------------


@pytest.fixture
def people(monkeypatch):
    """A registry of four versions, and promote and rollback that work on it."""
    own = make(4)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://a-server")
    monkeypatch.setattr(registry, "Registry", lambda *_: own)
    monkeypatch.setattr(own, "has_files", lambda v: int(v.version) != 4)

    @contextmanager
    def answering(_):
        yield

    monkeypatch.setattr(registry, "answering", answering)
    monkeypatch.setattr(registry, "MlflowTracker", lambda *_: type("T", (), {"uri": ""}))

    def promote(number: int, reason: str = "why not") -> None:
        registry.promote(params(), Paths(Path()), number, reason)

    def rollback(reason: str = "it was bad") -> None:
        registry.rollback(params(), Paths(Path()), reason)

    return own, promote, rollback


def test_rollbacks_go_further_back_each_time_and_end_with_the_first(people):
    own, promote, rollback = people
    for number in (1, 2, 3):
        promote(number)
    rollback()
    assert own.champion() == 2
    rollback()
    assert own.champion() == 1
    with pytest.raises(ConfigError, match=r"version 1 is the first @champion .*none to go back to"):
        rollback()
    assert own.champion() == 1
    promote(3)
    rollback("once more")
    assert own.champion() == 1
    assert own.moves()[-1].why == "once more"


def test_a_version_that_was_deleted_is_skipped_on_the_way_back(people):
    own, promote, rollback = people
    for number in (1, 2, 3):
        promote(number)
    del own.client.tags[2]
    rollback()
    assert own.champion() == 1


def test_to_promote_the_champion_changes_nothing(people, caplog):
    own, promote, _ = people
    caplog.set_level(logging.INFO, "hourglass")
    promote(2)
    before = state(own)
    promote(2)
    assert state(own) == before
    assert "version 2 is @champion already" in caplog.text


def test_an_unknown_version_is_refused_with_those_that_are_there(people):
    with pytest.raises(ConfigError, match=r"a model has no version 7 \(there is 1, 2, 3, 4\)"):
        people[1](7)


def test_where_nothing_is_registered_that_is_said(people):
    own, promote, rollback = people
    own.client.tags.clear()
    with pytest.raises(ConfigError, match=r"no version 1 \(there is none: run `dvc repro`\)"):
        promote(1)
    with pytest.raises(ConfigError, match="there is nothing to go back from"):
        rollback()


def test_without_a_store_none_is_made(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(ConfigError, match=r"no model is registered yet \(.*mlflow.db is missing\)"):
        registry.rollback(params(), Paths(tmp_path), "why")
    assert list(tmp_path.iterdir()) == []


def test_a_version_without_files_is_no_champion(people):
    own, promote, _ = people
    with pytest.raises(TrackingError, match="version 4 of a model has lost its files"):
        promote(4)
    assert own.champion() is None


def answered(status: int) -> requests.HTTPError:
    response = requests.Response()
    response.status_code = status
    return requests.HTTPError(f"{status}", response=response)


@pytest.mark.parametrize(
    ("error", "gone"),
    [
        (answered(404), True),
        (answered(401), False),
        (answered(403), False),
        (answered(500), False),
        (FileNotFoundError("no such folder"), True),
        (PermissionError("denied"), False),
        (ConnectionRefusedError("nobody listens"), False),
        (MlflowException("no such model", RESOURCE_DOES_NOT_EXIST), True),
        (MlflowException("something else"), False),
    ],
)
def test_files_that_can_not_be_reached_are_not_lost(monkeypatch, error, gone):
    """A regression: a store that denied access made the gate forget a sound champion."""

    def fail(**_):
        raise error

    monkeypatch.setattr("mlflow.artifacts.list_artifacts", fail)
    own = make(1)
    if gone:
        assert not own.has_files(own.version(1))
        return
    with pytest.raises(type(error)):
        own.has_files(own.version(1))


@pytest.mark.parametrize("reason", ["", "  "])
def test_a_reason_must_be_given(people, reason):
    with pytest.raises(ConfigError, match="--reason is empty"):
        people[1](1, reason)


def test_a_reason_must_fit_into_the_registry(people):
    own, promote, rollback = people
    promote(1, "x" * 1000)
    with pytest.raises(ConfigError, match=r"--reason has 1001 characters, 1000 at most are kept"):
        rollback("x" * 1001)
    assert own.champion() == 1


@pytest.mark.parametrize("at", range(2))
def test_a_promotion_that_was_killed_ends_as_if_nothing_had_happened(people, at):
    own, promote, _ = people
    promote(1)
    own.client.kill_at = own.client.changes + at
    with pytest.raises(Killed):
        promote(2)
    own.client.kill_at = None
    promote(2)
    assert own.line() == [1, 2]
    assert len(own.moves()) == 2


# --- one at a time --------------------------------------------------------------------------------


def hold(uri: str, log: str) -> None:
    """Notes when it gets the registry and when it lets go."""
    with make(1, uri).locked(), Path(log).open("a") as file:
        file.write("in ")
        file.flush()
        time.sleep(0.3)
        file.write("out ")


def test_one_process_at_a_time_changes_a_registry_in_a_file(tmp_path):
    """A kill lets go: the lock is the operating system's."""
    uri, said = f"sqlite:///{tmp_path}/mlflow.db", tmp_path / "said"
    spawn = multiprocessing.get_context("spawn")
    both = [spawn.Process(target=hold, args=(uri, str(said))) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert said.read_text() == "in out in out "
    (tmp_path / "mlflow.db").touch()
    (tmp_path / "link.db").symlink_to("mlflow.db")
    elsewhere = f"sqlite:///{tmp_path}/link.db"  # the same file
    victim = spawn.Process(target=hold, args=(elsewhere, str(said)))
    victim.start()
    while not said.read_text().endswith("in "):
        time.sleep(0.01)
    with pytest.raises(Timeout):
        FileLock(tmp_path / "mlflow.db.lock").acquire(timeout=0)
    victim.kill()
    victim.join()
    with make(1, uri).locked():
        said.write_text("free")
    assert said.read_text() == "free"
