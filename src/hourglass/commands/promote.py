"""Makes a version of the model the champion: `hourglass promote VERSION --reason TEXT`."""

import argparse

from hourglass import console
from hourglass.paths import Paths


def arguments(parser: argparse.ArgumentParser) -> None:
    """See the package."""
    parser.add_argument("version", type=_number, metavar="VERSION", help="its number in MLflow")
    console.add_reason(parser)


def run(arguments: argparse.Namespace, paths: Paths) -> None:
    """See the package."""
    from hourglass import config, registry

    console.log_to_stderr()
    registry.promote(config.load(paths.params), paths, arguments.version, arguments.reason)


def _number(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no version: a whole number such as 3")
    return int(text)
