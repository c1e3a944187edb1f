"""How the command line talks: what it prints, what it logs, how it complains."""

import argparse
import contextlib
import logging
import os
import re
import sys
import textwrap
from collections.abc import Callable, Iterator

PIPE_CLOSED = 141  # 128 + SIGPIPE, as shells count


# What steers a terminal (colours, titles, the cursor) or turns the direction of a text round.
STEERING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def tame(text: str) -> str:
    """A text that may hold names from data: what would steer a terminal is spelt out."""
    return STEERING.sub(lambda found: ascii(found[0])[1:-1], text)


def say(text: str) -> None:
    """Prints an answer; ends quietly if nobody reads it any more."""
    with reader_may_leave():
        sys.stdout.write(tame(text))


@contextlib.contextmanager
def reader_may_leave() -> Iterator[None]:
    """Ends quietly when the reader of our output has gone, as in `hourglass summary | head -1`."""
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nothing left to flush
        raise SystemExit(PIPE_CLOSED) from None


def complain(what: str, message: str) -> None:
    """Writes `what: message` to stderr, further lines indented, in colour on a terminal only."""
    plain = "NO_COLOR" in os.environ or not sys.stderr.isatty()
    head = f"{what}:" if plain else f"\033[31m{what}:\033[0m"
    body = textwrap.indent(tame(message), " " * (len(what) + 2)).lstrip()
    sys.stderr.write(f"{head} {body}\n")


class OneLine(logging.Formatter):
    """`12:34:56 search: message`, and the level where it is more than INFO."""

    def format(self, record: logging.LogRecord) -> str:
        """See logging."""
        level = f" {record.levelname.lower()}" if record.levelno > logging.INFO else ""
        parts = record.name.split(".")
        vars(record)["what"] = next(p for p in (*parts[::-1], "") if p[:1] != "_") + level
        return tame(super().format(record))


def log_to_stderr() -> None:
    """INFO of Hourglass and warnings of others; other ranks than the first only warn."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(OneLine("%(asctime)s %(what)s: %(message)s", datefmt="%H:%M:%S"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    rank = os.environ.get("RANK") or os.environ.get("LOCAL_RANK") or "0"
    level = logging.INFO if rank == "0" else logging.WARNING
    logging.getLogger("hourglass").setLevel(level)


def quieten_others() -> None:
    """Raises loggers that libraries set to INFO when they were imported."""
    for name, logger in logging.root.manager.loggerDict.items():
        chatty = isinstance(logger, logging.Logger) and 0 < logger.level < logging.WARNING
        if chatty and name.partition(".")[0] != "hourglass":
            logging.getLogger(name).setLevel(logging.WARNING)


def add_json(parser: argparse.ArgumentParser) -> None:
    """The option of commands whose answer a program might read."""
    parser.add_argument("--json", action="store_true", help="the answer as JSON, for programs")


def add_reason(parser: argparse.ArgumentParser) -> None:
    """The reason for what a person does to the registry; it is kept there."""
    parser.add_argument("--reason", required=True, metavar="TEXT", help="why; kept in the registry")


def whole(what: str) -> Callable[[str], int]:
    """Reads a whole number from 1 on, such as a version of a registered model, for argparse."""

    def read(text: str) -> int:
        if not text.isdecimal() or int(text) < 1:
            raise argparse.ArgumentTypeError(f"{text!r} is no {what} (1, 2, ...)")
        return int(text)

    return read


def port(text: str) -> int:
    """A port of this machine, for argparse."""
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port (1 to 65535)")
    return int(text)
