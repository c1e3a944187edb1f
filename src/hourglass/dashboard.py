"""Shows the search's trials in optuna-dashboard, at 127.0.0.1 only: `hourglass dashboard`."""

import errno
import importlib
import logging
from contextlib import suppress
from pathlib import Path
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from hourglass import patience, stores
from hourglass.errors import ConfigError, MissingInputError

log = logging.getLogger(__name__)

HOST = "127.0.0.1"


class _Quiet(WSGIRequestHandler):
    """Without a line for each request."""

    def log_message(self, *_: object) -> None:
        pass


def serve(storage: str, root: Path, port: int) -> None:
    """Serves until Ctrl-C.

    Raises:
        ConfigError: optuna-dashboard isn't installed, the store can't be opened, or the port is
            taken.
        MissingInputError: there is no study yet.
    """
    with server(storage, root, port) as running:
        log.info(
            "the studies are shown at http://%s:%d (Ctrl-C ends it)", HOST, running.server_port
        )
        with suppress(KeyboardInterrupt):
            running.serve_forever()


def server(storage: str, root: Path, port: int) -> WSGIServer:
    """The server that `serve` runs; it listens already."""
    try:
        optuna_dashboard = importlib.import_module("optuna_dashboard")
    except ModuleNotFoundError as error:
        raise ConfigError(
            "dashboard needs optuna-dashboard, which is not installed: "
            "python -m pip install optuna-dashboard"
        ) from error
    _require_file(storage, root)
    store = stores.opened(storage, root)
    if not stores.patient(store).ask(store.get_all_studies):
        raise _no_study(storage)
    try:
        return make_server(HOST, port, optuna_dashboard.wsgi(store), handler_class=_Quiet)
    except OSError as error:
        if error.errno not in (errno.EADDRINUSE, errno.EACCES):
            raise
        why = "is taken" if error.errno == errno.EADDRINUSE else "may not be opened by this user"
        raise ConfigError(
            f"--port {port} {why}: name another, such as --port {max(port, 1024) + 1}"
        ) from error


def _require_file(storage: str, root: Path) -> None:
    """Looks before the store is opened: that would make the file."""
    try:
        url = make_url(storage)
    except (ArgumentError, ValueError):
        return  # said when it is opened
    if url.get_backend_name() == "sqlite" and not (root / str(url.database)).exists():
        raise _no_study(storage)


def _no_study(storage: str) -> MissingInputError:
    return MissingInputError(
        f"there is no study yet in {patience.without_password(storage)} (params.yaml: "
        "search.storage): run `hourglass search` first, or `dvc repro`"
    )
