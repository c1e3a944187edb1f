"""Answers requests with the registered model: `hourglass serve`."""

import argparse

from hourglass import console
from hourglass.paths import Paths

HOST, PORT = "127.0.0.1", 5001


def arguments(parser: argparse.ArgumentParser) -> None:
    """See the package."""
    parser.description = (
        "Serves the champion with MLflow's scoring server: POST raw rows to /invocations. Nobody "
        "is asked for a password: leave it at 127.0.0.1, or behind what asks."
    )
    parser.add_argument("--host", default=HOST, metavar="ADDRESS", help=f"default: {HOST}")
    parser.add_argument(
        "--port", type=console.port, default=PORT, metavar="N", help=f"default: {PORT}"
    )
    add_version(parser)


def add_version(parser: argparse.ArgumentParser) -> None:
    """The option of commands that use the registered model."""
    parser.add_argument(
        "--version",
        type=console.whole("version"),
        metavar="N",
        help="of the registered model (default: the champion)",
    )


def run(arguments: argparse.Namespace, paths: Paths) -> None:
    """See the package."""
    from hourglass import config, registered, server

    console.log_to_stderr()
    params = config.load(paths.params)
    model = registered.find(params.register_, paths.root, arguments.version)
    server.serve(model, arguments.host, arguments.port)
