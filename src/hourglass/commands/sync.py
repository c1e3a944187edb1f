"""Sends to MLflow what it has not taken yet: `hourglass sync`."""

import argparse
import json

from hourglass import console
from hourglass.catalog import counted
from hourglass.paths import Paths

KEPT = ("kept", "elsewhere", "busy")  # why journals stay


def arguments(parser: argparse.ArgumentParser) -> None:
    """See the package."""
    parser.description = (
        "Stages write what they record to a journal and send it to MLflow in the background; what "
        "it could not take, since it was away, the next stage sends. This sends it now."
    )
    parser.add_argument(
        "--all",
        action="store_true",
        help="also what was recorded for another address than MLFLOW_TRACKING_URI names now",
    )
    console.add_json(parser)


def run(arguments: argparse.Namespace, paths: Paths) -> None:
    """See the package."""
    console.log_to_stderr()
    from hourglass import sending

    sent = sending.send_left(paths, everywhere=arguments.all)
    if arguments.json:
        paths_of = {name: list(map(str, getattr(sent, name))) for name in KEPT}
        console.say(json.dumps({"runs": sent.runs, **paths_of}) + "\n")
        return
    if sent == sending.Sent(0):
        console.say("nothing is waiting to be sent\n")
        return
    if sent.runs:
        verb = "is" if sent.runs == 1 else "are"
        console.say(f"{counted(sent.runs, 'run')} {verb} in MLflow now\n")
    for path in sent.kept:
        console.say(f"{path} is kept: MLflow refused a part of it, see above\n")
    for path in sent.busy:
        console.say(f"{path} is left alone: another process writes or sends it just now\n")
    for path in sent.elsewhere:
        console.say(f"{path} is kept: it is for another store, see above\n")
