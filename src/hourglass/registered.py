"""Finds a registered model: the champion, or a version by its number."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from sqlalchemy.engine import make_url

from hourglass.bundle import Bundle, delivered, whole
from hourglass.config import Register
from hourglass.errors import DataError, MissingInputError
from hourglass.mlflow_store import answering, tracking_uri

T = TypeVar("T")


@dataclass(frozen=True)
class Registered:
    """A version of the registered model.

    Attributes:
        name: Of the model.
        version: Its number.
        store: Address of the MLflow store that it was found in.
        newest: Number of the newest version.
    """

    name: str
    version: int
    store: str
    newest: int = 0

    @property
    def uri(self) -> str:
        """As MLflow's functions take it."""
        return f"models:/{self.name}/{self.version}"

    def __str__(self) -> str:
        """For messages."""
        return f"{self.name} version {self.version}"


def find(settings: Register, root: Path, version: int | None = None) -> Registered:
    """The version with the alias of params.yaml, or the one of this number.

    MLflow's store is the one of this process from here on.

    Args:
        settings: Name of the model and alias.
        root: The project's folder.
        version: Number of a version; None: the one with the alias.

    Raises:
        MissingInputError: there is none; the message names those that there are.
        TrackingError: the store can't be reached.
    """
    store = tracking_uri(root)
    _require_file(store)
    import mlflow

    logging.getLogger("mlflow").setLevel(logging.WARNING)
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    mlflow.set_tracking_uri(store)
    mlflow.set_registry_uri(store)
    client = mlflow.MlflowClient()
    with answering(store):
        every = client.search_model_versions(f"name = '{settings.name}'")
        known = sorted(int(v.version) for v in every)
        aliases = client.get_registered_model(settings.name).aliases if known else {}
    if version is None:
        if settings.alias not in aliases:
            raise MissingInputError(
                f"no version of {settings.name} is @{settings.alias}: {_registered(known)}"
                + (f"; `hourglass promote N` makes one @{settings.alias}" if known else "")
            )
        return Registered(settings.name, int(aliases[settings.alias]), store, known[-1])
    if version not in known:
        raise MissingInputError(
            f"--version {version}: there is none of {settings.name}: {_registered(known)}"
        )
    return Registered(settings.name, version, store, known[-1])


@contextmanager
def fetched(model: Registered) -> Iterator[Path]:
    """The model's files, in a folder of this process's own that goes when the block ends.

    Raises:
        TrackingError: they are gone, or the store can't be reached.
        DataError: from the block, naming the model in place of the folder.
    """
    import mlflow

    with TemporaryDirectory() as place:
        with answering(model.store):
            files = Path(mlflow.artifacts.download_artifacts(model.uri, dst_path=place))
        try:
            yield files
        except DataError as error:
            raise DataError(str(error).replace(str(files), str(model))) from error


def bundle(model_folder: Path) -> Bundle:
    """The model itself; runs no code of the folder.

    Raises:
        DataError: it is damaged.
    """
    from mlflow.exceptions import MlflowException
    from mlflow.models import Model

    with whole(model_folder, MlflowException):
        packed = Model.load(str(model_folder)).flavors["python_function"]["artifacts"]
        place = model_folder / packed["bundle"]["path"]
    return delivered(place)


def parameter(model_folder: Path, name: str, usual: T) -> T:
    """The default of a parameter that the model was registered with; `usual` if it has none."""
    from mlflow.models import Model

    signature = Model.load(str(model_folder)).signature
    known = signature.params.params if signature and signature.params else []
    return next((p.default for p in known if p.name == name), usual)


def _registered(known: list[int]) -> str:
    if not known:
        return "run `hourglass register` first, or `dvc repro`"
    return f"there are versions {', '.join(map(str, known))} (--version N takes one)"


def _require_file(store: str) -> None:
    """Looks before the store is opened: that would make the file."""
    if store.startswith("sqlite:") and not Path(str(make_url(store).database)).exists():
        raise MissingInputError(
            f"nothing is registered yet in {store}: run `hourglass register` first, or `dvc repro`"
        )
