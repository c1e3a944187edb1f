"""Looks at a file before there is a project: `hourglass profile FILE`."""

import argparse
import json
import logging
from pathlib import Path

from hourglass import console
from hourglass.paths import Paths, named

OPTIONS = ("drop", "label", "group", "time", "missing_values", "image_size")


def arguments(parser: argparse.ArgumentParser) -> None:
    """See the package."""
    parser.description = (
        "If params.yaml names FILE (preprocess.path), its section preprocess counts too; for any "
        "other file it does not."
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="a table, a folder of images, ...")
    parser.add_argument("--out", type=Path, metavar="DIR", help="a folder for its page and JSON")
    parser.add_argument(
        "--drop",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME",
        help="columns to leave out, or patterns",
    )
    parser.add_argument("--label", default="", metavar="NAME", help="the column with a label")
    parser.add_argument(
        "--group", default="", metavar="NAME", help="the column whose values stay in one split"
    )
    parser.add_argument(
        "--time", default="", metavar="NAME", help="the column whose latest rows are for the test"
    )
    parser.add_argument(
        "--missing-values",
        nargs="+",
        action="extend",
        default=[],
        metavar="VALUE",
        help="what stands for a gap besides an empty cell, such as -9999 '?'",
    )
    parser.add_argument(
        "--image-size",
        nargs=2,
        type=_pixels,
        default=[],
        metavar=("HEIGHT", "WIDTH"),
        help="resize images",
    )
    console.add_json(parser)


def run(arguments: argparse.Namespace, paths: Paths) -> None:
    """See the package."""
    from hourglass import profiling

    console.log_to_stderr()
    logging.root.handlers[0].setLevel(logging.ERROR)  # the text repeats all warnings
    file = named(arguments.file, "its name")
    asked = profiling.Asked(**{name: getattr(arguments, name) for name in OPTIONS})
    found = profiling.run(file, arguments.out, paths, asked)
    console.say(json.dumps(found.profile, indent=2) + "\n" if arguments.json else found.text)


def _pixels(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of pixels (1 or more)")
    return int(text)
