"""Scores a file with the registered model: `hourglass predict IN OUT`."""

import argparse
from pathlib import Path

from hourglass import console
from hourglass.commands.serve import add_version
from hourglass.paths import Paths


def arguments(parser: argparse.ArgumentParser) -> None:
    """See the package."""
    parser.description = (
        "Scores raw rows a chunk at a time. Killed and started again, it goes on where it was."
    )
    parser.add_argument(
        "source",
        type=Path,
        metavar="IN",
        help="raw rows: .csv, .tsv, .parquet or .npy, of a table or of series; images: a folder, "
        ".npy, .npz or IDX",
    )
    parser.add_argument("target", type=Path, metavar="OUT", help="the answers: .csv or .parquet")
    parser.add_argument(
        "--keep",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME",
        help="columns of IN to keep, such as ids",
    )
    parser.add_argument(
        "--return",
        nargs="+",
        action="extend",
        default=None,
        dest="returned",
        metavar="NAME",
        help="of reconstruction, code_length_bits, surprise_bits, anomaly, outside_training_range "
        "(these come unasked), shares, surprise_shares, latent",
    )
    parser.add_argument(
        "--on-bad-row",
        choices=("fail", "skip", "mark"),
        default="fail",
        help="what a row that can't be answered does: end the command (default), be left out, or "
        "stay with the reason in a column of its own",
    )
    parser.add_argument(
        "--stride",
        type=console.whole("stride"),
        metavar="N",
        help="a window begins at every N-th row of a series, the first of which is one (default 1)",
    )
    add_version(parser)


def run(arguments: argparse.Namespace, paths: Paths) -> None:
    """See the package."""
    from hourglass import config, predicting, registered, serving

    console.log_to_stderr()
    params = config.load(paths.params)
    job = predicting.Job(
        arguments.source,
        arguments.target,
        arguments.keep,
        arguments.on_bad_row,
        arguments.returned or serving.USUAL_RETURNS,
        arguments.stride,
    )
    predicting.check(job)
    model = registered.find(params.register_, paths.root, arguments.version)
    done = predicting.run(job, model)
    console.say(f"{model} answered {done.rows - done.bad} of {done.rows} rows: {job.target}\n")
