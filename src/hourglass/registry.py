"""The versions of the registered model: which one is the champion, who made it so, and why.

An alias is one row of MLflow's store, so there are never two champions. What changes it is noted on
the version that it moves to, before it moves: a kill in between leaves a note of a move that never
happened, which is told by where the next one begins.
"""

import contextlib
import json
import logging
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

from filelock import FileLock, Timeout
from sqlalchemy.engine import make_url

from hourglass.catalog import listed
from hourglass.config import Params, read_yaml
from hourglass.errors import ConfigError, TrackingError
from hourglass.mlflow_runs import MlflowTracker
from hourglass.mlflow_store import answering, tracking_uri, user
from hourglass.paths import Paths, write_json

log = logging.getLogger(__name__)

MOVE = "hourglass.move."  # tags: the number of the move follows
REGISTER, PROMOTE, ROLLBACK = "register", "promote", "rollback"
BUNDLE = frozenset({"model.json", "weights.safetensors"})  # without them a version can't answer
GONE = frozenset({404, 410})  # answers of HTTP
LONGEST_REASON = 1000  # characters: a version's description, which quotes it, has room for 5000


@dataclass(frozen=True)
class Move:
    """The alias moved.

    Attributes:
        number: Counts all moves of the model.
        alias: Which.
        start: Version that had it; None: none had.
        end: Version that has it now.
        how: `REGISTER`, `PROMOTE` or `ROLLBACK`.
        who: The user's name.
        when: UTC, ISO 8601.
        why: The reason.
        done: Whether it was carried out, as far as is known.
    """

    number: int
    alias: str
    start: int | None
    end: int
    how: str
    who: str
    when: str
    why: str
    done: bool = True


def champions(moves: Sequence[Move], now: int | None) -> list[int]:
    """The champions that led here, the current one last: what a rollback goes back along.

    A rollback takes the last off, everything else adds one. Where the alias is not where the moves
    say, it was moved by other means, or a move was broken off: then it is believed.

    Args:
        moves: Of one alias, in order.
        now: The version that has the alias; None: it was taken away.
    """
    line: list[int] = []
    for move in moves:
        line = _ending_in(line, move.start)
        line = _ending_in(line, move.end) if move.how == ROLLBACK else [*line, move.end]
    return _ending_in(line, now)


def _ending_in(line: list[int], version: int | None) -> list[int]:
    """Cut off behind the last place of a version, or with the version added."""
    if version is None:
        return line
    if version not in line:
        return [*line, version]
    return line[: len(line) - line[::-1].index(version)]


def _noted(version: Any, key: str, value: str) -> Move:
    try:
        return Move(int(key.removeprefix(MOVE)), **json.loads(value))
    except (TypeError, ValueError) as error:
        raise TrackingError(
            f"version {version.version} of {version.name}: tag {key} is no note of a move "
            f"({error}); delete the tag"
        ) from error


def _file(uri: str) -> Path | None:
    """The file of a SQLite store; None: it is no file."""
    name = make_url(uri).database if uri.startswith("sqlite:") else None
    return None if name in (None, "", ":memory:") else Path(str(name))


