"""Journals: what is to be recorded, a line of JSON each, on disk before anything else is done.

A process writes a journal of its own and only ever adds lines to it; a kill leaves half a last line
at most, which counts for nothing. Whoever writes or sends a journal holds its lock, which ends with
the process however that ends. A journal that is sent is removed.
"""

import json
import logging
import os
import shutil
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

log = logging.getLogger(__name__)

SUFFIX, LOCK = ".jsonl", ".lock"


class Journal:
    """A journal on disk, locked by this process.

    Args:
        path: The file.
        lock: Held.

    Attributes:
        path: The file.
        files: Folder with copies of the files that it speaks of.
    """

    def __init__(self, path: Path, lock: FileLock) -> None:
        self.path = path
        self.files = path.with_suffix(".files")
        self._lock = lock

    @property
    def size(self) -> int:
        """Bytes."""
        return self.path.stat().st_size

    def remove(self) -> None:
        """Removes it, and lets go of it; after a kill in between, `left` removes the rest."""
        self.path.unlink(missing_ok=True)
        shutil.rmtree(self.files, ignore_errors=True)
        Path(self._lock.lock_file).unlink(missing_ok=True)
        self._lock.release()

    def release(self) -> None:
        """Lets go of it: another process may send it."""
        self._lock.release()


class Writer:
    """Begins a journal in a folder, and adds lines to it.

    Args:
        folder: Made if it isn't there.

    Attributes:
        journal: What is written.
        size: Bytes written.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        # Their names sort by time: what was recorded first is sent first.
        path = folder / f"{time.time_ns():020d}-{os.getpid()}{SUFFIX}"
        lock = _lock(path)
        lock.acquire()
        path.touch()
        self._turn = threading.Lock()
        self._copies = 0
        self._cut = False  # whether the last line may have stayed without an end
        self.journal = Journal(path, lock)
        self.size = 0

    def add(self, line: Mapping[str, Any]) -> None:
        """Adds a line; when this returns, it lies on the disk."""
        text = json.dumps(line, default=_plain, separators=(",", ":"), ensure_ascii=False)
        with self._turn, self.journal.path.open("ab") as file:
            # After a full disk or a signal: the next line must not hang on half of the last one.
            start, self._cut = b"\n" if self._cut else b"", True
            file.write(start + text.encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
            self.size, self._cut = file.tell(), False

    def copy(self, path: Path) -> str:
        """Copies a file, which may change before it is sent; returns where to, below `files`."""
        self._copies += 1
        name = f"{self._copies}/{path.name}"
        (self.journal.files / name).parent.mkdir(parents=True)
        shutil.copyfile(path, self.journal.files / name)
        return name


class Lines:
    """Reads a journal that may still grow.

    Args:
        path: The file.

    Attributes:
        at: Bytes that were read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.at = 0

    def next(self, most: int) -> tuple[list[dict[str, Any]], int]:
        """The next whole lines, and where they end: set `at` to that to go on from there."""
        found, at = [], self.at
        with self._path.open("rb") as file:
            file.seek(at)
            for _ in range(most):
                content = file.readline()
                if not content.endswith(b"\n"):
                    break
                at += len(content)
                if (line := _parsed(content)) is not None:
                    found.append(line)
                elif content.strip():  # a power failure, a full disk, or a hand
                    log.warning("%s: what ends at byte %d can't be read", self._path, at)
        return found, at


def _parsed(content: bytes) -> dict[str, Any] | None:
    """A line; None if it is none."""
    try:
        line = json.loads(content)
    except ValueError:
        return None
    return line if isinstance(line, dict) and "do" in line else None


def left(folder: Path, busy: list[Path] | None = None) -> Iterator[Journal]:
    """Takes the journals that other processes have left behind, the oldest first.

    Args:
        folder: Where they are.
        busy: Gets those that somebody writes or sends just now.
    """
    names = {p.stem for suffix in (SUFFIX, LOCK) for p in folder.glob(f"*{suffix}")}
    for name in sorted(names):
        path = folder / f"{name}{SUFFIX}"
        lock = _lock(path)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            if busy is not None and path.exists():
                busy.append(path)
            continue
        journal = Journal(path, lock)
        if path.exists():
            yield journal
        else:
            journal.remove()  # sent by now; or its process was killed before it began


def _lock(path: Path) -> FileLock:
    return FileLock(path.with_suffix(LOCK), thread_local=False)


def _plain(value: Any) -> Any:
    """Numbers of numpy as Python's."""
    return value.item()
