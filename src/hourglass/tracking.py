"""Records runs: an interface, MLflow behind it, and a twin in memory for tests.

A run has a key that says what it computes. Recording the same key again finds the same run: a
killed stage continues its run, and a repeated one adds no second copy of the same numbers. Only
one process records (rank zero, the coordinator); it never computes.
"""

import getpass
import json
import logging
import os
import re
import threading
import time
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit
from urllib.request import url2pathname

import numpy as np
from filelock import FileLock

from hourglass.errors import TrackingError
from hourglass.moments import evenly
from hourglass.paths import Paths, home, replacing
from hourglass.patience import Store
from hourglass.schema import Schema

# Off unless the user says otherwise; read by MLflow when it is imported.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # its password too

log = logging.getLogger(__name__)

T = TypeVar("T")

# Limits of MLflow for one call: 1000 of all together, and so many of parameters and of tags.
METRICS, FEW = 800, 100
PATIENCE = 1.0  # seconds that a stage spends on ending its runs when it breaks off

LINK = re.compile(r"\]\(artifact:")  # of a description, to an artifact of its run
KEY = "hourglass.key"  # the tag that holds a run's key
CHILD = "hourglass.child"  # the tag that tells a fit or a loss from its parent

EXPERIMENT_TAGS = {
    # Else MLflow's UI takes the runs for those of language models.
    "mlflow.experimentKind": "custom_model_development",
    "mlflow.experiment.primaryMetric.name": "bits_per_feature",
    "mlflow.experiment.primaryMetric.greaterIsBetter": "false",
    "mlflow.note.content": "Begin with the newest run **evaluate**: its description is the verdict,"
    " its artifacts are the report and the pictures.\n\nThe menu **Views** holds tables of losses, "
    "fits and trials with the columns that matter.\n\n**search** and **train** hold a child for "
    "each fit, **evaluate** one for each loss. Compare `bits_per_feature` (lower is better) across "
    "losses; the curves of `train_loss` and `val_loss` compare within one loss only.",
}


def _view(name: str, stage: str, *columns: str) -> str:
    """A table for the menu Views of an experiment's page, as MLflow's own UI saves one.

    Args:
        name: For people.
        stage: Whose children it shows.
        columns: Parameters, and metrics with a point: "loss", ".bits_per_feature".
    """
    own = [f"metrics.`{c[1:]}`" if c.startswith(".") else f"params.`{c}`" for c in columns]
    state = {
        "searchFilter": f"tags.`hourglass.stage` = '{stage}' AND tags.`{CHILD}` = 'true'",
        "orderByKey": "metrics.`bits_per_feature`",
        "orderByAsc": True,
        "selectedColumns": own,
    }
    return json.dumps({"name": name, "createdAt": 0, "state": json.dumps(state)})


VIEWS = {
    "losses": _view(
        "Losses on test rows, best first",
        "evaluate",
        *("loss", "scaler", "verdict", ".bits_per_feature", ".skill_vs_pca", ".test/rmse"),
        *(".test/mae", ".behind_the_best"),
    ),
    "fits": _view(
        "Fits of the finalists, best first",
        "train",
        *("loss", "scaler", "seed", ".bits_per_feature", ".bits_per_feature_masked"),
        *(".validation/rmse", ".seconds"),
    ),
    "trials": _view(
        "Trials of the search, best first",
        "search",
        *("loss", "scaler", "learning_rate", ".bits_per_feature", ".bits_per_feature_masked"),
        *(".validation/rmse", ".seconds"),
    ),
}
# MLflow reads these tags when its page of the experiment is opened.
EXPERIMENT_TAGS |= {f"mlflow.sharedViewState.{name}": view for name, view in VIEWS.items()}


@dataclass(frozen=True)
class DataSet:
    """What a run has read.

    Attributes:
        name: For people, e.g. "builtin: digits".
        digest: Of the values.
        source: Path or URI.
        columns: Names in order.
        rows: Number of rows.
        role: "train", "val" or "test".
    """

    name: str
    digest: str
    source: str
    columns: tuple[str, ...]
    rows: int
    role: str


