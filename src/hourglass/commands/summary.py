"""What the last run found: `hourglass summary`."""

import argparse

from hourglass import console
from hourglass.paths import Paths


def arguments(parser: argparse.ArgumentParser) -> None:
    """See the package."""
    console.add_json(parser)


def run(arguments: argparse.Namespace, paths: Paths) -> None:
    """See the package."""
    from hourglass import summary

    console.say(summary.as_json(paths) if arguments.json else summary.text(paths))
