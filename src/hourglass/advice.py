"""The advisor's findings as text for a terminal."""

import textwrap
from collections.abc import Sequence
from typing import Any

from hourglass.catalog import counted
from hourglass.schema import Schema

WIDTH = 100
SHOWN = 40  # columns in the text
SPLIT_NAMES = {"train": "training", "val": "validation", "test": "test"}
HOW = {"random": "dealt out at random", "source": "as the source deals them out"}
Profile = dict[str, Any]


def text(schema: Schema, profile: Profile, warnings: Sequence[str] = ()) -> str:
    """What the columns look like and which losses suit them, at most 100 letters wide."""
    its = _lines(schema, profile)
    longest = min(28, max(len(name) for name, _ in its))
    rows = [_wrapped(f"{_cut(name, longest):{longest}}  ", looks) for name, looks in its[:SHOWN]]
    if len(its) > SHOWN:
        rows.append(f"... and {len(its) - SHOWN} more (profile.json has all)")
    notes = [_wrapped("! ", note) for note in warnings]
    parts = [
        _wrapped(f"{schema.source}: ", size(schema), 2),
        *notes,
        "\n".join(rows),
        _wrapped("Likely good: ", f"{', '.join(profile['likely_good'])}: {profile['why']}."),
        _wrapped("Scaler: ", f"{profile['scaler']}."),
    ]
    for kind, loss in profile["heads"].items():
        parts.append(_wrapped(f"For {kind} columns: ", f"{loss}: {profile['heads_why'][kind]}."))
    parts.append("\n".join(_losses(profile)))
    parts.append("This is advice; the search decides.")
    return "\n\n".join(parts) + "\n"


def size(schema: Schema) -> str:
    """Rows by split, and columns."""
    each = ", ".join(f"{n} {SPLIT_NAMES[split]}" for split, n in schema.rows.items())
    rows = f"{counted(sum(schema.rows.values()), 'row')} ({each}; "
    how = HOW.get(schema.split, f"by {schema.split}")
    return f"{rows}{how}), {counted(len(schema.columns), 'column')}"


def _losses(profile: Profile) -> list[str]:
    lines = []
    for status in ("admissible", "dubious", "blocked"):
        for name, own in profile["losses"].items():
            if own["status"] == status:
                head = f"{status:10}  {name:20}  "
                change = f"; would change it: {own['change']}" if status != "blocked" else ""
                lines.append(_wrapped(head, f"{own['reason']}{change}"))
    return lines


def _wrapped(head: str, words: str, most: int = 36) -> str:
    indent = " " * min(len(head), most)
    return textwrap.fill(head + words, WIDTH, subsequent_indent=indent, break_on_hyphens=False)


def _cut(name: str, longest: int) -> str:
    return name if len(name) <= longest else name[: longest - 1] + "…"


def _lines(schema: Schema, profile: Profile) -> list[tuple[str, str]]:
    """Name and looks of each column; of an image or a window once for each channel."""
    if schema.shape is None:
        return [(c.name, str(profile["columns"][c.name]["looks"])) for c in schema.columns]
    what = f"over all of {' x '.join(map(str, schema.shape))} {parts_of(schema.shape)}"
    return [(name, f"{what}: {its['looks']}") for name, its in profile["channels"].items()]


def parts_of(shape: tuple[int, ...]) -> str:
    """What the places of an image or a window are called."""
    return "pixels" if len(shape) == 3 else "steps"