class Run(ABC):
    """One recorded run.

    Attributes:
        id: The store's name for it.
        key: What it computes, see the module's docstring.
        finished: Whether an earlier recording of the same key ended; then everything is kept as it
            is and further calls do nothing.
    """

    id: str
    key: str
    finished: bool

    @abstractmethod
    def params(self, values: Mapping[str, Any]) -> None:
        """Records parameters."""

    @abstractmethod
    def metrics(self, values: Mapping[str, float]) -> None:
        """Records final numbers."""

    @abstractmethod
    def curve(self, points: Sequence[Mapping[str, float]]) -> None:
        """Records one point an epoch; `epoch` is the step, all other keys are metrics.

        They form the group "curve": the UI draws groups by their names, and lone numbers last.
        """

    @abstractmethod
    def sample(self, values: Mapping[str, float], at: float) -> None:
        """Records what was measured at a moment, in seconds since 1970, as points of curves."""

    @abstractmethod
    def artifact(self, path: Path, folder: str = "") -> None:
        """Records a file."""

    @abstractmethod
    def table(self, rows: Sequence[Mapping[str, Any]], name: str) -> None:
        """Records a table that the UI shows as one, under `name`.json."""

    @abstractmethod
    def data(self, sets: Sequence[DataSet]) -> None:
        """Records what was read."""

    @abstractmethod
    def note(self, markdown: str) -> None:
        """Sets the description; a link to `artifact:NAME` leads to that artifact of the run."""

    @abstractmethod
    def finish(self, failed: bool = False) -> None:
        """Ends the run."""


class Tracker(ABC):
    """Opens runs."""

    @abstractmethod
    def run(
        self,
        key: str,
        name: str,
        tags: Mapping[str, str],
        parent: Run | None = None,
        seconds: float = 0.0,
    ) -> Run:
        """The run of `key`, which is unique within the experiment; opened if it isn't there.

        Args:
            key: What it computes; its first word is the stage.
            name: For people.
            tags: Further tags.
            parent: The run that it belongs to.
            seconds: How long ago it began.
        """

    @abstractmethod
    def close(self) -> None:
        """Ends recording, when every run has ended."""

    @abstractmethod
    def break_off(self, status: str) -> None:
        """Ends the unfinished runs as KILLED or FAILED, within about a second."""


trackers: "weakref.WeakSet[Tracker]" = (
    weakref.WeakSet()
)  # those with runs that may have to be ended


@dataclass
class MemoryRun(Run):
    """A run that lives in memory; its recordings are plain attributes."""

    key: str
    name: str
    tags: dict[str, str]
    parent: str | None
    seconds: float = 0.0
    finished: bool = False
    recorded_params: dict[str, Any] = field(default_factory=dict)
    recorded_metrics: dict[str, float] = field(default_factory=dict)
    recorded_curve: list[dict[str, float]] = field(default_factory=list)
    recorded_samples: list[dict[str, float]] = field(default_factory=list)
    artifacts: list[str] = field(default_factory=list)
    tables: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    data_sets: list[DataSet] = field(default_factory=list)
    description: str = ""
    failed: bool = False

    @property
    def id(self) -> str:  # type: ignore[override]  # an attribute in the interface
        """The key itself."""
        return self.key

    def params(self, values: Mapping[str, Any]) -> None:
        """See Run."""
        self.recorded_params.update(values)

    def metrics(self, values: Mapping[str, float]) -> None:
        """See Run."""
        self.recorded_metrics.update(values)

    def curve(self, points: Sequence[Mapping[str, float]]) -> None:
        """See Run."""
        self.recorded_curve.extend(dict(p) for p in points)

    def sample(self, values: Mapping[str, float], at: float) -> None:
        """See Run."""
        self.recorded_samples.append({**values, "at": at})

    def artifact(self, path: Path, folder: str = "") -> None:
        """See Run."""
        self.artifacts.append(f"{folder}/{path.name}".lstrip("/"))

    def table(self, rows: Sequence[Mapping[str, Any]], name: str) -> None:
        """See Run."""
        self.tables[name] = [dict(r) for r in rows]

    def data(self, sets: Sequence[DataSet]) -> None:
        """See Run."""
        self.data_sets.extend(sets)

    def note(self, markdown: str) -> None:
        """See Run."""
        self.description = markdown

    def finish(self, failed: bool = False) -> None:
        """See Run."""
        self.finished, self.failed = True, failed


class MemoryTracker(Tracker):
    """Keeps runs in memory: for tests, and for processes that must not record."""

    def __init__(self) -> None:
        self.runs: dict[str, MemoryRun] = {}

    def run(
        self,
        key: str,
        name: str,
        tags: Mapping[str, str],
        parent: Run | None = None,
        seconds: float = 0.0,
    ) -> Run:
        """See Tracker."""
        new = MemoryRun(key, name, dict(tags), parent.id if parent else None, seconds)
        return self.runs.setdefault(key, new)

    def close(self) -> None:
        """See Tracker."""

    def break_off(self, status: str) -> None:  # noqa: ARG002  the interface's
        """See Tracker."""
        for run in self.runs.values():
            run.failed = run.failed or not run.finished


