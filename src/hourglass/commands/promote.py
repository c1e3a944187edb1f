"""Makes a version of the model the champion: `hourglass promote VERSION --reason TEXT`."""

import argparse

from hourglass import console
from hourglass.paths import Paths


def arguments(parser: argparse.ArgumentParser) -> None:
    """See the package."""
    parser.add_argument(
        "version", type=console.whole("version"), metavar="VERSION", help="its number in MLflow"
    )
    console.add_reason(parser)


def run(arguments: argparse.Namespace, paths: Paths) -> None:
    """See the package."""
    from hourglass import config, registry

    console.log_to_stderr()
    registry.promote(config.load(paths.params), paths, arguments.version, arguments.reason)