class Registry:
    """One registered model and one alias of it.

    Args:
        tracker: Where MLflow is.
        name: Of the model.
        alias: Of its champion.
    """

    def __init__(self, tracker: MlflowTracker, name: str, alias: str) -> None:
        self.client = tracker.client
        self.name = name
        self.alias = alias
        self._uri = tracker.uri

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Lets one process at a time change a registry in a SQLite file; a killed one lets go."""
        file = _file(self._uri)
        if file is None:
            yield
            return
        lock = FileLock(f"{file.resolve()}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            log.info("another process is changing the registry: waiting for it")
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def versions(self) -> list[Any]:
        """All versions, the newest first."""
        found = self.client.search_model_versions(f"name = '{self.name}'")
        return sorted(found, key=lambda v: -int(v.version))

    def version(self, number: int) -> Any:
        """A version by its number.

        Raises:
            ConfigError: there is none.
        """
        known = {int(v.version): v for v in self.versions()}
        if number not in known:
            there = listed([str(n) for n in sorted(known)]) if known else "none: run `dvc repro`"
            raise ConfigError(f"{self.name} has no version {number} (there is {there})")
        return known[number]

    def champion(self) -> int | None:
        """The version that has the alias."""
        from mlflow.exceptions import MlflowException

        try:
            aliases = self.client.get_registered_model(self.name).aliases
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return None
        return int(aliases[self.alias]) if self.alias in aliases else None

    def moves(self) -> list[Move]:
        """The moves of all aliases, in order.

        Raises:
            TrackingError: a note of one can't be read.
        """
        found = [
            _noted(version, key, value)
            for version in self.versions()
            for key, value in version.tags.items()
            if key.startswith(MOVE)
        ]
        return sorted(found, key=lambda m: m.number)

    def line(self) -> list[int]:
        """See `champions`; versions that were deleted are left out."""
        moves = [m for m in self.moves() if m.alias == self.alias]
        known = {int(v.version) for v in self.versions()}
        return [n for n in champions(moves, self.champion()) if n in known]

    def withdrawn(self, number: int) -> str:
        """How a person took the alias from a version, if that was its last move; else ""."""
        moves = self.moves()
        own = [m for m in moves if m.alias == self.alias and number in (m.start, m.end)]
        last = own[-1] if own else None
        if last and last.start == number and last.how != REGISTER:
            return f"{last.who} took @{self.alias} from it ({last.when[:10]}: {last.why})"
        now = self.champion()
        if not last or not last.done or last.end != number or now in (None, number):
            return ""
        # Notes that are missing stood on versions that were deleted: one of them may tell.
        whole = {m.number for m in moves} >= set(range(last.number, moves[-1].number))
        return f"@{self.alias} was taken from it in MLflow itself" if whole else ""

    def move(self, start: int | None, end: int, how: str, why: str) -> bool:
        """Moves the alias, if it is still where the caller saw it; says whether it moved.

        Args:
            start: Where it was seen; None: nowhere.
            end: The version that it moves to.
            how: `REGISTER`, `PROMOTE` or `ROLLBACK`.
            why: The reason.
        """
        if self.champion() != start:
            return False
        moves = self.moves()
        number = 1 + max((m.number for m in moves), default=0)
        own = [m for m in moves if m.alias == self.alias]
        same = own and (own[-1].start, own[-1].end, own[-1].how) == (start, end, how)
        if same and not own[-1].done:  # noted before a kill
            number = own[-1].number
        when = datetime.now(UTC).isoformat(timespec="seconds")
        note = Move(number, self.alias, start, end, how, user(), when, why, done=False)
        self._note(note)
        self.client.set_registered_model_alias(self.name, self.alias, str(end))
        if self.champion() != end:
            return False
        self._note(replace(note, done=True))
        return True

    def _note(self, move: Move) -> None:
        content = asdict(move)
        key = f"{MOVE}{content.pop('number'):04d}"
        self.client.set_model_version_tag(self.name, str(move.end), key, json.dumps(content))

    def has_files(self, version: Any) -> bool:
        """Whether a version's files are still in the artifact store; the registry doesn't look.

        Raises:
            MlflowException, OSError: the store does not say: it is away, or denies access.
        """
        from mlflow.exceptions import MlflowException

        try:
            missing = ", ".join(_missing(f"models:/{version.name}/{version.version}"))
        except (MlflowException, OSError, ConfigError) as error:
            if not _says_gone(error):
                raise
            missing = " ".join(str(error).split())
        if missing:
            log.warning("version %s has lost its files (%s)", version.version, missing)
        return not missing


def _missing(uri: str) -> list[str]:
    """Files that a model of Hourglass needs and has no more; of other models nothing is known."""
    from mlflow.artifacts import download_artifacts

    if "MLmodel" not in _files(uri):
        return ["MLmodel"]
    with tempfile.TemporaryDirectory() as folder:
        model = read_yaml(Path(download_artifacts(f"{uri}/MLmodel", dst_path=folder)))
    try:
        place = model["flavors"]["python_function"]["artifacts"]["bundle"]["path"]
    except (KeyError, TypeError):
        return []
    return sorted(BUNDLE - _files(f"{uri}/{place}"))


def _files(uri: str) -> set[str]:
    """Names of the files in a folder of a model; none where there is no such folder."""
    from mlflow.artifacts import list_artifacts

    return {PurePosixPath(file.path).name for file in list_artifacts(artifact_uri=uri)}


def _says_gone(error: Exception) -> bool:
    """Whether an error says that files are gone, or no more what they were; not: out of reach."""
    response = getattr(error, "response", None)
    return (
        isinstance(error, FileNotFoundError | NotADirectoryError | ConfigError)
        or getattr(response, "status_code", None) in GONE
        or getattr(error, "error_code", None) == "RESOURCE_DOES_NOT_EXIST"
    )


def promote(params: Params, paths: Paths, number: int, reason: str) -> None:
    """Makes a version the champion, whatever the gate said of it.

    Raises:
        ConfigError: no reason is given, or there is no such version.
        TrackingError: the version's files are lost, or the registry refuses.
    """
    with _opened(params, paths, reason) as registry:
        start = registry.champion()
        version = registry.version(number)
        if start == number:
            log.info("%s version %s is @%s already", registry.name, number, registry.alias)
            return
        _go(registry, start, version, PROMOTE, reason)
        _remember(paths, registry, PROMOTE, number, reason)


def rollback(params: Params, paths: Paths, reason: str) -> None:
    """Makes the champion before this one the champion again; once more goes further back.

    Raises:
        ConfigError: no reason is given, or there is no champion before.
        TrackingError: the files of the one before are lost, or the registry refuses.
    """
    with _opened(params, paths, reason) as registry:
        start = registry.champion()
        if start is None:
            raise ConfigError(
                f"{registry.name} has no @{registry.alias}: there is nothing to go back from. "
                "`hourglass promote VERSION` makes a version the champion"
            )
        before = [n for n in registry.line() if n != start]
        if not before:
            there = sorted(int(v.version) for v in registry.versions())
            raise ConfigError(
                f"version {start} is the first @{registry.alias} of {registry.name} (versions: "
                f"{listed([str(n) for n in there])}): there is none to go back to. "
                "`hourglass promote VERSION` makes any version the champion"
            )
        _go(registry, start, registry.version(before[-1]), ROLLBACK, reason)
        _remember(paths, registry, ROLLBACK, before[-1], reason)


@contextlib.contextmanager
def _opened(params: Params, paths: Paths, reason: str) -> Iterator[Registry]:
    if not reason.strip():
        raise ConfigError("--reason is empty: say why, those who come later will ask")
    if len(reason) > LONGEST_REASON:
        raise ConfigError(
            f"--reason has {len(reason)} characters, {LONGEST_REASON} at most are kept: say it in "
            "short, and where the rest can be read"
        )
    store = _file(tracking_uri(paths.root))
    if store is not None and not store.exists():
        raise ConfigError(f"no model is registered yet ({store} is missing): run `dvc repro`")
    tracker = MlflowTracker(params.tracking.experiment, paths.root)
    registry = Registry(tracker, params.register_.name, params.register_.alias)
    with answering(tracker.uri), registry.locked():
        yield registry


def _remember(paths: Paths, registry: Registry, how: str, number: int, reason: str) -> None:
    """Notes a move for `hourglass summary`, which does not ask MLflow: that takes seconds."""
    own = {"name": registry.name, "alias": registry.alias, "version": number}
    today = datetime.now(UTC).date().isoformat()
    write_json(paths.moved, {**own, "how": how, "when": today, "why": reason})


def _go(registry: Registry, start: int | None, version: Any, how: str, reason: str) -> None:
    number = int(version.version)
    if not registry.has_files(version):
        raise TrackingError(
            f"version {number} of {registry.name} has lost its files: it can't serve. Choose "
            "another: `hourglass promote VERSION`"
        )
    if not registry.move(start, number, how, reason):
        raise TrackingError(
            f"@{registry.alias} of {registry.name} was moved by another process at this moment, "
            "look where it is now before you try again"
        )
    was = f"was version {start}" if start else "there was none"
    log.info("%s version %s is now @%s (%s)", registry.name, number, registry.alias, was)
