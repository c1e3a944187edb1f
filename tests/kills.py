"""Kills runs at given moments, and says what they leave: files, and what MLflow holds.

For tests/pipeline/test_kill.py and benchmarks/chaos.py.
"""

import contextlib
import hashlib
import json
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

WHOM = ("group", "coordinator", "other")
PATIENCE = 180  # seconds until a run counts as hanging

# Made-up rows, two losses, a few epochs: every stage takes seconds, most of them imports.
TINY: dict[str, dict[str, Any]] = {
    "preprocess": {
        "source": "synthetic",
        "dataset": "gauss",
        "synthetic": {"rows": 300, "columns": 6},
    },
    "normalize": {"scalers": ["standard"]},
    "model": {"latent_dim": 2, "hidden": [8]},
    "search": {
        "losses": ["mse", "mae"],
        "scalers": "advised",
        "trials_per_loss": 4,
        "round_size": 2,
        "startup_trials": 2,
        "epochs": 4,
        "workers": 2,
    },
    "train": {"seeds": 2, "epochs": 8, "workers": 2},
}


class Started:
    """A command in a session of its own.

    Args:
        folder: Where it runs, and leaves what it says in said.txt.
        command: Its words.
    """

    def __init__(self, folder: Path, *command: str) -> None:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "DVC_NO_ANALYTICS": "true"}
        # MLflow leaves the address of its store in the environment of a process that used one.
        named = ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI")
        inherited = {k: v for k, v in os.environ.items() if k not in named}
        self._said = folder / "said.txt"
        self.start = time.monotonic()
        with self._said.open("a") as said:
            said.write(f"$ {' '.join(command)}\n")
            said.flush()
            self.process = subprocess.Popen(
                command,
                cwd=folder,
                env={**inherited, **quiet, "PATH": path},
                stdout=said,
                stderr=said,
                start_new_session=True,
            )

    def kill_after(self, seconds: float, whom: str, rng: random.Random) -> str:
        """Kills when so many seconds have gone since the start, and says what.

        Args:
            seconds: If the command ends earlier, nothing is killed.
            whom: "group": all processes; "coordinator": the stage's own process alone; "other": one
                of those that it has started (a worker, or the server that forks them).
            rng: Chooses among the others.
        """
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(max(0.0, seconds - (time.monotonic() - self.start)))
            return "nothing: it had ended"
        if whom == "group":
            return self._kill_all()
        own = self._stage()
        if own is None:
            return self._kill_all()
        others = own.children(recursive=True) if whom == "other" else []
        victim = rng.choice(others) if others else own
        with contextlib.suppress(psutil.NoSuchProcess):
            said = f"{victim.pid} of {own.pid} ({' '.join(victim.cmdline())[-60:]})"
            victim.kill()
            return said
        return "nothing: it had ended"

    def _stage(self) -> psutil.Process | None:
        with contextlib.suppress(psutil.NoSuchProcess):
            root = psutil.Process(self.process.pid)
            for one in (root, *root.children(recursive=True)):
                with contextlib.suppress(psutil.NoSuchProcess):
                    words = one.cmdline()
                    if "hourglass" in words or any(w.endswith("/hourglass") for w in words[:2]):
                        return one
        return None

    def _kill_all(self) -> str:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        return "all"

    def ended(self) -> int | None:
        """The exit status when no process of the session is left; None if it hangs."""
        limit = time.monotonic() + PATIENCE
        while time.monotonic() < limit:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(1)
                if not _session(self.process.pid):
                    return self.process.returncode
                time.sleep(0.05)
        self._kill_all()
        return None

    def said(self) -> str:
        """All that was said in this folder so far."""
        return self._said.read_text(errors="replace")


def _session(leader: int) -> list[int]:
    found = []
    for number in psutil.pids():
        with contextlib.suppress(OSError, psutil.Error):
            if os.getsid(number) == leader and psutil.Process(number).status() != "zombie":
                found.append(number)
    return found


