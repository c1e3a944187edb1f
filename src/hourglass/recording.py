"""What stages record with: every word goes to a journal on disk, and from there to MLflow.

A stage never waits for MLflow before its end, and never fails because of it.
"""

import importlib
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hourglass import tracking
from hourglass.journal import Writer
from hourglass.mlflow_store import tracking_uri
from hourglass.paths import Paths
from hourglass.sending import BEGIN, OPEN, Sender, named_store
from hourglass.tracking import DataSet, Run, Tracker, short

log = logging.getLogger(__name__)

SAMPLING = 10  # seconds between samples of the machine, as MLflow's own
Add = Callable[[Mapping[str, Any]], None]


class JournalTracker(Tracker):
    """Records to a journal below the project's folder, which is sent to MLflow in the background.

    Args:
        experiment: Its name in MLflow.
        paths: The project's files.
        system_metrics: Whether processor, memory, disk, network and GPUs are recorded too, with
            the first run.

    Raises:
        TrackingError: MLflow can't keep its files in this folder.
    """

    def __init__(self, experiment: str, paths: Paths, *, system_metrics: bool = False) -> None:
        tracking_uri(paths.root)  # which may refuse
        # Here and not in the sender's thread: two threads that import may see half a module.
        importlib.import_module("mlflow")
        self._writer = Writer(paths.journals)
        self._add({"do": BEGIN, "experiment": experiment, "store": named_store()}, tell=False)
        self._sender = Sender(self._writer, paths)
        self._open: dict[str, JournalRun] = {}
        self._watches = system_metrics
        self._watcher: _Watcher | None = None
        self._sender.start()
        tracking.trackers.add(self)

    def run(
        self,
        key: str,
        name: str,
        tags: Mapping[str, str],
        parent: Run | None = None,
        seconds: float = 0.0,
    ) -> Run:
        """See Tracker."""
        own = tracking.inherited(parent) | dict(tags)
        opening = {"name": name, "tags": own, "parent": parent.key if parent else ""}
        run = JournalRun(key, own, self._add, self._writer.copy)
        # First, so that a signal in between leaves no open run behind.
        self._open = {k: r for k, r in self._open.items() if not r.finished} | {key: run}
        self._add({"run": key, "do": OPEN, **opening, "start": time.time() - seconds}, tell=False)
        if self._watches and self._watcher is None:
            self._watcher = _Watcher(run)
            self._watcher.start()
        return run

    def _add(self, line: Mapping[str, Any], *, tell: bool = True) -> None:
        self._writer.add(line)
        if tell:
            self._sender.tell()

    def close(self) -> None:
        """See Tracker: waits a while for MLflow, and says what it has not taken."""
        self._stop_watching()
        self._sender.finish()
        tracking.trackers.discard(self)

    def break_off(self, status: str) -> None:
        """See Tracker."""
        self._stop_watching()
        with suppress(OSError):  # the disk may be full: then the next stage ends them as KILLED
            for run in self._open.values():
                run.break_off(status)
        self._sender.finish(tracking.PATIENCE)

    def _stop_watching(self) -> None:
        if self._watcher is not None:
            self._watcher.stop()


class JournalRun(Run):
    """A run whose recordings are lines of a journal."""

    def __init__(
        self, key: str, tags: Mapping[str, str], add: Add, copy: Callable[[Path], str]
    ) -> None:
        self.key = self.id = key
        self.tags = tags
        self.finished = False
        self._add_line = add
        self._copy = copy

    def _add(self, do: str, **given: Any) -> None:
        self._add_line({"run": self.key, "do": do, "with": given})

    def params(self, values: Mapping[str, Any]) -> None:
        """See Run."""
        self._add("params", values={name: short(value) for name, value in values.items()})

    def metrics(self, values: Mapping[str, float]) -> None:
        """See Run."""
        self._add("metrics", values=dict(values))

    def curve(self, points: Sequence[Mapping[str, float]]) -> None:
        """See Run."""
        self._add("curve", points=[dict(p) for p in points])

    def sample(self, values: Mapping[str, float], at: float) -> None:
        """See Run."""
        self._add("sample", values=dict(values), at=at)

    def artifact(self, path: Path, folder: str = "") -> None:
        """See Run."""
        self._add("artifact", path=self._copy(path), folder=folder)

    def table(self, rows: Sequence[Mapping[str, Any]], name: str) -> None:
        """See Run."""
        self._add("table", rows=[dict(r) for r in rows], name=name)

    def data(self, sets: Sequence[DataSet]) -> None:
        """See Run."""
        self._add("data", sets=[asdict(s) for s in sets])

    def note(self, markdown: str) -> None:
        """See Run."""
        self._add("note", markdown=markdown)

    def finish(self, failed: bool = False) -> None:
        """See Run."""
        self._add("finish", failed=failed, at=time.time())
        self.finished = True

    def break_off(self, status: str) -> None:
        """Ends the run as KILLED or FAILED, if it has not ended."""
        if not self.finished:
            self._add("break_off", status=status, at=time.time())


class _Watcher(threading.Thread):
    """Samples the machine with MLflow's own monitors, into the journal.

    MLflow's thread for this asks the server before each sample, and sends each itself.
    """

    def __init__(self, run: Run) -> None:
        super().__init__(name="watcher", daemon=True)
        self._run = run
        self._end = threading.Event()
        self._monitors = _monitors()

    def run(self) -> None:
        """Samples until it is stopped."""
        from mlflow import environment_variables

        interval: Any = environment_variables.MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL
        while not self._end.wait(interval.get() or SAMPLING):
            measured: dict[str, float] = {}
            for monitor in self._monitors:
                monitor.collect_metrics()
                measured |= monitor.aggregate_metrics()
                monitor.clear_metrics()
            self._run.sample({f"system/{k}": float(v) for k, v in measured.items()}, time.time())

    def stop(self) -> None:
        """Stops it."""
        self._end.set()
        self.join()


def _monitors() -> list[Any]:
    """Those of processor and memory, disk, network, and of NVIDIA's GPUs where there are any."""
    found = []
    for name in ("CPUMonitor", "DiskMonitor", "NetworkMonitor", "GPUMonitor"):
        file = name.removesuffix("Monitor").lower()
        module = importlib.import_module(f"mlflow.system_metrics.metrics.{file}_monitor")
        try:
            found.append(getattr(module, name)())
        except (ImportError, RuntimeError) as error:  # no GPU, or no nvidia-ml-py to ask it
            log.info("%s is not recorded: %s", file, error)
    return found
