"""Keeps finished fits until their stage has ended: a killed `train` goes on where it was.

DVC deletes the outputs of a stage before it runs, models/ among them, so each finished fit has a
copy elsewhere: a folder under the digest of all that it depends on, written beside and renamed.
"""

import json
import logging
import shutil
from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path

from hourglass import trials
from hourglass.paths import Paths, replacing, write_json
from hourglass.plans import is_rank_zero
from hourglass.provenance import digest_files
from hourglass.schema import Schema
from hourglass.trials import Result, Spec

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Task:
    """A fit and the folder that keeps it.

    Attributes:
        spec: The fit.
        folder: Holds a copy of its bundle, if it saves one, the result, and their digest.
    """

    spec: Spec
    folder: Path

    def __str__(self) -> str:
        return str(self.spec)


def tasks(specs: Collection[Spec], schema: Schema, paths: Paths) -> list[Task]:
    """Names the folder of each fit by what it depends on."""
    folders = [paths.fit(trials.identity(spec, schema)).resolve() for spec in specs]
    return [Task(spec, folder) for spec, folder in zip(specs, folders, strict=True)]


def run(task: Task) -> Result:
    """Fits, and keeps what came of it; a failed fit is not kept.

    Raises:
        HourglassError: as `trials.run`.
    """
    result = trials.run(task.spec)
    if not result.failure and is_rank_zero():
        with replacing(task.folder) as beside:
            if task.spec.save_to is not None:
                shutil.copytree(task.spec.save_to, beside / "bundle")
            write_json(beside / "result.json", asdict(result))
            write_json(beside / "digest.json", _digest(beside))
    return result


def found(task: Task) -> Result | None:
    """The result of a fit that was kept, its bundle put back; None if it must be fitted.

    What is not as it was written (cut short by a power failure, changed by hand) is not trusted.
    """
    if not task.folder.exists():
        return None
    try:
        whole = json.loads((task.folder / "digest.json").read_text()) == _digest(task.folder)
    except (OSError, ValueError):
        whole = False
    if not whole:
        if is_rank_zero():
            log.warning("%s is damaged: %s is fitted again", task.folder, task)
        return None
    if is_rank_zero() and task.spec.save_to is not None:
        with replacing(task.spec.save_to) as beside:
            shutil.copytree(task.folder / "bundle", beside)
    return Result(**json.loads((task.folder / "result.json").read_text()))


def forget(paths: Paths, but: Collection[Task] = ()) -> None:
    """Removes all kept fits `but` some, also those of other settings."""
    wanted = {task.folder.name for task in but}
    if paths.fits.is_dir():
        for folder in paths.fits.iterdir():
            if folder.name not in wanted:
                shutil.rmtree(folder, ignore_errors=True)


def _digest(folder: Path) -> str:
    files = (folder / "bundle", folder / "result.json")
    return digest_files(*(file for file in files if file.exists()))
