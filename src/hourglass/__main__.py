"""The command line: `hourglass COMMAND`, the same as `python -m hourglass COMMAND`.

All that can change a result stands in params.yaml, where DVC sees it: no command has an option that
does, but for `profile`, which looks at a file before there is a project. Only what a command needs
is imported, and only when it runs.
"""

import argparse
import contextlib
import importlib
import logging
import os
import signal
import sys
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, TextIO

from hourglass import __version__
from hourglass.catalog import nearest
from hourglass.errors import ConfigError, HourglassError

if TYPE_CHECKING:
    from hourglass.config import Params
    from hourglass.paths import Paths

CHECK, SUMMARY, PROFILE, DASHBOARD = "check", "summary", "profile", "dashboard"
COMMANDS = {
    CHECK: "read params.yaml and the header of the data, before anything runs",
    PROFILE: "FILE: say what its columns look like and which losses suit them",
    "preprocess": "read the data, learn the columns, split the rows, advise on losses",
    "normalize": "fit the scalers on the training rows and apply them to all rows",
    "search": "tune every admissible loss with the same budget, judged by one ruler",
    "train": "fit the best configuration of each loss again over several seeds",
    "evaluate": "open the test rows once: verdict, leaderboard, pictures, report",
    "register": "put the selected model into the MLflow registry",
    SUMMARY: "say what the last run found, and where to look",
    DASHBOARD: "show the search's trials in a browser, with optuna-dashboard (--port)",
}
PORT = 8080  # of the dashboard, as optuna-dashboard's own
OPTIONS = ("drop", "label", "group", "time", "missing_values", "image_size")  # of profile
AFTER_FULL = "Make room and run the same command again: finished stages and trials are kept"
START = Path.cwd()  # before --directory
PIPE_CLOSED = 141  # 128 + SIGPIPE, as shells count


class _Stop(BaseException):
    """Ctrl-C or SIGTERM; Lightning would end a fit at a KeyboardInterrupt with status 1."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command.

    Returns:
        The exit status: 0, 2 after an error the user can mend, 130 after Ctrl-C, 143 after
        SIGTERM. Any other exception is a bug and keeps its traceback.
    """
    parser = _parser()
    with _reader_may_leave():
        arguments = parser.parse_args(argv)
    if arguments.command is None:
        parser.print_help(sys.stderr)
        return 2
    try:
        with _inside(arguments.directory):
            if argv is None:
                _can_start_again_from_here(arguments.command)
                _stop_at_signals()
            _run(arguments)
    except HourglassError as error:
        _end_runs("FAILED")
        _complain("error", str(error))
        return 2
    except OSError as error:
        from hourglass.patience import is_full

        _end_runs("FAILED")
        if not is_full(error):
            raise
        where = f": {error.filename} can't be written" if error.filename else ""
        _complain("error", f"the disk is full{where}. {AFTER_FULL}")
        return 2
    except _Stop as stop:
        _end_runs("KILLED")
        _complain("interrupted", "run the same command again to continue")
        return 128 + stop.number
    except Exception:
        _end_runs("FAILED")
        raise
    return 0


def _parser() -> argparse.ArgumentParser:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:{width}}  {does}" for name, does in COMMANDS.items()]
    parser = argparse.ArgumentParser(
        prog="hourglass",
        description="Finds which reconstruction loss an autoencoder should be trained with on "
        "your data.",
        epilog="commands:\n" + "\n".join(lines) + "\n\n`dvc repro` runs the stages in this order, "
        "and only those whose inputs changed.\nSettings: params.yaml.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", nargs="?", type=_command, metavar="COMMAND", help="see below")
    parser.add_argument(
        "-C",
        "--directory",
        type=Path,
        default=Path(),
        metavar="DIR",
        help="the folder that holds params.yaml (default: this one)",
    )
    parser.add_argument("file", nargs="?", type=Path, metavar="FILE", help="for profile, see there")
    _add_options_of_profile(parser)
    parser.add_argument("--port", type=_port, metavar="N", help=f"for dashboard (default: {PORT})")
    parser.add_argument("--version", action="version", version=f"hourglass {__version__}")
    return parser


def _add_options_of_profile(parser: argparse.ArgumentParser) -> None:
    of = parser.add_argument_group(
        "options of profile",
        "They follow FILE. If params.yaml names FILE (preprocess.path), its section preprocess "
        "counts too; for any other file it does not.",
    )
    of.add_argument("--out", type=Path, metavar="DIR", help="a folder for its page and its JSON")
    of.add_argument(
        "--drop", nargs="+", default=[], metavar="NAME", help="columns to leave out, or patterns"
    )
    of.add_argument("--label", default="", metavar="NAME", help="the column with a label")
    of.add_argument(
        "--group", default="", metavar="NAME", help="the column whose values stay in one split"
    )
    of.add_argument(
        "--time", default="", metavar="NAME", help="the column whose latest rows are for the test"
    )
    of.add_argument(
        "--missing-values",
        nargs="+",
        default=[],
        metavar="VALUE",
        help="what stands for a gap besides an empty cell, such as -9999 '?'",
    )
    of.add_argument(
        "--image-size",
        nargs=2,
        type=_pixels,
        default=[],
        metavar=("HEIGHT", "WIDTH"),
        help="resize images",
    )


