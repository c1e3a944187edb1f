"""Runs tasks on a Ray cluster: machines and GPUs elsewhere, or this machine alone.

A worker is a Ray actor: a process that keeps its imports and its share of a GPU for its whole life
(docs/decisions/0055). Ray places the workers; which task runs next on which of them is said here,
so that a lost worker costs the task that it had, and nothing else.
"""

import logging
import math
import os
import socket
import sys
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from hourglass.errors import ConfigError, TrainingError
from hourglass.executors import ATTEMPTS, ONE_THREAD, Cluster, Executor, cores, deadly
from hourglass.paths import Paths, write_text
from hourglass.provenance import code_version

log = logging.getLogger(__name__)

# Specs and results take kilobytes; Ray would set aside a third of the memory for them.
STORE_BYTES = 80 << 20

ANSWER_SECONDS = 10  # within which a cluster's head accepts a connection

# What tells Lightning that a process is one of several of the same fit. A batch system sets these
# for each of its tasks, and a worker of Ray's inherits them; but its fits are its own.
_RANKS = ("RANK", "LOCAL_RANK", "JSM_NAMESPACE_RANK", "WORLD_SIZE")


@dataclass(frozen=True)
class Home:
    """What the coordinator has, and every node must have as well.

    Attributes:
        folder: The project's.
        mark: A file in it that exists while the coordinator runs.
        code: See `provenance.code_version`.
    """

    folder: Path
    mark: Path
    code: str

    def complaint(self) -> str:
        """What is wrong on the node that this runs on; empty if nothing is."""
        node = f"the node {socket.gethostname()}"
        remedy = "mount the same filesystem there, under the same path (docs/scaling.md)"
        if not self.folder.is_dir():
            return f"{node} has no folder {self.folder}, which holds the project: {remedy}"
        if not self.mark.exists():
            return (
                f"{self.folder} on {node} is another folder than here ({self.mark} is missing "
                f"there): models would be lost in a copy; {remedy}"
            )
        if code_version() != self.code:
            return (
                f"{node} has another version of hourglass, or of a library that fits depend on: "
                "install the same environment on every node (docs/scaling.md)"
            )
        return ""


class Worker:
    """Lives in a process of some node."""

    def start(self, home: Home | None) -> str:
        """Makes the process ready for fits; returns what is wrong on this node."""
        for name in [k for k in os.environ if k.startswith("SLURM_") or k in _RANKS]:
            del os.environ[name]
        return home.complaint() if home else ""

    def awake(self) -> str:
        """Answers: the worker is there."""
        return ""

    def run(self, task: Callable[[Any], Any], argument: Any) -> Any:
        """Runs a task."""
        return task(argument)


@dataclass
class _Job:
    future: Future[Any]
    task: Callable[[Any], Any]
    argument: Any
    lost: int = 0


class Ray(Executor):
    """Workers on a Ray cluster; without an address Ray is started here, and ends with this.

    Args:
        workers: How many tasks may run at a time; None: as many as the nodes have room for now.
        cluster: Which cluster, and what of it one task takes.

    Raises:
        ConfigError: Ray isn't installed, the cluster can't be joined, or no node has room.
    """

    def __init__(self, workers: int | None, cluster: Cluster | None = None) -> None:
        cluster = cluster or Cluster()
        self._ray = _imported()
        _connect(self._ray, cluster, workers)
        self._home: Home | None = None
        try:
            super().__init__(_placed(self._ray.nodes(), cluster, workers))
            self._class = self._ray.remote(**_options(cluster))(Worker)
            self._home = _home(cluster)
            self._queue: deque[_Job] = deque()
            # Ray's reference to an answer -> who will give it, to which job (none: merely starts).
            self._calls: dict[Any, tuple[Any, _Job | None]] = {}
            self._idle: list[Any] = []
            self._started: set[Any] = set()
            self._failed_starts = 0
            for _ in range(self.workers):
                self._hire()
        except BaseException:
            self.close()
            raise

    @classmethod
    def on(cls, cluster: Cluster, workers: int | None) -> Self:
        """Starts on the cluster."""
        return cls(workers, cluster)

    def submit(self, task: Callable[[Any], Any], argument: Any) -> Future[Any]:
        """Queues the task for the next free worker."""
        job = _Job(Future(), task, argument)
        self._queue.append(job)
        if self._idle:  # it may have been lost since: it gets the job once it answers
            worker = self._idle.pop()
            self._calls[worker.awake.remote()] = (worker, None)
        return job.future

    def wait(self, pending: Iterable[Future[Any]]) -> set[Future[Any]]:
        """Blocks until one is done; tasks of lost workers run again meanwhile."""
        wanted = set(pending)
        while not (done := {f for f in wanted if f.done()}):
            self._ray.wait(list(self._calls))
            answers, _ = self._ray.wait(list(self._calls), num_returns=len(self._calls), timeout=0)
            for answer in answers:
                self._take(answer)
        return done

    def close(self) -> None:
        """Ends the workers at once, and Ray where it was started here."""
        self._ray.shutdown()
        if self._home is not None:
            self._home.mark.unlink(missing_ok=True)

    def _hire(self) -> None:
        worker = self._class.remote()
        self._calls[worker.start.remote(self._home)] = (worker, None)

    def _take(self, answer: Any) -> None:
        worker, job = self._calls.pop(answer)
        try:
            value = self._ray.get(answer)
        except self._ray.exceptions.RayTaskError as error:
            if job is None:
                raise _unable(error) from error
            job.future.set_exception(_cause(error))
        except self._ray.exceptions.RayError as error:
            self._replace(worker, job, error)
            return
        else:
            if job is not None:
                job.future.set_result(value)
            elif value:
                raise ConfigError(value)
        self._started.add(worker)
        self._failed_starts = 0
        if self._queue:
            job = self._queue.popleft()
            self._calls[worker.run.remote(job.task, job.argument)] = (worker, job)
        else:
            self._idle.append(worker)

    def _replace(self, worker: Any, job: _Job | None, error: Exception) -> None:
        """Another worker for a lost one; its job goes to the next that is free."""
        self._ray.kill(worker)  # one that merely can't be reached may still be at it
        unstarted = worker not in self._started
        self._started.discard(worker)
        self._hire()
        if job is not None:
            job.lost += 1
            if job.lost == ATTEMPTS:
                job.future.set_exception(deadly(job.argument, job.lost))
                return
            log.warning("a worker was lost, its fit begins again: %s", _last_line(error))
            self._queue.appendleft(job)
        elif unstarted:
            self._failed_starts += 1
            if self._failed_starts == ATTEMPTS:
                raise _unable(error) from error


