"""What a run is: an interface, and a twin in memory for tests; MLflow's is `mlflow_runs`.

A run has a key that says what it computes. Recording the same key again finds the same run: a
killed stage continues its run, and a repeated one adds no second copy of the same numbers. Only
one process records (rank zero, the coordinator); it never computes.
"""

import weakref
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hourglass.moments import evenly
from hourglass.paths import Paths
from hourglass.schema import Schema

# Tags that a run has from its parent: where its numbers come from.
INHERITED = ("hourglass.data", "mlflow.source.git.commit")
PATIENCE = 1.0  # seconds that a stage spends on ending its runs when it breaks off


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
        tags: Those that it was opened with.
        finished: Whether an earlier recording of the same key ended; then everything is kept as it
            is and further calls do nothing.
    """

    id: str
    key: str
    tags: Mapping[str, str]
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
            parent: The run that it belongs to; it has the tags `INHERITED` of that.
            seconds: How long ago it began.
        """

    @abstractmethod
    def close(self) -> None:
        """Ends recording, when every run has ended."""

    @abstractmethod
    def break_off(self, status: str) -> None:
        """Ends the unfinished runs as KILLED or FAILED, within about a second."""


def child_key(parent: str, *what: object) -> str:
    """The key of a run below another: MLflow finds all of a parent's by how theirs begin."""
    return " ".join(map(str, (parent, *what)))


def inherited(parent: Run | None) -> dict[str, str]:
    """The tags that a run has from its parent."""
    return {k: parent.tags[k] for k in INHERITED if parent and k in parent.tags}


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
        own = inherited(parent) | dict(tags)
        new = MemoryRun(key, name, own, parent.id if parent else None, seconds)
        return self.runs.setdefault(key, new)

    def close(self) -> None:
        """See Tracker."""

    def break_off(self, status: str) -> None:  # noqa: ARG002  the interface's
        """See Tracker."""
        for run in self.runs.values():
            run.failed = run.failed or not run.finished


def end_unfinished(status: str) -> None:
    """Ends the runs of a stage that breaks off, if their store answers within a second.

    Args:
        status: KILLED or FAILED, as MLflow calls them.
    """
    for tracker in list(trackers):
        tracker.break_off(status)


def short(value: Any) -> str:
    """A parameter as text, numbers to six digits: what a person compares in a table."""
    if isinstance(value, list | tuple):
        return ", ".join(map(short, value)) or "none"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def grouped(values: Mapping[str, float], group: str) -> dict[str, float]:
    """Metrics as the UI should show them: bits per feature first, the rest in a group.

    Args:
        values: Metric -> value.
        group: The rows they were measured on, e.g. "validation".
    """
    return {k if k.startswith("bits_per_feature") else f"{group}/{k}": v for k, v in values.items()}


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table for a description; MLflow draws none of the space between columns."""
    lines = [[f"{cell}&emsp;" for cell in row] for row in (head, *rows)]
    lines.insert(1, ["---"] * len(head))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def thinned(curve: Sequence[Mapping[str, float]], epochs: int) -> Sequence[Mapping[str, float]]:
    """Evenly spaced epochs of a curve, the first and the last among them.

    MLflow takes longer for a point than for a small fit's step: all of them are in reports/.

    Args:
        curve: One point an epoch.
        epochs: How many at most.
    """
    return [curve[i] for i in np.arange(len(curve))[evenly(len(curve), epochs)]]


def attach_settings(run: Run, paths: Paths) -> None:
    """params.yaml beside what came of it; programs may have other params, without a file."""
    if paths.params.exists():
        run.artifact(paths.params)


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
