"""What the command line takes, before a command and after it."""

import argparse
from pathlib import Path

from hourglass import __version__
from hourglass.commands import COMMANDS, load


def own_parser() -> argparse.ArgumentParser:
    """What stands before the command, and the help."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:{width}}  {does}" for name, does in COMMANDS.items()]
    parser = argparse.ArgumentParser(
        prog="hourglass",
        usage="%(prog)s [-h] [-C DIR] [--version] COMMAND ...",
        description="Finds which reconstruction loss an autoencoder should be trained with on "
        "your data.",
        epilog="commands:\n" + "\n".join(lines) + "\n\n`dvc repro` runs the stages in this order, "
        "and only those whose inputs changed.\nSettings: params.yaml. `hourglass COMMAND --help` "
        "says more.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    _add_directory(parser, Path())
    parser.add_argument("--version", action="version", version=f"hourglass {__version__}")
    return parser


def parser_of(command: str) -> argparse.ArgumentParser:
    """What a command takes."""
    parser = argparse.ArgumentParser(
        prog=f"hourglass {command}", description=_sentence(COMMANDS[command]), allow_abbrev=False
    )
    _fill(parser, command)
    return parser


def whole_parser() -> argparse.ArgumentParser:
    """Every command with its options, for what completes words."""
    parser = own_parser()
    every = parser.add_subparsers()
    for command, does in COMMANDS.items():
        _fill(every.add_parser(command, help=does), command)
    return parser


def _fill(parser: argparse.ArgumentParser, command: str) -> None:
    _add_directory(parser, argparse.SUPPRESS)
    load(command).arguments(parser)


def _add_directory(parser: argparse.ArgumentParser, default: object) -> None:
    parser.add_argument(
        "-C",
        "--directory",
        type=Path,
        default=default,
        metavar="DIR",
        help="the folder that holds params.yaml (default: this one)",
    )


def _sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:]}."