def _imported() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # read when it starts
    try:
        import ray
        import ray.exceptions
    except ImportError:
        raise ConfigError(
            "the executor ray needs a package that is not installed: pip install 'hourglass[ray]'"
        ) from None
    return ray


def _connect(ray: Any, cluster: Cluster, workers: int | None) -> None:
    """Joins the cluster, or starts one here with as many CPUs as the workers take."""
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    if not cluster.address:
        wanted = math.ceil(workers * cluster.cpus) if workers else cores()
        ray.init(
            "local",
            num_cpus=wanted,
            include_dashboard=False,
            object_store_memory=STORE_BYTES,
            _node_ip_address="127.0.0.1",  # else its ports would be open to the network
            **quiet,
        )
        return
    try:
        if cluster.address != "auto":  # where nobody listens Ray would try for ever
            host, _, port = cluster.address.removeprefix("ray://").rpartition(":")
            socket.create_connection((host, int(port)), timeout=ANSWER_SECONDS).close()
        ray.init(cluster.address, **quiet)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        raise ConfigError(
            f"params.yaml: ray.address: can't join {cluster.address!r}: {_last_line(error)}. Is "
            "Ray running there (`ray status`), in the same version, and are RAY_AUTH_MODE and the "
            "token the same here (docs/scaling.md)? '' starts Ray on this machine"
        ) from error


def _home(cluster: Cluster) -> Home | None:
    """Marks the project's folder for nodes to find; None where this machine is the only one."""
    if not cluster.address:
        return None
    folder = cluster.folder.resolve()
    home = Home(folder, Paths(folder).state / f"ray-{uuid.uuid4().hex}", code_version())
    write_text(
        home.mark, "Exists while a stage runs on Ray: tells nodes that the folder is shared."
    )
    return home


def _placed(nodes: Sequence[Mapping[str, Any]], cluster: Cluster, workers: int | None) -> int:
    """How many workers there shall be.

    Raises:
        ConfigError: no node has room for one, and none can be expected to come.
    """
    wanted = {"CPU": cluster.cpus, "GPU": cluster.gpus}
    alive = [n["Resources"] for n in nodes if n["Alive"]]
    room = sum(
        min(math.floor(has.get(kind, 0) / one + 1e-9) for kind, one in wanted.items() if one)
        for has in alive
    )
    if room:
        return workers or room
    each = ", ".join(f"{has.get('CPU', 0):g} and {has.get('GPU', 0):g}" for has in alive)
    text = (
        f"no node has the {cluster.cpus:g} CPUs and {cluster.gpus:g} GPUs that params.yaml: ray "
        f"gives each fit (CPUs and GPUs of the nodes: {each})"
    )
    if not (workers and cluster.address):
        raise ConfigError(
            f"{text}: lower ray.cpus or ray.gpus, or add nodes; on a cluster that grows when it "
            "is asked, name a number of `workers` instead of auto"
        )
    log.warning("%s: waiting for nodes to come", text)
    return workers


def _options(cluster: Cluster) -> dict[str, Any]:
    """What one worker takes, and the environment of its process."""
    variables = dict(ONE_THREAD)
    if not cluster.gpus:  # else it would see all of its node's, and take the first
        variables["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "1"
    if not cluster.address:  # modules are found as here
        variables["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    return {
        "num_cpus": cluster.cpus,
        "num_gpus": cluster.gpus,
        "max_restarts": 0,
        "runtime_env": {"env_vars": variables},
    }


def _cause(error: Any) -> BaseException:
    """The task's own exception, with the traceback that its worker saw."""
    cause: BaseException | None = error.cause
    if cause is None:
        return error  # type: ignore[no-any-return]  # it could not be pickled
    cause.__cause__ = error
    return cause


def _unable(error: Exception) -> TrainingError:
    return TrainingError(
        f"Ray's workers can't start: {_last_line(error)}. Every node needs the same environment "
        "(Python, hourglass and its packages, see docs/scaling.md)"
    )


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1].rstrip(".") if lines else type(error).__name__


EXECUTOR = Ray