class MlflowTracker(Tracker):
    """Records to MLflow: a SQLite file below `root`, or what MLFLOW_TRACKING_URI names.

    Args:
        experiment: Its name.
        root: The project's folder.
        waits: Whether a call waits while the store is away; else it is an error at once.

    Raises:
        TrackingError: the store can't be opened.
    """

    def __init__(self, experiment: str, root: Path, *, waits: bool = True) -> None:
        import mlflow

        logging.getLogger("mlflow").setLevel(logging.WARNING)  # it tells of migrations at INFO
        # It would print the traceback of what is raised as well, and so of what we wait for.
        logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
        self._root = root
        self.uri = tracking_uri(root)
        mlflow.set_tracking_uri(self.uri)
        mlflow.set_registry_uri(self.uri)
        self._store = _store(self.uri)
        self._waits = waits
        self._open: dict[str, MlflowRun] = {}  # by key, what was opened and has not ended
        self._children: dict[str, dict[str, Any]] = {}  # key of a parent -> key -> what was there
        self._asked: set[str] = set()  # keys of children that may be there by now
        with _impatient(), self._store.answering():
            _make_whole(self.uri)
            self.client = mlflow.MlflowClient()
            self.experiment_id = self._experiment(experiment)
        if waits:
            trackers.add(self)

    def _experiment(self, name: str) -> str:
        """The experiment's identifier; made if it isn't there, brought back if it was deleted."""
        from mlflow.exceptions import MlflowException

        found = self.client.get_experiment_by_name(name)
        if found is None:
            with suppress(MlflowException):  # another process has made it meanwhile
                return self.client.create_experiment(name, self._artifacts(name), EXPERIMENT_TAGS)
            found = self.client.get_experiment_by_name(name)
            if found is None:
                return self.client.create_experiment(name, self._artifacts(name), EXPERIMENT_TAGS)
        if found.lifecycle_stage == "deleted":
            self.client.restore_experiment(found.experiment_id)
        for tag in EXPERIMENT_TAGS.keys() - found.tags.keys():  # an older experiment
            self.client.set_experiment_tag(found.experiment_id, tag, EXPERIMENT_TAGS[tag])
        return found.experiment_id

    def _artifacts(self, name: str) -> str | None:
        """Where a new experiment keeps its files: not in a copy of the project; None: as MLflow."""
        if home(self._root) == self._root or not self.uri.startswith("sqlite:"):
            return None
        return str(home(self._root) / "mlruns" / re.sub(r"[^\w-]", "_", name))

    def run(
        self,
        key: str,
        name: str,
        tags: Mapping[str, str],
        parent: Run | None = None,
        seconds: float = 0.0,
    ) -> "MlflowRun":
        """See Tracker."""
        start = int((time.time() - seconds) * 1000)

        def found_or_new() -> Any:
            # Asked again after an outage it finds the run that was made, the answer lost.
            run = self._found(key, parent) or self._new(key, name, tags, parent, start)
            if run.info.status not in ("FINISHED", "RUNNING"):
                self.client.update_run(run.info.run_id, "RUNNING")
            return run

        own = MlflowRun(self.client, self.ask, key, self.ask(found_or_new))
        self._open = {k: r for k, r in self._open.items() if not r.ended} | {key: own}
        return own

    def ask(self, call: Callable[[], T]) -> T:
        """Calls, and waits while the store is away if this tracker does; `call` is idempotent.

        Raises:
            TrackingError: the store refuses, or is away for too long.
        """
        with _impatient():
            if self._waits:
                return self._store.ask(call)
            with self._store.answering():
                return call()

    def close(self) -> None:
        """See Tracker."""
        trackers.discard(self)

    def break_off(self, status: str) -> None:
        """See Tracker."""

        def end() -> None:
            for run in self._open.values():
                if not run.ended:
                    with suppress(Exception):
                        run.break_off(status)

        last = threading.Thread(target=end, daemon=True)
        last.start()
        last.join(PATIENCE)

    def _found(self, key: str, parent: Run | None) -> Any:
        """The run with this key, what a kill left in it removed; None if there is none.

        The children of a parent are looked up together when the first is asked for, each of them
        once: one by one that would take a third of all the time that tracking takes.
        """
        if parent is None or key in self._asked:
            found = self._runs(f"= '{key}'").get(key)
        else:
            if parent.key not in self._children:
                self._children[parent.key] = self._runs(f"LIKE '{parent.key} %'")
            self._asked.add(key)
            found = self._children[parent.key].pop(key, None)
        if found is not None and found.info.status != "FINISHED":
            _remove_half_uploads(found.info.artifact_uri)
        return found

    def _runs(self, keys: str) -> dict[str, Any]:
        """Runs by key, the newest of several."""
        found: dict[str, Any] = {}
        token = None
        while True:
            page = self.client.search_runs(
                [self.experiment_id], f"tags.`{KEY}` {keys}", page_token=token
            )
            for run in page:
                found.setdefault(run.data.tags[KEY], run)
            if not (token := page.token):
                return found

    def _new(
        self, key: str, name: str, tags: Mapping[str, str], parent: Run | None, start: int
    ) -> Any:
        every = {
            KEY: key,
            "mlflow.source.name": f"hourglass {key.partition(' ')[0]}",
            "mlflow.source.type": "LOCAL",
            "mlflow.user": user(),
            **tags,
        }
        if parent is not None:
            every |= {"mlflow.parentRunId": parent.id, CHILD: "true"}
        return self.client.create_run(self.experiment_id, start, every, name)


