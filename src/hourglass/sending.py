"""Sends journals to MLflow: in the background while a stage writes, and what was left behind later.

Nothing waits for MLflow: what it does not take stays in its journal. What is sent again, since a
kill or an outage hid how far it had come, adds nothing: see `tracking`.
"""

import contextlib
import logging
import os
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from hourglass import journal, patience
from hourglass.errors import TrackingError
from hourglass.journal import Journal, Lines, Writer
from hourglass.mlflow_runs import MlflowRun, MlflowTracker
from hourglass.mlflow_store import tracking_uri
from hourglass.paths import Paths, home
from hourglass.tracking import DataSet

log = logging.getLogger(__name__)

CHUNK = 500  # lines that are held in memory
SWITCH = 0.0003  # seconds that one thread may keep others of this process waiting
LOWEST = 19  # of Unix priorities
GATHER = 0.5  # seconds in which lines are gathered: what a trial says goes out in one call
FIRST, LONGEST = 1.0, 30.0  # seconds between attempts while MLflow is away
CLOSING = 120.0  # seconds that a stage waits at its end for MLflow to take the rest
GRACE = 3.0  # seconds of these if it is away
LAST = 1.0  # seconds for an attempt that has begun to end
BEGIN, OPEN = "begin", "open"  # lines that are no call of a run
CALLS = frozenset(
    {"params", "metrics", "curve", "sample", "artifact", "table", "data", "note", "finish"}
    | {"break_off"}
)
ENDS = frozenset({"finish", "break_off"})
OWN = "the project's own store"
ELSEWHERE = (
    "%s was recorded for %s, not for %s: it is not sent. Set MLFLOW_TRACKING_URI as it was, or "
    "send it here with `hourglass sync --all`"
)
LATER = "the next stage sends it, and so does `hourglass sync`"


def named_store() -> str:
    """The address in the environment as it may be shown; "" if there is none."""
    return patience.without_password(os.environ.get("MLFLOW_TRACKING_URI", ""))


