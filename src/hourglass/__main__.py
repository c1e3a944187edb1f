"""The command line: `hourglass COMMAND`, the same as `python -m hourglass COMMAND`.

All that can change a result of the pipeline stands in params.yaml, where DVC sees it: no stage has
an option. Only what a command needs is imported, and only when it runs.
"""

import argparse
import contextlib
import errno
import logging
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType

from hourglass import commands, console
from hourglass.catalog import nearest
from hourglass.commands import COMMANDS
from hourglass.commands._parsers import own_parser, parser_of
from hourglass.errors import ConfigError, HourglassError
from hourglass.stages import STAGES

# What the system says of a place that may not be written, or is something else than it should be.
REFUSED = frozenset(
    {errno.EACCES, errno.EPERM, errno.EROFS, errno.EEXIST, errno.ENOTDIR, errno.EISDIR}
)
AFTER_FULL = "Make room and run the same command again: finished stages and trials are kept"
SERVERS = ("serve", "dashboard")  # which end by being interrupted
START = Path.cwd()  # before --directory


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
    status = _answered(argv)
    sending = sys.modules.get("hourglass.sending")
    if argv is None and sending is not None and sending.goes_on():
        # It waits for a store that is slow. Python's own end would stumble over what it does
        # meanwhile (weakref's finalizers: "dictionary changed size during iteration").
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    return status


def _answered(argv: Sequence[str] | None) -> int:
    """See `main`."""
    words = sys.argv[1:] if argv is None else list(argv)
    with console.reader_may_leave():
        arguments = _parsed(words)
    if arguments.command is None:
        own_parser().print_help(sys.stderr)
        return 2
    try:
        _refuse_unknown(arguments)
        with _inside(arguments.directory):
            if argv is None:
                if arguments.command in STAGES:
                    _can_start_again_from_here(arguments.command)
                _stop_at_signals()
            _run(arguments)
    except HourglassError as error:
        _end_runs("FAILED")
        console.complain("error", str(error))
        return 2
    except OSError as error:
        from hourglass.patience import is_full

        _end_runs("FAILED")
        if error.errno in REFUSED and error.filename:
            said = f"{error.filename}: {error.strerror}; mend that and run the same command again"
            console.complain("error", said)
            return 2
        if not is_full(error):
            raise
        where = f": {error.filename} can't be written" if error.filename else ""
        console.complain("error", f"the disk is full{where}. {AFTER_FULL}")
        return 2
    except _Stop as stop:
        _end_runs("KILLED")
        if arguments.command not in SERVERS:
            console.complain("interrupted", "run the same command again to continue")
        return 128 + stop.number
    except Exception:
        _end_runs("FAILED")
        raise
    return 0


def _parsed(words: list[str]) -> argparse.Namespace:
    """What was asked; `unknown` holds what the command does not take."""
    own = _own(words)
    arguments = own_parser().parse_args(words[:own])
    arguments.command, arguments.unknown = None, []
    if own < len(words):
        parser = parser_of(_command(words[own]))
        arguments, unknown = parser.parse_known_args(words[own + 1 :], arguments)
        arguments.command, arguments.unknown = words[own], unknown
    return arguments


def _own(words: list[str]) -> int:
    """How many words stand before the command."""
    at = 0
    while at < len(words) and words[at].startswith("-"):
        at += 2 if words[at] in ("-C", "--directory") else 1
    return min(at, len(words))


def _command(name: str) -> str:
    if name not in COMMANDS:
        known = ", ".join(COMMANDS)
        own_parser().error(f"unknown {name!r}{nearest(name, COMMANDS)} ({known})")
    return name


def _refuse_unknown(arguments: argparse.Namespace) -> None:
    """Complains of what the command does not take."""
    command = arguments.command
    remedy = f"; `hourglass {command} --help` says what it takes"
    if command in STAGES:
        remedy = ": its settings are in params.yaml"
    for word in arguments.unknown:
        raise ConfigError(f"{command} takes no {word!r}{remedy}")


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

    commands.load(arguments.command).run(arguments, Paths())


if __name__ == "__main__":
    sys.exit(main())
