"""How a level that is a number or a flag is spelt, wherever it comes from: 3, not 3.0 or 03; true.

Rows that a model meets must get the codes that its training rows got.
"""

from collections.abc import Sequence

from hourglass.gaps import is_number

FLAGS = ("true", "false")


def shortest(text: str) -> str:
    """The shortest text of the same number, "3" for "3.0"; other texts as they are."""
    if not is_number(text):
        return text
    try:
        return str(int(text))
    except ValueError:
        value = float(text)
    return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)


def plain(text: str) -> str:
    """The level of a cell in a column of numbers or booleans."""
    lower = text.lower()
    return lower if lower in FLAGS else shortest(text)


def are_plain(levels: Sequence[str]) -> bool:
    """Whether levels are those of a column of numbers or booleans."""
    return all((is_number(t) or t in FLAGS) and plain(t) == t for t in levels)
