"""Shows the search's trials in optuna-dashboard: `hourglass dashboard`."""

import argparse

from hourglass import console
from hourglass.paths import Paths

PORT = 8080  # optuna-dashboard's own


def arguments(parser: argparse.ArgumentParser) -> None:
    """See the package."""
    parser.add_argument(
        "--port", type=console.port, default=PORT, metavar="N", help=f"default: {PORT}"
    )


def run(arguments: argparse.Namespace, paths: Paths) -> None:
    """See the package."""
    from hourglass import config, dashboard

    console.log_to_stderr()
    params = config.load(paths.params)
    dashboard.serve(params.search.storage, paths.root, arguments.port)
