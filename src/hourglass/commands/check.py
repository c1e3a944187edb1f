"""Is params.yaml right, and does the data's header fit it? `hourglass check`."""

import argparse
import json

from hourglass import console
from hourglass.paths import Paths, named


def arguments(parser: argparse.ArgumentParser) -> None:
    """See the package."""
    console.add_json(parser)


def run(arguments: argparse.Namespace, paths: Paths) -> None:
    """See the package."""
    from hourglass import config
    from hourglass.stages import preprocess

    console.log_to_stderr()
    settings = config.load(paths.params).preprocess
    if not any(sign in settings.path for sign in "*?["):  # sources speak of patterns
        named(paths.root / settings.path, "params.yaml: preprocess.path")
    found = preprocess.check(settings, paths)
    if arguments.json:
        console.say(json.dumps({"right": True, "reads": found}) + "\n")
    else:
        console.say(f"params.yaml is right; {found}\n")
