"""Clears away what a killed DVC leaves half written, and then refuses to run with.

DVC writes its lock files in their place. What they held is found again: results of finished stages
lie in DVC's run cache.
"""

import json
import logging
import time
from collections.abc import Callable
from pathlib import Path

import voluptuous
from dvc.schema import COMPILED_LOCKFILE_SCHEMA
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from hourglass.paths import Paths

log = logging.getLogger(__name__)

SETTLING = 1.0  # seconds in which a DVC that runs has written the file to its end


def run(paths: Paths) -> list[Path]:
    """Removes the lock files of DVC that are cut short, and says so.

    Returns:
        Those that were removed.
    """
    looked: dict[Path, Callable[[str], None]] = {
        paths.root / ".dvc" / "tmp" / "rwlock": json.loads,
        paths.root / "dvc.lock": _read_lock,
    }
    if not any(_is_cut(file, reads) for file, reads in looked.items()):
        return []
    time.sleep(SETTLING)
    removed = [file for file, reads in looked.items() if _is_cut(file, reads)]
    for file in removed:
        file.unlink()
        log.info("%s was cut short when DVC was killed, and is removed", file)
    return removed


def _is_cut(file: Path, reads: Callable[[str], None]) -> bool:
    if not file.exists():
        return False
    try:
        reads(file.read_text(encoding="utf-8"))
    except (ValueError, YAMLError, voluptuous.Invalid):
        return True
    return False


def _read_lock(text: str) -> None:
    COMPILED_LOCKFILE_SCHEMA(YAML(typ="safe", pure=True).load(text))
