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
    params = config.load(paths.params)
    settings = params.preprocess
    if not any(sign in settings.path for sign in "*?["):  # sources speak of patterns
        named(paths.root / settings.path, "params.yaml: preprocess.path")
    found, layout = preprocess.check(settings, paths)
    if params.model.kind != "dense":  # that takes any data, and torch takes seconds to import
        from hourglass import models

        models.check(params.model.kind, layout.shape)
    beware = params.model.beware_of_width(len(layout.names))
    if arguments.json:
        console.say(json.dumps({"right": True, "reads": found, "beware": beware}) + "\n")
        return
    console.say(f"params.yaml is right; {found}\n")
    if beware:
        console.say(f"beware: {beware}\n")
