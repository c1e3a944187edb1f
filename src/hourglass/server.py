"""Serves a registered model over HTTP: MLflow's own scoring server, at 127.0.0.1 unless told.

It answers what no model can read with a status from 400 to 499 and the reason, as MLflow's server
does but for a few requests, which `_Guard` catches.
"""

import csv
import errno
import json
import logging
import socket
import warnings
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from typing import Any

import mlflow
import pandas as pd
import uvicorn
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import scoring_server

from hourglass import given
from hourglass.catalog import nearest
from hourglass.errors import ConfigError
from hourglass.mlflow_store import answering
from hourglass.registered import Registered

log = logging.getLogger(__name__)

MOST = 64 << 20  # bytes of a request
LONGEST = 1000  # characters of a reason
COLUMNS = 1000  # of a CSV's header beyond ten times those of an answer: wide ones take minutes
# How MLflow begins to quote the rows of a request, and how it ends.
QUOTES = (
    ("Failed to predict data '", "'. \nError: "),
    ("Failed to enforce schema of data '", "'. Error: "),
)
TOO_LONG = (
    "the rows took longer than MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT (60 seconds unless it is set "
    "for the server): send fewer at a time"
)
UNREADABLE = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]


def serve(model: Registered, host: str, port: int) -> None:
    """Serves until Ctrl-C.

    Raises:
        ConfigError: the address can't be listened at.
        TrackingError: the model's files are gone, or the store can't be reached.
    """
    with _listening(host, port) as listener:
        own = app(model)
        at = listener.getsockname()[1]
        shown = f"[{host}]" if ":" in host else host
        log.info("%s answers at http://%s:%d/invocations (Ctrl-C ends it)", model, shown, at)
        config = uvicorn.Config(own, log_level="warning", access_log=False)
        uvicorn.Server(config).run(sockets=[listener])


def app(model: Registered) -> App:
    """MLflow's server around a model, which is loaded at once."""
    with warnings.catch_warnings(), answering(model.store):
        warnings.simplefilter("ignore")  # of MLflow's own imports
        loaded = mlflow.pyfunc.load_model(model.uri)
        # By the declared inputs MLflow's server would choose types for a CSV's columns, and finds
        # none for numbers of any type. They are enforced all the same.
        declared = loaded.metadata.get_input_schema
        loaded.metadata.get_input_schema = lambda: None
        own = scoring_server.init(loaded)
        loaded.metadata.get_input_schema = declared
    loaded.predict = _checked(loaded.predict, _names(loaded.metadata.get_params_schema()))
    most = COLUMNS + 10 * len(_names(loaded.metadata.get_output_schema()))
    own.add_middleware(_Guard, columns=most)
    return own  # type: ignore[no-any-return]  # untyped upstream


def _names(schema: Any) -> list[str]:
    """Of a schema of MLflow's; it may have none."""
    return [part.name for part in schema or ()]


def _checked(predict: Callable[..., Any], known: Sequence[str]) -> Callable[..., Any]:
    """Refuses what MLflow would pass over, or refuse in words that tell nothing."""

    def checked(data: Any, params: Mapping[str, Any] | None = None) -> Any:
        for name in params if isinstance(params, Mapping) else ():
            if name not in known:
                said = f"params: unknown {given.shown(name)}{nearest(name, known)}"
                raise _refused(f"{said} (known: {', '.join(known)})")
        if isinstance(data, pd.DataFrame):
            if not all(isinstance(name, str | int | float) for name in data.columns):
                raise _refused("the names of the columns are no texts")
            for name in data.columns[data.columns.duplicated()][:1]:
                raise _refused(f"the rows have column {given.shown(name)} more than once")
        return predict(data, params=params)

    return checked


def _refused(reason: str) -> Exception:
    refused: Exception = MlflowException.invalid_parameter_value(reason)
    return refused


