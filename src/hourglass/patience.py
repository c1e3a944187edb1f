"""Waits for a store that is away for a while (a database, a server), says so, and goes on.

Broken connections, servers that start or have too much to do, and locked files pass. Refusals, a
full disk and bugs don't, and are never tried again. What is asked must be idempotent: an answer
may be lost although the work was done.
"""

import errno
import logging
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

import requests
from sqlalchemy.exc import DBAPIError
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    stop_after_delay,
    wait_exponential,
)

from hourglass.errors import HourglassError

log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True)
class Patience:
    """How long is waited.

    Attributes:
        seconds: For a store that is away, in all.
        first: The first pause, in seconds; each is twice the one before.
        longest: The longest pause, in seconds.
        silence: Seconds without an answer after which the log says so.
    """

    seconds: float = 120.0
    first: float = 1.0
    longest: float = 15.0
    silence: float = 15.0


PATIENCE = Patience()

# Answers of HTTP that pass: too slow, too many requests, a gateway without a server, unavailable.
PASSING_STATUS = frozenset({408, 429, 502, 503, 504})
# SQLSTATEs that pass, beside class 08 (connections): a conflict of transactions, too many
# connections, a lock, a server that ends or starts.
PASSING_SQLSTATE = frozenset({"40001", "40P01", "53300", "55P03", "57P01", "57P02", "57P03"})
# What libpq says without a SQLSTATE, since there was no connection yet, but won't pass.
REFUSED = ("authentication failed", "does not exist", "no pg_hba.conf entry", "permission denied")
UNREACHABLE = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EHOSTDOWN})
FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
DISK_FULL = "53100"  # a SQLSTATE


@dataclass(frozen=True)
class Store:
    """A store with what is said when it doesn't do what it is asked.

    Attributes:
        what: For people, e.g. "MLflow's store".
        address: Its URL; a password in it is never shown.
        error: What is raised.
        remedy: What the message ends with.
        raises: What the store's library raises.
    """

    what: str
    address: str = field(repr=False)
    error: type[HourglassError]
    remedy: str
    raises: tuple[type[Exception], ...]

    def ask(self, call: Callable[[], T]) -> T:
        """Calls, again and again while the store is away, and returns the answer.

        Raises:
            HourglassError: `error`, if it refuses or patience ends.
        """
        try:
            return through_outages(self._name(), self.address, call)
        except self.raises as error:
            away = f"did not come back within {PATIENCE.seconds:g} s"
            raise self._translated(error, away if is_outage(error) else "can't be used") from error

    @contextmanager
    def answering(self) -> Iterator[None]:
        """Translates errors without patience: for what may not be repeated, and for openings.

        Raises:
            HourglassError: `error`.
        """
        try:
            yield
        except self.raises as error:
            raise self._translated(error, "can't be used") from error

    def _name(self) -> str:
        return f"{self.what} at {without_password(self.address)}"

    def _translated(self, error: Exception, state: str) -> HourglassError:
        remedy = self.remedy
        if is_full(error):
            remedy = "Make room on the disk and run the same command again; what finished is kept"
        return self.error(f"{self._name()} {state}: {cause(error, self.address)}. {remedy}")


