"""How to get the numbers of a report again: the revision, the runs in MLflow, the settings."""

import io
from typing import Any

from ruamel.yaml import YAML

from hourglass.config import NO_EFFECT_ON_RESULTS, read_yaml
from hourglass.paths import Paths, read_json
from hourglass.provenance import revision_tags

SECTIONS = ("preprocess", "normalize", "model", "search", "train", "evaluate")


def again(paths: Paths, key: str) -> dict[str, str]:
    """What to type, from which revision, and which runs recorded it.

    Args:
        paths: Where the project is.
        key: Of evaluate's run.
    """
    tags = revision_tags(paths.root)
    commit, changed = tags.get("mlflow.source.git.commit"), tags.get("git.dirty") == "true"
    keys = [read_json(place("run.json"), stage)["key"] for stage, place in _runs(paths).items()]
    beside = " with changes that were not committed: compare the settings and code below"
    return {
        "command": f"git checkout {commit[:12]} && dvc repro" if commit else "dvc repro",
        "commit": f"{commit}{beside if changed else ''}" if commit else "none: not under git",
        "runs in MLflow": f"{', '.join([*keys, key])} (tag hourglass.key; make ui)",
    }


def _runs(paths: Paths) -> dict[str, Any]:
    return {"search": paths.search, "train": paths.train}


def settings(paths: Paths) -> str:
    """The part of params.yaml that can change a number, without its comments."""
    every = read_yaml(paths.params)
    shown = {
        section: {
            key: value
            for key, value in every[section].items()
            if f"{section}.{key}" not in NO_EFFECT_ON_RESULTS
        }
        for section in SECTIONS
    }
    text = io.StringIO()
    YAML(typ="rt", pure=True).dump(shown, text)
    return text.getvalue()
