"""Where MLflow keeps what is recorded: its address, its making, what its errors mean."""

import getpass
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hourglass.errors import TrackingError
from hourglass.paths import home, make_once
from hourglass.patience import Store

# Off unless the user says otherwise; read by MLflow when it is imported.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # its password too


def tracking_uri(root: Path) -> str:
    """Where MLflow records: MLFLOW_TRACKING_URI, else the SQLite file of the project.

    Raises:
        TrackingError: MLflow can't keep its files in this folder.
    """
    if named := os.environ.get("MLFLOW_TRACKING_URI"):
        return named
    folder = home(root).resolve()
    if set("%?") & set(str(folder)):
        # MLflow 3.17 reads paths as URIs, here and there: %41 becomes A, and ? ends the path.
        raise TrackingError(
            f"MLflow can't keep its files in {folder}: it misreads % and ? in the names of folders."
            " Rename that folder, or name a store elsewhere (MLFLOW_TRACKING_URI)"
        )
    return f"sqlite:///{folder / 'mlflow.db'}"


@contextmanager
def answering(uri: str) -> Iterator[None]:
    """Turns what MLflow raises into one error that says which store it was; doesn't wait.

    Raises:
        TrackingError: the store can't be reached, or refuses.
    """
    with store(uri).answering():
        yield


def store(uri: str) -> Store:
    """Asks MLflow's store at an address; waits for it, and says what it raises in one way."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    return Store(
        what="MLflow's store",
        address=uri,
        error=TrackingError,
        remedy="Mend it, move the file away, or name another store (MLFLOW_TRACKING_URI); finished "
        "trials are kept",
        raises=(MlflowException, SQLAlchemyError, OSError),
    )


@contextmanager
def impatient() -> Iterator[None]:
    """Leaves waiting to us: MLflow would try for minutes, silently, and might make a run twice."""
    name = "MLFLOW_HTTP_REQUEST_MAX_RETRIES"
    before = os.environ.get(name)
    os.environ[name] = "0"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def make_whole(uri: str) -> None:
    """Makes a SQLite store beside its place, then renames it: MLflow can't mend half a store.

    It makes some forty tables one by one, for seconds; after a kill in between it would refuse.
    """
    from mlflow import MlflowClient
    from sqlalchemy.engine import make_url

    name = make_url(uri).database if uri.startswith("sqlite:") else None
    if name in (None, "", ":memory:") or Path(str(name)).exists():
        return
    try:
        make_once(
            Path(str(name)), lambda file: MlflowClient(f"sqlite:///{file}").search_experiments()
        )
    except OSError as error:
        raise TrackingError(
            f"MLflow's store at {uri} can't be made: {error.strerror} ({error.filename}). Name "
            "another store (MLFLOW_TRACKING_URI); finished trials are kept"
        ) from error


def user() -> str:
    """Who runs this, or "" where the system doesn't know (a container without a user entry)."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return ""
