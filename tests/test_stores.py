"""Studies on SQLite and PostgreSQL: the same trials, through outages too, and no password shown."""

import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import optuna
import pytest
from sqlalchemy import event
from tests import postgres
from tests.postgres import PASSWORD, Postgres
from tests.test_search import bowl, finish, study, tried

from hourglass import patience, stores
from hourglass.errors import ConfigError, StoreError
from hourglass.patience import Patience

NEEDS_POSTGRES = pytest.mark.skipif(
    postgres.programs() is None, reason="PostgreSQL's initdb and postgres are not installed"
)


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with postgres.running() as one:
        yield one


@pytest.fixture
def database(server: Postgres, request: pytest.FixtureRequest) -> Iterator[str]:
    """A database of the test's own; the server runs when it begins."""
    yield server.create(f"test_{abs(hash(request.node.name))}")
    server.start_again()


@pytest.fixture(autouse=True)
def _short(monkeypatch):
    monkeypatch.setattr(patience, "PATIENCE", Patience(seconds=20, first=0.05, longest=0.2))


def whole() -> list:
    one = study()
    finish(one)
    return tried(one)


def finish_with(one, disturb: Callable[[], object], *, at: int) -> None:
    """Finishes a study and disturbs it just before it is told of the trial `at`."""
    while proposals := one.next_round():
        for number, hyper in proposals:
            if number == at:
                disturb()
            one.record(number, bowl(hyper))


def soon(do: Callable[[], object], after: float = 1.0) -> None:
    threading.Timer(after, do).start()


# --- PostgreSQL -----------------------------------------------------------------------------------


@NEEDS_POSTGRES
def test_a_search_on_postgresql_has_the_trials_of_one_on_sqlite(database, tmp_path):
    on_server = study(stores.opened(database, tmp_path))
    on_file = study(stores.opened("sqlite:///studies.db", tmp_path))
    finish(on_server)
    finish(on_file)
    assert tried(on_server) == tried(on_file) == whole()


@NEEDS_POSTGRES
@pytest.mark.parametrize("stop_after", [0, 3, 6])
def test_a_search_on_postgresql_is_continued(database, tmp_path, stop_after):
    finish(study(stores.opened(database, tmp_path)), stop_after=stop_after)
    resumed = study(stores.opened(database, tmp_path))
    finish(resumed)
    assert tried(resumed) == whole()


@NEEDS_POSTGRES
def test_two_projects_in_one_database_do_not_disturb_each_other(database, tmp_path):
    one = study(stores.opened(database, tmp_path), name="one", seed=1)
    two = study(stores.opened(database, tmp_path), name="two", seed=2)
    while proposals := [(s, *p) for s in (one, two) for p in s.next_round()]:
        for own, number, hyper in proposals:
            own.record(number, bowl(hyper))
    for own, seed in ((one, 1), (two, 2)):
        alone = study(seed=seed)
        finish(alone)
        assert tried(own) == tried(alone)


@NEEDS_POSTGRES
def test_two_searches_that_open_an_empty_database_at_once_both_begin(database, tmp_path):
    opened, start = [], threading.Barrier(4)

    def begin() -> None:
        start.wait()
        opened.append(stores.opened(database, tmp_path))

    threads = [threading.Thread(target=begin) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(opened) == 4


@NEEDS_POSTGRES
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.url().replace("open", "wrong"), r"authentication failed for user .miner.\. M"),
        (lambda s: s.url("nowhere"), r"database .nowhere. does not exist\. Mend the address"),
        (lambda s: s.url().replace(f":{s.port}/", ":9/"), r"port 9 failed: .* refused\. Mend"),
        (lambda s: s.url().replace(f":{s.port}/", ":x/"), r"can't open 'postgresql\+psycopg:"),
        (lambda s: s.url().replace("%20", "@"), r"has several @: write those .* as %40"),
    ],
    ids=["password", "database", "server", "port", "sign"],
)  # fmt: skip
def test_a_server_that_cannot_be_used_is_one_error_without_the_password(
    server, tmp_path, change, message
):
    with pytest.raises(ConfigError, match=message) as error:
        stores.opened(change(server), tmp_path)
    assert str(error.value).startswith("params.yaml: search.storage: ")
    assert "\n" not in str(error.value)
    for secret in ("sesame", "wrong"):
        assert secret not in str(error.value)


@NEEDS_POSTGRES
def test_the_password_may_stand_in_the_environment(server, tmp_path, monkeypatch):
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    assert stores.opened(server.url(password=""), tmp_path)


@NEEDS_POSTGRES
def test_the_password_may_stand_in_a_file_of_the_users(server, tmp_path, monkeypatch):
    file = tmp_path / "pgpass"
    file.write_text(f"127.0.0.1:{server.port}:*:miner:{PASSWORD}\n")
    file.chmod(0o600)
    monkeypatch.setenv("PGPASSFILE", str(file))
    assert stores.opened(server.url(password=""), tmp_path)


def test_a_missing_driver_is_named_with_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    message = r"'postgresql\+psycopg://u:\*\*\*@h/d' needs .* python -m pip install \"psycopg\[bin"
    with pytest.raises(ConfigError, match=message) as error:
        stores.opened("postgresql+psycopg://u:sesame@h/d", tmp_path)
    assert "sesame" not in str(error.value)


# --- outages --------------------------------------------------------------------------------------