def _pixels(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of pixels (1 or more)")
    return int(text)


def _port(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port (1 to 65535)")
    return int(text)


def _command(name: str) -> str:
    if name not in COMMANDS:
        known = ", ".join(COMMANDS)
        raise argparse.ArgumentTypeError(f"unknown {name!r}{nearest(name, COMMANDS)} ({known})")
    return name


@contextlib.contextmanager
def _inside(directory: Path) -> Iterator[None]:
    """Works in `directory`: params.yaml's relative paths and stores are meant from there."""
    if not directory.is_dir():
        raise ConfigError(f"--directory {directory}: there is no such folder")
    with contextlib.chdir(directory):
        yield


def _can_start_again_from_here(command: str) -> None:
    """Lets Lightning's DDP start further ranks: it repeats sys.argv in the current folder."""
    sys.argv = [str(START / sys.argv[0]), command]


def _stop_at_signals() -> None:
    """Ctrl-C and SIGTERM stop in good order; a second one ends the process where it stands."""

    def stop(number: int, _: FrameType | None) -> None:
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, signal.SIG_DFL)
        raise _Stop(number)

    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, stop)


def _end_runs(status: str) -> None:
    """Ends what the stage was recording, if it had come so far: importing takes seconds."""
    tracking = sys.modules.get("hourglass.tracking")
    if tracking is not None:
        tracking.end_unfinished(status)


def _run(arguments: argparse.Namespace) -> None:
    from hourglass.paths import Paths

    paths, command = Paths(), arguments.command
    if arguments.port and command != DASHBOARD:
        raise ConfigError(f"{command} takes no --port: that is for {DASHBOARD}")
    if command == PROFILE:
        _profile(arguments, paths)
        return
    for name in ("file", "out", *OPTIONS):
        if getattr(arguments, name):
            shown = "FILE" if name == "file" else f"--{name.replace('_', '-')}"
            raise ConfigError(f"{command} takes no {shown}: its settings are in params.yaml")
    if command == SUMMARY:
        from hourglass import summary

        with _reader_may_leave():
            sys.stdout.write(summary.text(paths))
        return
    from hourglass import config

    _log_to(sys.stderr)
    params = config.load(paths.params)
    if command == CHECK:
        _check(params, paths)
        return
    if command == DASHBOARD:
        from hourglass import dashboard

        dashboard.serve(params.search.storage, paths.root, arguments.port or PORT)
        return
    _begin(getattr(params, command, None))
    stage = importlib.import_module(f"hourglass.stages.{command}")
    _quieten_others()
    stage.run(params, paths)


def _begin(settings: object) -> None:
    """Lets workers import what fits need, some seconds, while the stage imports its own."""
    one_device = getattr(settings, "devices", 1) * getattr(settings, "num_nodes", 1) == 1
    if one_device and hasattr(settings, "executor"):
        from hourglass import executors

        executors.EXECUTORS.load(settings.executor).ahead()


def _check(params: "Params", paths: "Paths") -> None:
    from hourglass.paths import named
    from hourglass.stages import preprocess

    path = params.preprocess.path
    if not any(sign in path for sign in "*?["):  # sources speak of patterns
        named(paths.root / path, "params.yaml: preprocess.path")
    found = preprocess.check(params.preprocess, paths)
    with _reader_may_leave():
        sys.stdout.write(f"params.yaml is right; {found}\n")


def _profile(arguments: argparse.Namespace, paths: "Paths") -> None:
    if arguments.file is None:
        raise ConfigError(
            "profile needs a FILE, before its options: hourglass profile data/raw/table.csv"
        )
    from hourglass import profiling
    from hourglass.paths import named

    _log_to(sys.stderr)
    logging.root.handlers[0].setLevel(logging.ERROR)  # the text repeats all warnings
    file = named(arguments.file, "its name")
    asked = profiling.Asked(**{name: getattr(arguments, name) for name in OPTIONS})
    text = profiling.run(file, arguments.out, paths, asked)
    with _reader_may_leave():
        sys.stdout.write(text)


@contextlib.contextmanager
def _reader_may_leave() -> Iterator[None]:
    """Ends quietly when the reader of our output has gone, as in `hourglass summary | head -1`."""
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nothing left to flush
        raise SystemExit(PIPE_CLOSED) from None


class _OneLine(logging.Formatter):
    """`12:34:56 search: message`, and the level where it is more than INFO."""

    def format(self, record: logging.LogRecord) -> str:
        level = f" {record.levelname.lower()}" if record.levelno > logging.INFO else ""
        parts = record.name.split(".")
        vars(record)["what"] = next(p for p in (*parts[::-1], "") if p[:1] != "_") + level
        return super().format(record)


def _log_to(stream: TextIO) -> None:
    """INFO of Hourglass and warnings of others; other ranks than the first only warn."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_OneLine("%(asctime)s %(what)s: %(message)s", datefmt="%H:%M:%S"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    rank = os.environ.get("RANK") or os.environ.get("LOCAL_RANK") or "0"
    level = logging.INFO if rank == "0" else logging.WARNING
    logging.getLogger("hourglass").setLevel(level)


def _quieten_others() -> None:
    """Raises loggers that libraries set to INFO when they were imported."""
    for name, logger in logging.root.manager.loggerDict.items():
        chatty = isinstance(logger, logging.Logger) and 0 < logger.level < logging.WARNING
        if chatty and name.partition(".")[0] != "hourglass":
            logging.getLogger(name).setLevel(logging.WARNING)


def _complain(what: str, message: str) -> None:
    """Writes `what: message` to stderr, further lines indented, in colour on a terminal only."""
    plain = "NO_COLOR" in os.environ or not sys.stderr.isatty()
    head = f"{what}:" if plain else f"\033[31m{what}:\033[0m"
    body = textwrap.indent(message, " " * (len(what) + 2)).lstrip()
    sys.stderr.write(f"{head} {body}\n")


if __name__ == "__main__":
    sys.exit(main())
