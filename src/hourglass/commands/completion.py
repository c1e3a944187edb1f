"""Prints a script for the shell: `hourglass completion bash`."""

import argparse

from hourglass import console
from hourglass.paths import Paths

SHELLS = ("bash", "zsh", "tcsh")  # what shtab writes for


def arguments(parser: argparse.ArgumentParser) -> None:
    """See the package."""
    parser.description = 'For this shell only: eval "$(hourglass completion bash)"'
    parser.add_argument("shell", choices=SHELLS, metavar="SHELL", help=", ".join(SHELLS))


def run(arguments: argparse.Namespace, paths: Paths) -> None:  # noqa: ARG001  every command's
    """See the package."""
    import shtab

    from hourglass.commands._parsers import whole_parser

    console.say(shtab.complete(whole_parser(), arguments.shell) + "\n")