class MlflowRun(Run):
    """A run in MLflow; what a killed stage had recorded already is not recorded twice.

    Parameters, numbers and the description are gathered, and go out in one call with `flush`, or
    with what follows them.
    """

    def __init__(
        self, client: Any, ask: Callable[[Callable[[], Any]], Any], key: str, run: Any
    ) -> None:
        self._client = client
        self._ask = ask
        self.key = key
        self.id = run.info.run_id
        self._place = f"#/experiments/{run.info.experiment_id}/runs/{self.id}"  # in MLflow's UI
        self.ended = self.finished = run.info.status == "FINISHED"
        # MLflow adds a point to a curve unless it knows the very same with the same time.
        self._time = run.info.start_time
        # MLflow refuses to change a parameter. Those that a continued run may differ in, such as
        # the number of workers, change no number: the first value stays.
        self._known = set(run.data.params)
        self._params: dict[str, str] = {}
        self._points: list[tuple[str, float, int, int]] = []
        self._tags: dict[str, str] = {}

    def params(self, values: Mapping[str, Any]) -> None:
        """See Run."""
        self._params |= {k: short(v) for k, v in values.items() if k not in self._known}

    def metrics(self, values: Mapping[str, float]) -> None:
        """See Run."""
        self._points += [(name, value, self._time, 0) for name, value in values.items()]

    def curve(self, points: Sequence[Mapping[str, float]]) -> None:
        """See Run."""
        self._points += [
            (f"curve/{name}", value, self._time, int(point["epoch"]))
            for point in points
            for name, value in point.items()
            if name != "epoch"
        ]

    def sample(self, values: Mapping[str, float], at: float) -> None:
        """See Run; the step is seconds since the run began."""
        step = round(at - self._time / 1000)
        self._points += [(name, value, int(at * 1000), step) for name, value in values.items()]

    def note(self, markdown: str) -> None:
        """See Run."""
        self._tags["mlflow.note.content"] = LINK.sub(f"]({self._place}/artifacts/", markdown)

    def flush(self) -> None:
        """Sends what has been gathered, in as few calls as MLflow admits."""
        from mlflow.entities import Metric, Param, RunTag

        params = [Param(k, v) for k, v in self._params.items()]
        points = [Metric(*point) for point in self._points]
        tags = [RunTag(k, v) for k, v in self._tags.items()]
        while not self.finished and (params or points or tags):
            send = partial(self._client.log_batch, self.id)
            self._ask(partial(send, points[:METRICS], params[:FEW], tags[:FEW]))
            params, points, tags = params[FEW:], points[METRICS:], tags[FEW:]
        self._known |= set(self._params)
        self._params, self._points, self._tags = {}, [], {}

    def artifact(self, path: Path, folder: str = "") -> None:
        """See Run."""
        self.flush()
        if not self.finished:
            self._ask(lambda: self._client.log_artifact(self.id, str(path), folder or None))

    def table(self, rows: Sequence[Mapping[str, Any]], name: str) -> None:
        """See Run."""
        import pandas as pd

        self.flush()
        if not self.finished:
            # Not log_table: it appends to what a killed process has left, be it half a file.
            text = pd.DataFrame(list(rows)).to_json(orient="split", index=False)
            file = f"{name}.json"
            shown = json.dumps([{"path": file, "type": "table"}])

            def write() -> None:
                self._client.log_text(self.id, text, file)
                self._client.set_tag(self.id, "mlflow.loggedArtifacts", shown)

            self._ask(write)

    def data(self, sets: Sequence[DataSet]) -> None:
        """See Run."""
        self.flush()
        if not self.finished:
            entities = [_data_entity(s) for s in sets]
            self._ask(lambda: self._client.log_inputs(self.id, entities))

    def finish(self, failed: bool = False, at: float | None = None) -> None:
        """See Run.

        Args:
            failed: As in Run.
            at: When it ended, in seconds since 1970; None: now.
        """
        self._end("FAILED" if failed else "FINISHED", at)
        self.finished = self.finished or not failed

    def break_off(self, status: str, at: float | None = None) -> None:
        """Ends the run as KILLED or FAILED, unless it has finished; it can be opened again."""
        self._end(status, at)

    def _end(self, status: str, at: float | None) -> None:
        self.flush()
        if not self.finished:
            end = None if at is None else int(at * 1000)
            self._ask(lambda: self._client.set_terminated(self.id, status, end))
            self.ended = True


