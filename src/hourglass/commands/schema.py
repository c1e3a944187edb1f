"""Prints the JSON Schema of params.yaml: `hourglass schema > params.schema.json`."""

import argparse
import json

from hourglass import console
from hourglass.paths import Paths


def arguments(parser: argparse.ArgumentParser) -> None:
    """See the package."""
    parser.description = (
        "Editors that speak YAML read the file that params.yaml names in its first line: they "
        "complete keys and names, show what they mean, and mark what is wrong."
    )


def run(arguments: argparse.Namespace, paths: Paths) -> None:  # noqa: ARG001  every command's
    """See the package."""
    from hourglass import config, paramschema

    config.load(paths.params)  # says what is wrong with a file that is missing, or no YAML
    text = paths.params.read_text(encoding="utf-8")
    console.say(json.dumps(paramschema.schema(text), indent=2) + "\n")
