"""Goes back to the champion before: `hourglass rollback --reason TEXT`."""

import argparse

from hourglass import console
from hourglass.paths import Paths


def arguments(parser: argparse.ArgumentParser) -> None:
    """See the package."""
    parser.epilog = "Once more goes further back. `hourglass promote VERSION` goes anywhere."
    console.add_reason(parser)


def run(arguments: argparse.Namespace, paths: Paths) -> None:
    """See the package."""
    from hourglass import config, registry

    console.log_to_stderr()
    registry.rollback(config.load(paths.params), paths, arguments.reason)
