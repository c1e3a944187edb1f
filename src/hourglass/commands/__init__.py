"""The commands of the command line, in the order that --help shows them.

The module of a command defines `arguments(parser)`, which adds its options, and `run(arguments,
paths)`. It is imported when the command is asked for, and imports what it needs when it runs. A
stage has no module here: all stages run in one way, and have no options.
"""

import importlib
from types import ModuleType

from hourglass.stages import STAGES

COMMANDS = {
    "check": "read params.yaml and the header of the data, before anything runs",
    "profile": "say what a file's columns look like and which losses suit them",
    "preprocess": "read the data, learn the columns, split the rows, advise on losses",
    "normalize": "fit the scalers on the training rows and apply them to all rows",
    "search": "tune every admissible loss with the same budget, judged by one ruler",
    "train": "fit the best configuration of each loss again over several seeds",
    "evaluate": "open the test rows once: verdict, leaderboard, pictures, report",
    "register": "put the selected model into the MLflow registry; champion, if it is the best",
    "promote": "make a version of the registered model the champion, with a reason",
    "rollback": "make the champion before this one the champion again, with a reason",
    "predict": "score a file with the registered model",
    "serve": "answer requests over HTTP with the registered model",
    "summary": "say what the last run found, and where to look",
    "sync": "send to MLflow what it could not take while it was away",
    "repair": "clear away what a killed DVC left half written",
    "dashboard": "show the search's trials in a browser, with optuna-dashboard",
    "schema": "print the JSON Schema of params.yaml, for editors",
    "completion": "print a script that lets the shell complete commands and options",
}


def load(name: str) -> ModuleType:
    """The module of a command."""
    return importlib.import_module(f"{__name__}.{'_stage' if name in STAGES else name}")
