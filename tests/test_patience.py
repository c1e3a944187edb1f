"""What passes is waited for and said; what doesn't is said at once, without the password."""

import errno
import logging
import socket
import sqlite3

import psycopg
import pytest
import requests
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import DatabaseError, IntegrityError, OperationalError

from hourglass import patience
from hourglass.errors import StoreError
from hourglass.patience import Patience, Store, cause, is_full, is_outage, without_password

ADDRESS = "postgresql+psycopg://miner:open%20sesame@host/db"
STORE = Store("the study store", ADDRESS, StoreError, "Mend it", (OperationalError, OSError))


@pytest.fixture(autouse=True)
def _short(monkeypatch):
    monkeypatch.setattr(patience, "PATIENCE", Patience(seconds=0.3, first=0.02, longest=0.1))


def sqlite(text: str) -> OperationalError:
    return OperationalError("SELECT 1", {}, sqlite3.OperationalError(text))


def postgres(text: str, kind=psycopg.OperationalError) -> OperationalError:
    return OperationalError("SELECT 1", {}, kind(text))


def answered(status: int) -> requests.HTTPError:
    response = requests.Response()
    response.status_code = status
    return requests.HTTPError(f"{status} Client Error", response=response)


def wrapped(error: Exception) -> MlflowException:
    """As MLflow raises it: in the middle of handling the other, without naming it."""
    outer = MlflowException(f"API request failed with exception {error}")
    outer.__context__ = error
    return outer


class Away:
    """Fails so often, then answers."""

    def __init__(self, times: int, error: Exception) -> None:
        self.left, self.error, self.calls = times, error, 0

    def __call__(self) -> str:
        self.calls += 1
        if self.left:
            self.left -= 1
            raise self.error
        return "an answer"


LOCKED = sqlite("database is locked")
REFUSED = postgres("connection to server at 127.0.0.1, port 9 failed: Connection refused")


@pytest.mark.parametrize(
    "error",
    [
        LOCKED,
        sqlite("database table is locked: trials"),
        REFUSED,
        postgres("connection failed: FATAL:  the database system is starting up"),
        postgres("failed to resolve host"),
        postgres("timeout", psycopg.errors.ConnectionTimeout),
        postgres("terminating connection", psycopg.errors.AdminShutdown),
        postgres("too many", psycopg.errors.TooManyConnections),
        postgres("a cycle", psycopg.errors.DeadlockDetected),
        OperationalError("SELECT 1", {}, Exception("gone"), connection_invalidated=True),
        ConnectionResetError("reset"),
        TimeoutError("too slow"),
        socket.gaierror(-2, "Name or service not known"),
        OSError(errno.EHOSTUNREACH, "No route to host"),
        requests.ConnectionError("refused"),
        requests.ReadTimeout("too slow"),
        requests.exceptions.RetryError("ResponseError('too many 503 error responses')"),
        answered(502),
        answered(429),
        wrapped(requests.ConnectionError("refused")),
        wrapped(LOCKED),
    ],
    ids=repr,
)
def test_what_passes_by_itself_is_an_outage(error):
    assert is_outage(error)


@pytest.mark.parametrize(
    "error",
    [
        sqlite("database or disk is full"),
        sqlite("no such table: trials"),
        sqlite("attempt to write a readonly database"),
        sqlite("unable to open database file"),
        postgres("connection failed: FATAL:  password authentication failed for user x"),
        postgres('connection failed: FATAL:  database "x" does not exist'),
        postgres("no space", psycopg.errors.DiskFull),
        postgres("denied", psycopg.errors.InsufficientPrivilege),
        IntegrityError("INSERT", {}, psycopg.errors.UniqueViolation("twice")),
        IntegrityError("INSERT", {}, sqlite3.IntegrityError("twice")),
        DatabaseError("SELECT 1", {}, sqlite3.DatabaseError("file is not a database")),
        OSError(errno.ENOSPC, "No space left on device"),
        PermissionError(errno.EACCES, "Permission denied"),
        requests.exceptions.SSLError("certificate"),
        requests.exceptions.InvalidURL("address"),
        requests.exceptions.RetryError("ResponseError('too many 500 error responses')"),
        answered(404),
        answered(500),
        wrapped(OSError(errno.ENOSPC, "No space left on device")),
        MlflowException("RESOURCE_DOES_NOT_EXIST: no such run"),
        ValueError("a bug"),
        KeyboardInterrupt(),
    ],
    ids=repr,
)
def test_what_does_not_pass_is_none(error):
    assert not is_outage(error)


