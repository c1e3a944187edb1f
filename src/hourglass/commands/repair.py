"""Clears away what a killed DVC left half written: `hourglass repair`."""

import argparse

from hourglass import console
from hourglass.paths import Paths


def arguments(parser: argparse.ArgumentParser) -> None:
    """See the package."""
    parser.description = (
        "DVC refuses to run with a lock file that is cut short. It is removed; results of finished "
        "stages lie in DVC's cache. `make repro` does this by itself."
    )


def run(_: argparse.Namespace, paths: Paths) -> None:
    """See the package."""
    from hourglass import repairing

    console.log_to_stderr()
    if not repairing.run(paths):
        console.say("nothing to repair\n")
