"""Where a result comes from: digests of values, files and code, revisions of git and DVC."""

import hashlib
import json
import os
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

from hourglass.errors import StaleInputError

PACKAGE = Path(__file__).parent

# The code that can change a number of a fit: what a study's trials must share to be comparable.
PURE = (
    "batches.py",
    "bundle.py",
    "checkpoints.py",
    "codelength.py",
    "hiding.py",
    "inputs.py",
    "losses",
    "metrics.py",
    "models",
    "moments.py",
    "plans.py",
    "replaying.py",
    "residuals",
    "schema.py",
    "scaling.py",
    "splitting.py",
    "stages/normalize.py",
    "stepping.py",
    "training.py",
    "trials.py",
    "usual.py",
    "watching.py",
    "wide.py",
)

# Tags of a run that name the code and the settings, see `revision_tags`.
REVISION = ("mlflow.source.git.commit", "git.dirty", "git.branch", "params.yaml")
LIBRARIES = ("numpy", "optuna", "pytorch-lightning", "scipy", "torch")


def digest(*parts: Any) -> str:
    """First 16 hex digits of the SHA-256 of plain data; equal data give equal digests."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def digest_files(*roots: Path) -> str:
    """First 16 hex digits of the SHA-256 of files' names and contents; folders are walked."""
    total = hashlib.sha256()
    for root in roots:
        files = sorted(root.rglob("*")) if root.is_dir() else [root]
        for file in files:
            if file.is_file() and "__pycache__" not in file.parts:
                total.update(str(file.relative_to(root.parent)).encode())
                total.update(hashlib.sha256(file.read_bytes()).digest())
    return total.hexdigest()[:16]


def require_same_rows(made: str | None, now: str, what: Path, stage: str) -> None:
    """Refuses what was made from other rows than those of data/interim.

    Args:
        made: Digest of the rows that it was made from; None: it was not noted.
        now: Digest of the rows in data/interim, see `Schema.digest`.
        what: The file or folder.
        stage: The stage that makes it.

    Raises:
        StaleInputError: they differ.
    """
    if made != now:
        raise StaleInputError(
            f"{what} was made from other rows (digest {made or 'not noted'}) than lie in "
            f"data/interim now ({now}): run `hourglass {stage}` again, or `dvc repro`, which runs "
            "what is out of date"
        )


def code_version() -> str:
    """Digest of the code that can change a number of a fit, its libraries' versions included."""
    libraries = {name: version(name) for name in LIBRARIES}
    return digest(digest_files(*(PACKAGE / name for name in PURE)), libraries)


def revision_tags(root: Path) -> dict[str, str]:
    """Tags for tracking: git commit and state, DVC's experiment, the SHA-256 of params.yaml."""
    tags = {}
    commit = _git(root, "rev-parse", "HEAD")
    if commit:
        tags["mlflow.source.git.commit"] = commit
        changes = _git(root, "status", "--porcelain", "--", ":!dvc.lock")  # DVC writes that itself
        tags["git.dirty"] = str(bool(changes)).lower()
        tags["git.branch"] = _git(root, "rev-parse", "--abbrev-ref", "HEAD")
    for name in ("DVC_EXP_NAME", "DVC_EXP_BASELINE_REV"):
        if value := os.environ.get(name):
            tags[name.lower().replace("_", ".", 1)] = value
    if (root / "params.yaml").exists():
        tags["params.yaml"] = hashlib.sha256((root / "params.yaml").read_bytes()).hexdigest()
    return tags


def _git(root: Path, *arguments: str) -> str:
    """What git answers, or "" where there is no git or no repository."""
    command = ["git", "-C", str(root), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  fixed command
    except FileNotFoundError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