def test_what_is_away_is_asked_again_and_the_log_says_so_once(caplog):
    caplog.set_level(logging.INFO)
    away = Away(3, REFUSED)
    assert STORE.ask(away) == "an answer"
    assert away.calls == 4
    assert [r.getMessage() for r in caplog.records] == [
        "the study store at postgresql+psycopg://miner:***@host/db is away (connection to server "
        "at 127.0.0.1, port 9 failed: Connection refused): waiting up to 0.3 s for it",
        "the study store at postgresql+psycopg://miner:***@host/db is back: going on",
    ]


def test_what_answers_at_once_leaves_the_log_alone(caplog):
    caplog.set_level(logging.INFO)
    STORE.ask(Away(0, REFUSED))
    assert not caplog.records


def test_pauses_grow_up_to_the_longest(monkeypatch):
    pauses = []
    monkeypatch.setattr("tenacity.nap.time.sleep", pauses.append)
    monkeypatch.setattr(patience, "PATIENCE", Patience())
    STORE.ask(Away(7, LOCKED))
    assert pauses == [1, 2, 4, 8, 15, 15, 15]
    assert patience.PATIENCE.seconds == 120


def test_when_patience_ends_one_error_says_so():
    away = Away(1000, LOCKED)
    with pytest.raises(StoreError) as error:
        STORE.ask(away)
    assert str(error.value) == (
        "the study store at postgresql+psycopg://miner:***@host/db did not come back within 0.3 s: "
        "database is locked. Mend it"
    )
    assert 3 < away.calls < 20


@pytest.mark.parametrize("error", [sqlite("no such table"), PermissionError(13, "no")], ids=repr)
def test_a_refusal_is_not_repeated(error, caplog):
    refused = Away(1000, error)
    with pytest.raises(StoreError, match=r"can't be used: .*\. Mend it"):
        STORE.ask(refused)
    assert refused.calls == 1
    assert not caplog.records


def test_a_bug_keeps_its_traceback():
    bug = Away(1000, ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        STORE.ask(bug)
    assert bug.calls == 1


def test_ctrl_c_ends_the_waiting(monkeypatch):
    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("tenacity.nap.time.sleep", interrupt)
    away = Away(1000, LOCKED)
    with pytest.raises(KeyboardInterrupt):
        STORE.ask(away)
    assert away.calls == 1


@pytest.mark.parametrize(
    "error",
    [
        sqlite("database or disk is full"),
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        postgres("could not extend file", psycopg.errors.DiskFull),
    ],
    ids=repr,
)
def test_a_full_disk_is_said_at_once_with_the_remedy(error):
    full = Away(1000, error)
    with pytest.raises(StoreError, match=r"can't be used: .*\. Make room on the disk"):
        STORE.ask(full)
    assert full.calls == 1
    assert is_full(wrapped(error))


def test_what_hangs_without_an_error_is_said(monkeypatch, caplog):
    monkeypatch.setattr(patience, "PATIENCE", Patience(silence=0.05))

    def slow() -> int:
        while not caplog.records:
            pass
        return 1

    assert STORE.ask(slow) == 1
    assert "has not answered for 0.05 s: still waiting" in caplog.text


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        (ADDRESS, "postgresql+psycopg://miner:***@host/db"),
        ("postgresql://u:a@b/c:d?@host:1/db", "postgresql://u:***@host:1/db"),
        ("postgresql://u:open sesame@host/db", "postgresql://u:***@host/db"),
        ("postgresql://u@host/db", "postgresql://u@host/db"),
        ("postgresql://h/d?user=u&password=secret&x=1", "postgresql://h/d?user=u&password=***&x=1"),
        ("postgresql://host/db?sslpassword=secret", "postgresql://host/db?sslpassword=***"),
        ("http://u:secret@127.0.0.1:5000", "http://u:***@127.0.0.1:5000"),
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000"),
        ("sqlite:///.hourglass/studies.db", "sqlite:///.hourglass/studies.db"),
        ("no such thing", "no such thing"),
    ],
)  # fmt: skip
def test_a_password_in_an_address_is_not_shown(address, shown):
    assert without_password(address) == shown


@pytest.mark.parametrize(
    "echo", [ADDRESS, ADDRESS + "/api", "postgresql+psycopg://miner:open+sesame@host/db"]
)
def test_nor_where_a_library_repeats_it(echo):
    text = cause(RuntimeError(f"request to {echo} failed"), ADDRESS)
    assert "sesame" not in text
    assert "miner:***@host/db" in text