def _listening(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except socket.gaierror as error:
        raise ConfigError(f"--host {host}: there is no such address ({error.strerror})") from error
    except OSError as error:
        if error.errno == errno.EADDRNOTAVAIL:
            raise ConfigError(f"--host {host} is no address of this machine") from error
        if error.errno not in (errno.EADDRINUSE, errno.EACCES):
            raise
        why = "is taken" if error.errno == errno.EADDRINUSE else "may not be opened by this user"
        raise ConfigError(
            f"--port {port} {why}: name another, such as --port {max(port, 1024) + 1}"
        ) from error


class _Guard:
    """Answers requests that MLflow's server has no answer for.

    These are requests without a content type, of more than `MOST` bytes, CSV with far too many
    columns, and JSON at which Python's parser raises something else than its own error: whole
    numbers of thousands of digits, lists within lists without end.

    Args:
        inner: MLflow's server.
        columns: Of a CSV at most.
    """

    def __init__(self, inner: App, columns: int) -> None:
        self.inner = inner
        self.columns = columns

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http" or scope["method"] != "POST":
            await self.inner(scope, receive, send)
            return
        headers = dict(scope["headers"])
        if b"content-type" not in headers:
            kinds = ", ".join(scoring_server.CONTENT_TYPES)
            await _refuse(send, 415, f"the request has no content type; name one of {kinds}")
            return
        content = await _content(receive)
        if content is None:
            await _refuse(
                send, 413, f"the request is larger than {MOST >> 20} MiB; send fewer rows"
            )
            return
        kind = headers[b"content-type"].lower()  # which MLflow compares letter by letter
        scope["headers"] = [*(headers | {b"content-type": kind}).items()]
        if kind.startswith(b"text/csv") and (wrong := _wrong_header(content, self.columns)):
            await _refuse(send, *wrong)
            return
        try:
            await self.inner(scope, _once(content, receive), _Plain(send))
        except UNREADABLE as error:
            said = " ".join(str(error).split())[:200]
            reason = f"the request can't be read ({type(error).__name__}: {said})"
            await _refuse(send, 400, reason)


def _wrong_header(content: bytes, most: int) -> tuple[int, str] | None:
    """Status and reason if a CSV's header can't be used; pandas would rename what stands twice."""
    line = content.partition(b"\n")[0].decode("utf-8-sig", "replace")
    if (count := line.count(",") + 1) > most:
        return 413, f"the header has {count} columns, far more than the model takes"
    for name, count in Counter(next(csv.reader([line]), [])).most_common(1):
        if count > 1:
            return 400, f"the rows have column {given.shown(name)} more than once"
    return None


class _Plain:
    """Passes answers on; of an error only its kind and its reason.

    MLflow's server quotes all rows of the request before the reason, and where it has none it sends
    the lines of code that it came from.
    """

    def __init__(self, send: Send) -> None:
        self.send = send
        self.status = 200
        self.parts: list[bytes] = []

    async def __call__(self, message: Message) -> None:
        """See ASGI."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
        if self.status < 400:
            await self.send(message)
        elif message["type"] == "http.response.body":
            self.parts.append(message.get("body", b""))
            if not message.get("more_body", False):
                code, reason = _told(b"".join(self.parts).decode("utf-8", "replace"))
                if self.status == 504:
                    self.status, reason = 413, TOO_LONG
                await _refuse(self.send, self.status, _short(reason), code)


def _short(reason: str) -> str:
    return reason if len(reason) <= LONGEST else f"{reason[:LONGEST]}..."


def _told(body: str) -> tuple[str, str]:
    """The kind of an error and its reason, of an answer of MLflow's server."""
    try:
        error = json.loads(body)
        code, reason = str(error["error_code"]), str(error["message"])
    except (ValueError, LookupError, TypeError):
        return "BAD_REQUEST", body
    if "stack_trace" in error:
        last = str(error["stack_trace"]).strip().rpartition("\n")[2]
        return code, f"{reason} ({last})"
    for begin, end in QUOTES:
        if reason.startswith(begin):
            reason = reason.rpartition(end)[2]
    if "UnicodeDecodeError" in reason:  # which quotes all of the text
        return code, "the request is not in UTF-8"
    return code, reason.partition("\nInput: \n")[0]


async def _content(receive: Receive) -> bytes | None:
    """The body of a request; None if it is too large, what is left of it read and dropped."""
    parts: list[bytes] = []
    size, more = 0, True
    while more:
        message = await receive()
        part = message.get("body", b"")
        size += len(part)
        if size > MOST:
            parts.clear()
        else:
            parts.append(part)
        more = message.get("more_body", False)
    return b"".join(parts) if size <= MOST else None


def _once(content: bytes, receive: Receive) -> Receive:
    """Gives the body at the first call."""
    left = [content]

    async def replay() -> Message:
        if left:
            return {"type": "http.request", "body": left.pop(), "more_body": False}
        return await receive()

    return replay


async def _refuse(send: Send, status: int, reason: str, code: str = "BAD_REQUEST") -> None:
    """An answer of the form that MLflow's errors have."""
    body = json.dumps({"error_code": code, "message": reason}).encode()
    head = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": body})
