"""Runs in MLflow, found again by their keys, and the views of their experiment."""

import json
import logging
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit
from urllib.request import url2pathname

from hourglass import mlflow_store, tracking
from hourglass.mlflow_store import tracking_uri
from hourglass.paths import home
from hourglass.tracking import DataSet, Run, Tracker, short, trackers

T = TypeVar("T")

# Limits of MLflow for one call: 1000 of all together, and so many of parameters and of tags.
METRICS, FEW = 800, 100

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
        self._store = mlflow_store.store(self.uri)
        self._waits = waits
        self._open: dict[str, MlflowRun] = {}  # by key, what was opened and has not ended
        self._children: dict[str, dict[str, Any]] = {}  # key of a parent -> key -> what was there
        self._asked: set[str] = set()  # keys of children that may be there by now
        with mlflow_store.impatient(), self._store.answering():
            mlflow_store.make_whole(self.uri)
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
        with mlflow_store.impatient():
            if self._waits:
                return self._store.ask(call)
            with self._store.answering():
                return call()

    def recorded(self, key: str) -> Any:
        """The run with this key as MLflow has it; None: it has none."""
        return self.ask(lambda: self._runs(f"= '{key}'")).get(key)

    def forget(self) -> None:
        """Forgets which runs there were: another process may have made some."""
        self._children.clear()
        self._asked.clear()

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
        last.join(tracking.PATIENCE)

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
            "mlflow.user": mlflow_store.user(),
            **tags,
        }
        if parent is not None:
            every |= {"mlflow.parentRunId": parent.id, CHILD: "true"}
        return self.client.create_run(self.experiment_id, start, every, name)


def place(run: Any) -> str:
    """Where MLflow's UI shows a run, for links in its descriptions."""
    return f"#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}"


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
        self.tags = run.data.tags
        self._place = place(run)
        self.ended = self.finished = run.info.status == "FINISHED"
        # MLflow adds a point to a curve unless it knows the very same with the same time.
        self._time = run.info.start_time
        # MLflow refuses to change a parameter. Those that a continued run may differ in, such as
        # the number of workers, change no number: the first value stays.
        self._known = set(run.data.params)
        self._params: dict[str, str] = {}
        self._points: list[tuple[str, float, int, int, str | None]] = []
        self._tags: dict[str, str] = {}

    def params(self, values: Mapping[str, Any]) -> None:
        """See Run."""
        self._params |= {k: short(v) for k, v in values.items() if k not in self._known}

    def metrics(self, values: Mapping[str, float]) -> None:
        """See Run."""
        self.metrics_of(None, values)

    def metrics_of(self, model: str | None, values: Mapping[str, float]) -> None:
        """Records final numbers, also of the logged model with this identifier."""
        self._points += [(name, value, self._time, 0, model) for name, value in values.items()]

    def curve(self, points: Sequence[Mapping[str, float]]) -> None:
        """See Run."""
        self._points += [
            (f"curve/{name}", value, self._time, int(point["epoch"]), None)
            for point in points
            for name, value in point.items()
            if name != "epoch"
        ]

    def sample(self, values: Mapping[str, float], at: float) -> None:
        """See Run; the step is seconds since the run began."""
        step = round(at - self._time / 1000)
        self._points += [(name, v, int(at * 1000), step, None) for name, v in values.items()]

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


def _remove_half_uploads(uri: str) -> None:
    """Removes what MLflow writes beside an artifact in a local folder, and a kill leaves there."""
    split = urlsplit(uri)
    if split.scheme in ("", "file"):
        folder = Path(url2pathname(split.path) if split.scheme else uri)
        for left in folder.rglob(".artifact.uploading.*"):
            left.unlink(missing_ok=True)


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