def end_unfinished(status: str) -> None:
    """Ends the runs of a stage that breaks off, if their store answers within a second.

    Args:
        status: KILLED or FAILED, as MLflow calls them.
    """
    for tracker in list(trackers):
        tracker.break_off(status)


def _remove_half_uploads(uri: str) -> None:
    """Removes what MLflow writes beside an artifact in a local folder, and a kill leaves there."""
    split = urlsplit(uri)
    if split.scheme in ("", "file"):
        folder = Path(url2pathname(split.path) if split.scheme else uri)
        for left in folder.rglob(".artifact.uploading.*"):
            left.unlink(missing_ok=True)


def _make_whole(uri: str) -> None:
    """Makes a SQLite store beside its place, then renames it: MLflow can't mend half a store.

    It makes some forty tables one by one, for seconds; after a kill in between it would refuse.
    """
    from mlflow import MlflowClient
    from sqlalchemy.engine import make_url

    name = make_url(uri).database if uri.startswith("sqlite:") else None
    if name in (None, "", ":memory:") or Path(str(name)).exists():
        return
    try:
        # One process at a time: the second one's rename would throw away what the first recorded.
        Path(str(name)).parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{name}.lock"):
            if not Path(str(name)).exists():
                with replacing(Path(str(name))) as beside:
                    MlflowClient(f"sqlite:///{beside}").search_experiments()
    except OSError as error:
        raise TrackingError(
            f"MLflow's store at {uri} can't be made: {error.strerror} ({error.filename}). Name "
            "another store (MLFLOW_TRACKING_URI); finished trials are kept"
        ) from error


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
    with _store(uri).answering():
        yield


def _store(uri: str) -> Store:
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
def _impatient() -> Iterator[None]:
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


def user() -> str:
    """Who runs this, or "" where the system doesn't know (a container without a user entry)."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return ""


def short(value: Any) -> str:
    """A parameter as text, numbers to six digits: what a person compares in a table."""
    if isinstance(value, list | tuple):
        return ", ".join(map(short, value)) or "none"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _data_entity(data: DataSet) -> Any:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    columns = [{"type": "double", "name": c, "required": True} for c in data.columns]
    entity = Dataset(
        name=data.name,
        digest=data.digest,
        source_type="local",
        source=json.dumps({"uri": data.source}),
        schema=json.dumps({"mlflow_colspec": columns}),
        profile=json.dumps({"num_rows": data.rows, "num_columns": len(columns)}),
    )
    return DatasetInput(entity, [InputTag("mlflow.data.context", data.role)])


def grouped(values: Mapping[str, float], group: str) -> dict[str, float]:
    """Metrics as the UI should show them: bits per feature first, the rest in a group.

    Args:
        values: Metric -> value.
        group: The rows they were measured on, e.g. "validation".
    """
    return {k if k.startswith("bits_per_feature") else f"{group}/{k}": v for k, v in values.items()}


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table for a description; MLflow draws none of the space between columns."""
    lines = [[f"{cell}&emsp;" for cell in head], ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def thinned(curve: Sequence[Mapping[str, float]], epochs: int) -> Sequence[Mapping[str, float]]:
    """Evenly spaced epochs of a curve, the first and the last among them.

    MLflow takes longer for a point than for a small fit's step: all of them are in reports/.

    Args:
        curve: One point an epoch.
        epochs: How many at most.
    """
    return [curve[i] for i in np.arange(len(curve))[evenly(len(curve), epochs)]]


def data_sets(schema: Schema, paths: Paths, splits: Sequence[str]) -> list[DataSet]:
    """The pipeline's splits, with the digest of the whole table."""
    return [
        DataSet(
            name=f"{schema.source}, {split} rows",  # MLflow takes equal names for equal data
            digest=schema.digest,
            source=str(paths.values(split).resolve()),
            columns=schema.names,
            rows=schema.rows[split],
            role=split,
        )
        for split in splits
    ]
