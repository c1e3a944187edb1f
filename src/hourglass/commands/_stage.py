"""Runs a stage. It has no options: what can change a result stands in params.yaml."""

import argparse
import gc
import importlib

from hourglass import console
from hourglass.paths import Paths


def arguments(parser: argparse.ArgumentParser) -> None:
    """See the package."""
    parser.epilog = "Its settings are in params.yaml; `dvc repro` runs it when it is due."


def run(arguments: argparse.Namespace, paths: Paths) -> None:
    """See the package."""
    from hourglass import config

    console.log_to_stderr()
    params = config.load(paths.params)
    _begin(getattr(params, arguments.command, None))
    stage = importlib.import_module(f"hourglass.stages.{arguments.command}")
    console.quieten_others()
    # What was imported, 400 000 objects, lives as long as the process: looking through it again
    # and again for garbage would take some percent of a search.
    gc.freeze()
    stage.run(params, paths)


def _begin(settings: object) -> None:
    """Lets workers import what fits need, some seconds, while the stage imports its own."""
    one_device = getattr(settings, "devices", 1) * getattr(settings, "num_nodes", 1) == 1
    if one_device and hasattr(settings, "executor"):
        from hourglass import executors

        executors.EXECUTORS.load(settings.executor).ahead()