@NEEDS_POSTGRES
@pytest.mark.parametrize("at", [0, 4, 9])
def test_a_server_that_crashes_and_comes_back_costs_nothing(database, server, tmp_path, caplog, at):
    store = stores.opened(database, tmp_path)
    one = study(store)

    def crash() -> None:
        server.stop()
        soon(server.start)

    finish_with(one, crash, at=at)
    assert tried(one) == whole()
    assert len(store.get_all_trials(1)) == 10
    shown = database.replace("open%20sesame", "***")
    assert f"the study store at {shown} is away (" in caplog.text
    assert "waiting up to 20 s for it" in caplog.text
    assert "sesame" not in caplog.text


@NEEDS_POSTGRES
def test_a_server_that_stands_still_is_waited_for(database, server, tmp_path, caplog):
    store = stores.opened(f"{database}?connect_timeout=2", tmp_path)
    one = study(store)

    def freeze() -> None:
        server.freeze()
        soon(server.thaw, 3)

    finish_with(one, freeze, at=5)
    assert tried(one) == whole()
    assert len(store.get_all_trials(1)) == 10
    assert "connection timeout expired" in caplog.text


@NEEDS_POSTGRES
def test_when_patience_ends_the_same_search_goes_on_later(database, server, tmp_path, monkeypatch):
    monkeypatch.setattr(patience, "PATIENCE", Patience(seconds=0.3, first=0.05))
    message = r"the study store at .*:\*\*\*@.* did not come back within 0.3 s: .*refused"
    with pytest.raises(StoreError, match=message) as error:
        finish_with(study(stores.opened(database, tmp_path)), server.stop, at=6)
    assert "sesame" not in str(error.value)
    server.start()
    resumed = study(stores.opened(database, tmp_path))
    assert len(resumed.outcomes()) == 6
    finish(resumed)
    assert tried(resumed) == whole()


@pytest.mark.parametrize("at", [1, 4, 5, 7, 8, 9, 10, 11, 40])
def test_what_was_done_though_the_answer_was_lost_is_not_doubled(tmp_path, monkeypatch, at):
    """Whatever it was: a round is read and added, trials are told and read again."""
    store = stores.opened("sqlite:///studies.db", tmp_path)
    one, commits = study(store), []
    commit = store.engine.dialect.do_commit

    def lossy(connection) -> None:
        commit(connection)
        commits.append(at)
        if len(commits) == at:
            raise sqlite3.OperationalError("database is locked")

    monkeypatch.setattr(store.engine.dialect, "do_commit", lossy)
    monkeypatch.setattr("optuna.storages._rdb.storage.random.random", lambda: 0.01)  # its pauses
    finish(one)
    assert len(commits) > at
    assert tried(one) == whole()


def test_two_searches_that_share_a_study_agree(tmp_path):
    """Both may propose the same round, one of them late; the first trials count."""
    url = "sqlite:///studies.db"
    one, two = (study(stores.opened(url, tmp_path)) for _ in range(2))
    (_, first), *_ = one.next_round()
    one.record(0, bowl(first))
    two._add(0, first)
    assert [number for number, _ in two.next_round()] == [1, 2, 3]
    while rounds := [(s, *p) for s in (one, two) for p in s.next_round()]:
        for own, number, hyper in rounds:
            own.record(number, bowl(hyper))
    assert tried(one) == tried(two) == whole()


def test_a_locked_file_is_waited_for(tmp_path, caplog):
    stores.opened("sqlite:///studies.db", tmp_path)
    url, options = f"sqlite:///{tmp_path}/studies.db", {"connect_args": {"timeout": 0.1}}
    one = study(optuna.storages.RDBStorage(url, engine_kwargs=options))
    other = sqlite3.connect(tmp_path / "studies.db", isolation_level=None, check_same_thread=False)

    def lock() -> None:
        other.execute("BEGIN EXCLUSIVE")
        soon(lambda: other.execute("ROLLBACK"))

    finish_with(one, lock, at=2)
    other.close()
    assert tried(one) == whole()
    assert "is away (database is locked): waiting up to 20 s for it" in caplog.text


def test_a_file_that_is_locked_when_it_is_opened_is_waited_for(tmp_path, caplog):
    with sqlite3.connect(tmp_path / "studies.db", check_same_thread=False) as other:
        other.execute("BEGIN EXCLUSIVE")
        soon(other.rollback, 6)  # sqlite3 itself waits for five seconds
        assert stores.opened("sqlite:///studies.db", tmp_path)
    other.close()
    assert "is away (database is locked)" in caplog.text


def test_a_full_disk_stops_the_search_at_once_and_loses_nothing(tmp_path, caplog):
    store = stores.opened("sqlite:///studies.db", tmp_path)
    one = study(store, trials=4000)  # more than the last page holds

    def fill() -> None:
        @event.listens_for(store.engine, "connect")
        def _no_page_more(connection, _) -> None:
            pages = connection.execute("PRAGMA page_count").fetchone()[0]
            connection.execute(f"PRAGMA max_page_count = {pages}")

        store.scoped_session.remove()
        store.engine.dispose()

    message = r"can't be used: database or disk is full\. Make room on the disk and run the same"
    with pytest.raises(StoreError, match=message):
        finish_with(one, fill, at=3)
    assert not caplog.records
    resumed = study(stores.opened("sqlite:///studies.db", tmp_path))
    finish(resumed)
    assert tried(resumed) == whole()


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "state").write_text("a file")
    with pytest.raises(ConfigError, match=r"can't open 'sqlite:///state/studies.db': .*exists"):
        stores.opened("sqlite:///state/studies.db", Path(tmp_path))