def through_outages(name: str, address: str, call: Callable[[], T]) -> T:
    """Calls again and again during an outage, with growing pauses; what is raised last comes out.

    Args:
        name: Of the store, for people.
        address: Its URL.
        call: What is asked; idempotent.
    """

    def say(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        if state.attempt_number == 1 and error is not None:
            why = cause(error, address)
            log.warning("%s is away (%s): waiting up to %g s for it", name, why, PATIENCE.seconds)

    retrying = Retrying(
        retry=retry_if_exception(is_outage),
        stop=stop_after_delay(PATIENCE.seconds),
        wait=wait_exponential(multiplier=PATIENCE.first, max=PATIENCE.longest),
        before_sleep=say,
        reraise=True,
    )
    answer = retrying(lambda: _aloud(name, call))
    if retrying.statistics["attempt_number"] > 1:
        log.info("%s is back: going on", name)
    return answer


def _aloud(name: str, call: Callable[[], T]) -> T:
    """Calls, and says so if no answer comes for long: a server may hang without an error."""
    told = "%s has not answered for %g s: still waiting"
    timer = threading.Timer(PATIENCE.silence, log.warning, (told, name, PATIENCE.silence))
    timer.daemon = True
    timer.start()
    try:
        return call()
    finally:
        timer.cancel()


def is_outage(error: BaseException) -> bool:
    """Whether what went wrong passes by itself; the outermost error that tells decides."""
    told = (_passes(e) for e in _chain(error))
    return next((passes for passes in told if passes is not None), False)


def is_full(error: BaseException) -> bool:
    """Whether a disk is full."""
    return any(_is_full(e) for e in _chain(error))


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error and what it was raised from."""
    while error is not None:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _passes(error: BaseException) -> bool | None:
    """None: this error doesn't tell."""
    if _is_full(error):
        return False
    if isinstance(error, DBAPIError):
        return _database_is_away(error)
    if isinstance(error, requests.RequestException):
        return _server_is_away(error)
    if isinstance(error, ConnectionError | TimeoutError | socket.gaierror):
        return True
    return error.errno in UNREACHABLE if isinstance(error, OSError) else None


def _server_is_away(error: requests.RequestException) -> bool:
    if error.response is not None:
        return error.response.status_code in PASSING_STATUS
    if isinstance(error, requests.exceptions.RetryError):  # urllib3 keeps the status in words only
        found = re.search(r"too many (\d{3}) error responses", str(error))
        return found is not None and int(found[1]) in PASSING_STATUS
    if isinstance(error, requests.exceptions.SSLError):
        return False
    passing = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)
    return isinstance(error, passing)


def _database_is_away(error: DBAPIError) -> bool:
    if state := _sqlstate(error.orig):
        return state.startswith("08") or state in PASSING_SQLSTATE
    if error.connection_invalidated:
        return True
    text, library = str(error.orig).lower(), type(error.orig).__module__
    if library.startswith("psycopg"):  # no SQLSTATE: a connection could not be made
        return "Operational" in type(error).__name__ and not any(sign in text for sign in REFUSED)
    return library == "sqlite3" and "is locked" in text


def _is_full(error: BaseException) -> bool:
    if isinstance(error, DBAPIError):
        return _sqlstate(error.orig) == DISK_FULL or "disk is full" in str(error.orig)
    return isinstance(error, OSError) and error.errno in FULL


def _sqlstate(error: BaseException | None) -> str | None:
    """PostgreSQL's code of what went wrong: psycopg's attribute, or that of psycopg2."""
    return getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)


# What libpq adds to a refused connection.
TIP = "Is the server running on that host and accepting TCP/IP connections?"


def cause(error: BaseException, address: str) -> str:
    """What the innermost library said, on one line, without the password of `address`."""
    said = next((e.orig for e in _chain(error) if isinstance(e, DBAPIError) and e.orig), error)
    text = " ".join(str(said).replace(address, without_password(address)).split())
    if found := re.search(r"\(Caused by \w+\((.*)\)\)", text):  # by urllib3, behind a long address
        text = found[1].strip("'\"")
    text = text.removesuffix(TIP).rstrip()
    # Some libraries write the address in their own way; then signs such as spaces are escaped.
    return re.sub(r"(://[^\s/:@]*):\S*@", r"\1:***@", text).rstrip(".")


def without_password(address: str) -> str:
    """The URL as it may be shown: `***` for a password, wherever in it that stands."""
    address = re.sub(r"(?s)(://[^/:@]*):.*@", r"\1:***@", address)
    return re.sub(r"(?i)([?&][^=&]*(?:password|passwd|pwd|token)[^=&]*=)[^&]*", r"\1***", address)
