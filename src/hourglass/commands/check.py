"""Is params.yaml right, and does the data's header fit it? `hourglass check`."""

import argparse
import json
from pathlib import Path

from hourglass import console
from hourglass.errors import ConfigError
from hourglass.paths import Paths, named


def arguments(parser: argparse.ArgumentParser) -> None:
    """See the package."""
    console.add_json(parser)


def _look_for(path: str, paths: Paths) -> None:
    """Makes sure that DVC finds what it is to watch.

    Raises:
        ConfigError: it is a pattern.
        DataError: it is not there.
    """
    if any(sign in path for sign in "*?[") and not (paths.root / path).exists():
        folder, pattern = Path(path).parent, Path(path).name
        raise ConfigError(
            f"params.yaml: preprocess.path: {path!r} is a pattern, but DVC watches a file or a "
            f"folder: write path: {folder} and files: '{pattern}'"
        )
    named(paths.root / path, "params.yaml: preprocess.path")


def _require_there(accelerator: str, where: str) -> None:
    """Asks for what is not on every machine; else torch's seconds of importing are saved.

    Raises:
        ConfigError: Lightning finds none.
    """
    if accelerator in ("auto", "cpu"):
        return
    from pytorch_lightning.accelerators import AcceleratorRegistry

    def is_there(name: str) -> bool:
        try:
            return bool(AcceleratorRegistry.get(name).is_available())
        except (ImportError, KeyError):  # a package that it needs; a name that nobody knows
            return False

    if not any(map(is_there, ["cuda", "mps"] if accelerator == "gpu" else [accelerator])):
        raise ConfigError(f"{where}: there is no {accelerator!r} on this machine; take auto or cpu")


def run(arguments: argparse.Namespace, paths: Paths) -> None:
    """See the package."""
    from hourglass import config
    from hourglass.stages import preprocess

    console.log_to_stderr()
    params = config.load(paths.params)
    settings = params.preprocess
    _look_for(settings.path, paths)
    found, layout = preprocess.check(settings, paths)
    for section in ("search", "train"):
        where = f"params.yaml: {section}.accelerator"
        _require_there(getattr(params, section).accelerator, where)
    if params.model.kind != "dense":  # that takes any data, and torch takes seconds to import
        from hourglass import models

        models.check(params.model.kind, layout.shape)
    beware = params.model.beware_of_width(len(layout.names))
    if arguments.json:
        console.say(json.dumps({"right": True, "reads": found, "beware": beware}) + "\n")
        return
    console.say(f"params.yaml is right; {found}\n")
    if beware:
        console.say(f"beware: {beware}\n")