class Connections:
    """Opens experiments of the store that the environment names; errors come at once.

    Args:
        paths: The project's files.

    Attributes:
        shown: The store's address as it may be shown.
        named: The same if the environment names it; "" for the project's own file, which may move.
    """

    def __init__(self, paths: Paths) -> None:
        self._root = paths.root
        self._last = paths.sender
        self._me = f"{os.getpid()} {time.time_ns()}"
        self.address = tracking_uri(paths.root)
        self.shown = patience.without_password(self.address)
        self.named = named_store()
        self._trackers: dict[str, MlflowTracker] = {}

    def to(self, experiment: str) -> MlflowTracker:
        """The tracker of an experiment.

        Raises:
            TrackingError: the store is away, or refuses.
        """
        if experiment not in self._trackers:
            self._trackers[experiment] = MlflowTracker(experiment, self._root, waits=False)
        return self._trackers[experiment]

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Lets one process at a time send: two that look for a run would both make it.

        What was known of runs is looked up anew if another process has sent in the meantime.
        """
        last = self._last
        last.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(last.with_suffix(".lock")):
            if not last.exists() or last.read_text() != self._me:
                for tracker in self._trackers.values():
                    tracker.forget()
                last.write_text(self._me)
            yield

    def why(self, error: TrackingError) -> str:
        """What is wrong with the store, for people."""
        if not patience.is_outage(error):
            return str(error)
        cause = patience.cause(error.__cause__ or error, self.address)
        return f"MLflow's store at {self.shown} is away ({cause})"


class Replay:
    """Sends one journal.

    Args:
        of: The journal, which may still grow.
        connections: Where to.

    Attributes:
        journal: The journal.
        refused: Key of each run that MLflow refused -> why.
        store: For which store it was written, see `Connections.named`.
    """

    def __init__(self, of: Journal, connections: Connections) -> None:
        self.journal = of
        self.refused: dict[str, str] = {}
        self._connections = connections
        self._lines = Lines(of.path)
        first, _ = self._lines.next(1)
        self.store = first[0].get("store", "") if first else connections.named
        self._experiment = ""
        self._openings: dict[str, dict[str, Any]] = {}
        self._runs: dict[str, MlflowRun] = {}
        self._unfinished: set[str] = set()

    @property
    def sent(self) -> int:
        """Bytes of the journal that MLflow has taken."""
        return self._lines.at

    @property
    def runs(self) -> int:
        """Number of runs that it speaks of, as far as it was read, and that MLflow took."""
        return len(self._openings.keys() - self.refused.keys())

    def send(self) -> None:
        """Sends the whole lines that are there and were not sent.

        Raises:
            TrackingError: the store is away or full; the same call goes on.
        """
        while True:
            lines, end = self._lines.next(CHUNK)
            if end == self._lines.at:
                return
            by_run: dict[str, list[dict[str, Any]]] = {}
            for line in lines:
                if line["do"] == BEGIN:
                    self._experiment = line.get("experiment", "")
                else:
                    by_run.setdefault(line.get("run", ""), []).append(line)
            with self._connections.alone():
                for key, own in by_run.items():
                    self._send(key, own)
            self._lines.at = end

    def end(self) -> None:
        """Ends the runs whose process was killed before it could.

        Raises:
            TrackingError: the store is away or full; the same call goes on.
        """
        with self._connections.alone():
            for key in sorted(self._unfinished):
                self._send(key, [{"do": "break_off", "with": {"status": "KILLED"}}])

    def _send(self, key: str, lines: list[dict[str, Any]]) -> None:
        """Sends what was said of one run; a run that MLflow refuses does not hold up the others."""
        for line in lines:
            if line["do"] == OPEN:
                self._openings[key] = line
                self._unfinished.add(key)
        if key not in self._openings:  # its end alone: a signal came before it was opened
            return
        if key in self.refused:  # were it ended now, what was refused could not be sent later
            return
        try:
            run = self._run(key)
            for line in lines:
                if line["do"] in CALLS and not run.finished:
                    getattr(run, line["do"])(**self._arguments(line))
            run.flush()
        except TrackingError as error:
            self._runs.pop(key, None)  # it may know of more or of less than MLflow does
            if patience.is_outage(error) or patience.is_full(error):
                raise
            self._refuse(key, str(error))
        except Exception as error:  # noqa: BLE001  what an artifact store's own library raises
            self._runs.pop(key, None)
            self._refuse(key, f"{type(error).__name__}: {' '.join(str(error).split())}")
        if any(line["do"] in ENDS for line in lines):
            self._unfinished.discard(key)
            self._runs.pop(key, None)

    def _refuse(self, key: str, why: str) -> None:
        if not self.refused:
            log.warning("%s: %s", self._openings[key].get("name", key), why)
        self.refused.setdefault(key, why)

    def _run(self, key: str) -> MlflowRun:
        if key not in self._runs:
            if key not in self._openings:
                raise TrackingError(f"the journal does not say how {key!r} began")
            said = self._openings[key]
            parent = self._run(said["parent"]) if said["parent"] else None
            to = self._connections.to(self._experiment)
            ago = time.time() - said["start"]
            self._runs[key] = to.run(key, said["name"], said["tags"], parent, ago)
        return self._runs[key]

    def _arguments(self, line: dict[str, Any]) -> dict[str, Any]:
        given = dict(line["with"])
        if line["do"] == "artifact":
            given["path"] = self.journal.files / given["path"]
        if line["do"] == "data":
            given["sets"] = [
                DataSet(**{**s, "columns": tuple(s["columns"])}) for s in given["sets"]
            ]
        return given


def _give_way() -> None:
    """Leaves the processor to the fits: what is recorded may wait until a core is free.

    The thread that hands out trials would else wait 5 ms for this one each time that it comes back
    from a file. On Linux a thread also has a priority of its own.
    """
    sys.setswitchinterval(SWITCH)
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), LOWEST)


class Sender(threading.Thread):
    """Sends what a stage writes while it writes, after what other stages have left behind.

    Args:
        writer: Of the stage's own journal.
        paths: The project's files.
    """

    def __init__(self, writer: Writer, paths: Paths) -> None:
        super().__init__(name="sender", daemon=True)
        self._writer = writer
        self._paths = paths
        self._connections = Connections(paths)
        self._own = Replay(writer.journal, self._connections)
        self._left: list[Replay] = []
        self._wake, self._hurry, self._over = (threading.Event() for _ in range(3))
        self._wake.set()  # for what was left behind
        self._given_up = threading.Event()
        self._news = threading.Condition()
        self._failures = 0
        self._trouble = ""
        self._ended = False

    def tell(self) -> None:
        """Says that there are new lines."""
        self._wake.set()

    def run(self) -> None:
        """Sends until it is stopped."""
        try:
            self._run()
        except Exception as error:
            self._trouble = f"sending broke off ({type(error).__name__}: {error})"
            log.debug("the sender's thread", exc_info=True)
        finally:
            with self._news:
                self._ended = True
                self._news.notify_all()
            if self._given_up.is_set():
                self._let_go()

    def _run(self) -> None:
        _give_way()
        self._left = list(_here(self._paths, self._connections, everywhere=False, elsewhere=[]))
        pause = None
        while not self._over.is_set():
            self._wake.wait(pause)
            self._hurry.wait(GATHER)
            self._wake.clear()
            failures = self._failures
            try:
                self._send()
            except TrackingError as error:
                self._say(self._connections.why(error))
                failures += 1
                hurried = self._hurry.is_set()
                pause = FIRST if hurried else min(2 * (pause or FIRST / 2), LONGEST)
            else:
                self._say("")
                pause = None
            with self._news:
                self._failures = failures
                self._news.notify_all()

    def _send(self) -> None:
        while self._left:
            _finish(self._left[0])
            self._left.pop(0)
        self._own.send()

    def _say(self, trouble: str) -> None:
        """Says what is wrong when it begins, and when it is over."""
        if trouble and not self._trouble:
            log.warning("%s: going on, what is recorded is kept until it is back", trouble)
        if self._trouble and not trouble:
            log.info("MLflow's store at %s is back: it has what was kept", self._connections.shown)
        self._trouble = trouble

    def drain(self, seconds: float) -> bool:
        """Waits until all is sent that was written; gives up sooner if MLflow is away.

        Args:
            seconds: As long as this at most.

        Returns:
            Whether all is sent.
        """
        wanted, failures, begun = self._writer.size, self._failures, time.monotonic()

        def over() -> bool:
            away = self._failures > failures and time.monotonic() - begun > GRACE
            return self._own.sent >= wanted or away or self._ended

        self._hurry.set()
        self._wake.set()
        with self._news:
            self._news.wait_for(over, seconds)
        self._hurry.clear()
        return self._own.sent >= wanted

    def finish(self, seconds: float = CLOSING) -> None:
        """Waits for what is not sent, within limits, and says what is left of it.

        Args:
            seconds: As in `drain`.
        """
        whole = self.drain(seconds) and not self._own.refused
        if not whole:
            self._given_up.set()
        self._over.set()
        self._hurry.set()
        self._wake.set()
        self.join(LAST)
        if whole:
            self._own.journal.remove()
            return
        refused = next(iter(self._own.refused.values()), "")
        why = self._trouble or refused or f"{self._connections.shown} is slow"
        kept = self._own.journal.path.relative_to(home(self._paths.root))
        log.warning("%s: not all is in MLflow yet. %s keeps the rest; %s", why, kept, LATER)
        if not self.is_alive():
            self._let_go()

    def _let_go(self) -> None:
        """Others may send what this one did not."""
        for replay in (self._own, *self._left):
            replay.journal.release()


def goes_on() -> bool:
    """Whether a thread of this process still waits for a store, which nobody waits for any more."""
    return any(isinstance(thread, Sender) for thread in threading.enumerate())


def _finish(replay: Replay) -> None:
    """Sends a journal whose process is gone, and removes it if MLflow refused nothing.

    Raises:
        TrackingError: the store is away or full.
    """
    replay.send()
    replay.end()
    if replay.refused:
        replay.journal.release()
    else:
        replay.journal.remove()


@dataclass(frozen=True)
class Sent:
    """What came of journals that were left behind.

    Attributes:
        runs: Runs that MLflow has now.
        kept: Journals of which MLflow refused a part.
        elsewhere: Journals for another store, which were left alone.
        busy: Journals that another process writes or sends.
    """

    runs: int
    kept: tuple[Path, ...] = ()
    elsewhere: tuple[Path, ...] = ()
    busy: tuple[Path, ...] = ()


def _here(
    paths: Paths,
    connections: Connections,
    *,
    everywhere: bool,
    elsewhere: list[Path],
    busy: list[Path] | None = None,
) -> Iterator[Replay]:
    """Takes what was left behind for this store, or for any; what is for others is listed."""
    for one in journal.left(paths.journals, busy):
        replay = Replay(one, connections)
        if everywhere or replay.store == connections.named:
            yield replay
        else:
            one.release()
            elsewhere.append(one.path)
            log.warning(ELSEWHERE, one.path, replay.store or OWN, connections.named or OWN)


def send_left(paths: Paths, *, everywhere: bool = False) -> Sent:
    """Sends what was left behind, now.

    Args:
        paths: The project's files.
        everywhere: Also what was recorded for another store than the environment names.

    Raises:
        TrackingError: MLflow's store is away, or can't be used; nothing is lost.
    """
    connections, runs = Connections(paths), 0
    kept: list[Path] = []
    elsewhere: list[Path] = []
    busy: list[Path] = []
    for replay in _here(paths, connections, everywhere=everywhere, elsewhere=elsewhere, busy=busy):
        one = replay.journal
        try:
            _finish(replay)
        except TrackingError as error:
            one.release()
            why = connections.why(error).rstrip(".")
            raise TrackingError(f"{why}. What is not sent stays in {paths.journals}") from error
        runs += replay.runs
        if replay.refused:
            kept.append(one.path)
    return Sent(runs, tuple(kept), tuple(elsewhere), tuple(busy))