# What DVC writes beside outputs; a file that it was copying when it was killed stays there.
DVC_OWN = re.compile(r"\.gitignore|\.[\w-]{22}\.tmp")


def files(folder: Path) -> dict[str, str]:
    """Digest of every file that the pipeline has made, by its path."""
    found = {}
    for top in ("data/interim", "data/normalized", "models", "reports"):
        for path in sorted((folder / top).rglob("*")):
            if path.is_file() and not DVC_OWN.fullmatch(path.name):
                name = str(path.relative_to(folder))
                found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


SHOWN = ("hourglass.stage", "hourglass.loss", "mlflow.note.content", "mlflow.source.name")


def tracked(folder: Path) -> dict[str, Any]:
    """What MLflow holds without identifiers and times: runs, models and versions."""
    if not (folder / "mlflow.db").exists():
        return {}
    with contextlib.closing(sqlite3.connect(folder / "mlflow.db")) as store:

        def rows(query: str, *values: str) -> list[tuple[Any, ...]]:
            return store.execute(query, values).fetchall()

        names = dict(rows("select run_uuid, name from runs"))
        runs = []
        for run, name, status, stage, artifacts in rows(
            "select run_uuid, name, status, lifecycle_stage, artifact_uri from runs"
        ):
            tags = dict(rows("select key, value from tags where run_uuid = ?", run))
            parent = names.get(tags.get("mlflow.parentRunId", ""), "")
            metrics = rows("select key, step, value from metrics where run_uuid = ?", run)
            place = Path(str(artifacts).removeprefix("file://"))
            runs.append(
                {
                    "name": f"{parent} / {name}",
                    "status": f"{status} {stage}",
                    "tags": {k: (tags.get(k) or "").replace(run, "RUN") for k in SHOWN},
                    "params": sorted(rows("select key, value from params where run_uuid = ?", run)),
                    "metrics": sorted(m for m in metrics if m[0] != "seconds"),
                    "inputs": len(rows("select 1 from inputs where destination_id = ?", run)),
                    "artifacts": sorted(
                        str(p.relative_to(place)) for p in place.rglob("*") if p.is_file()
                    ),
                }
            )
        return {
            "runs": sorted(runs, key=lambda r: json.dumps(r)),
            "logged models": sorted(
                rows("select name, status from logged_models where lifecycle_stage = 'active'")
            ),
            "versions": sorted(
                rows("select name, version, status, description from model_versions")
            ),
            "version tags": sorted(
                (version, key, _timeless(value))
                for version, key, value in rows(
                    "select version, key, value from model_version_tags"
                )
            ),
            "aliases": sorted(rows("select name, alias, version from registered_model_aliases")),
        }


def _timeless(tag: str) -> str:
    """A tag of a version without the time at which a move of the alias was noted."""
    return re.sub(r'"when": "[^"]*"', '"when": ""', tag)


def differences(folder: Path, expected: tuple[Mapping[str, Any], Mapping[str, Any]]) -> list[str]:
    """How files and MLflow differ from `expected`, a line each; empty if they are the same."""
    found = []
    for known, now in zip(expected, (files(folder), tracked(folder)), strict=True):
        for name in sorted({*known, *now}):
            if known.get(name) != now.get(name):
                found.append(f"{name}: {_first(known.get(name), now.get(name))}")
    return found


def _first(known: Any, now: Any) -> str:
    if not isinstance(known, list) or not isinstance(now, list):
        return "missing" if now is None else "more than expected" if known is None else "differs"
    gone = [k for k in known if k not in now]
    new = [n for n in now if n not in known]
    if len(known) != len(now):
        return f"{len(now)} instead of {len(known)}: {str(new or gone)[:300]}"
    for one, other in zip(gone, new, strict=False):
        if isinstance(one, dict):
            keys = [k for k in one if one[k] != other[k]]
            return str({k: (one[k], other[k]) for k in keys})[:300]
    return f"{gone} and not {new}"[:300]
