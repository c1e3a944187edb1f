"""Serves a registered model over HTTP: MLflow's own scoring server, at 127.0.0.1 unless told.

It answers what no model can read with a status from 400 to 499 and the reason, as MLflow's server
does but for a few requests, which `_Guard` catches.
"""

import errno
import json
import logging
import socket
import warnings
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import mlflow
import uvicorn
from mlflow.pyfunc import scoring_server

from hourglass.errors import ConfigError
from hourglass.mlflow_store import answering
from hourglass.registered import Registered

log = logging.getLogger(__name__)

MOST = 64 << 20  # bytes of a request
# How MLflow begins to quote the rows of a request, and how it ends.
QUOTES = (
    ("Failed to predict data '", "'. \nError: "),
    ("Failed to enforce schema of data '", "'. Error: "),
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
    own.add_middleware(_Guard)
    return own  # type: ignore[no-any-return]  # untyped upstream


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

    These are requests without a content type, of more than `MOST` bytes, and JSON at which Python's
    parser raises something else than its own error: whole numbers of thousands of digits, lists
    within lists without end.
    """

    def __init__(self, inner: App) -> None:
        self.inner = inner

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
        try:
            await self.inner(scope, _once(content, receive), _Plain(send))
        except UNREADABLE as error:
            said = " ".join(str(error).split())[:200]
            reason = f"the request can't be read ({type(error).__name__}: {said})"
            await _refuse(send, 400, reason)


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
                await _refuse(self.send, self.status, reason, code)


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
    return code, reason


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
