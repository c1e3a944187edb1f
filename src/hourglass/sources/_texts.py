"""What a cell's text means: a gap, a number, a date; and how messages show it."""

import json
import re
from collections.abc import Iterable

from hourglass.gaps import is_number

LONGEST = 40  # letters of a text that a message shows

_DATE = re.compile(r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}|\d{1,2}:\d{2}")
_COMMA = re.compile(r"[-+]?\d*,\d+([eE][-+]?\d+)?")
_THOUSANDS = re.compile(r"[-+]?[1-9]\d{0,2},\d{3}")
_GROUPED = re.compile(r"[-+]?\d{1,3}([,' ]\d{3})+(\.\d+)?|[-+]?\d{1,3}([.' ]\d{3})+(,\d+)?")
_UNIT = re.compile(r"[-+]?[\d.]+ ?[^\d\s.,]{1,3}|[^\d\s.,+-]{1,3} ?[\d.]+")
_WITH_UNIT = re.compile(r"[-+]?\d+(?:[.,]\d+)? ?([^\d\s.,:/-][^\d\s.,]{0,4})")
_PLAIN = re.compile(r"[A-Za-z_][\w.-]*")
_YAML_WORDS = {"true", "false", "null"}


def is_meant_as_number(text: str) -> bool:
    """Whether the text is a number, be it with a decimal comma or separated thousands."""
    bare = text.strip()
    return is_number(bare) or bool(_COMMA.fullmatch(bare) or _GROUPED.fullmatch(bare))


def has_comma(text: str) -> bool:
    """Whether the text is a number with a decimal comma, or with one comma for the thousands."""
    return bool(_COMMA.fullmatch(text.strip()))


def has_point(text: str) -> bool:
    """Whether the text is a number with a decimal point."""
    return "." in text and is_number(text.strip())


def may_be_thousands(text: str) -> bool:
    """Whether a comma may just as well separate the thousands, as in 1,234."""
    return bool(_THOUSANDS.fullmatch(text.strip()))


def unit(text: str) -> str:
    """The unit behind a number, "mm" of "3.2 mm"; "" if it is none."""
    found = _WITH_UNIT.fullmatch(text.strip())
    return found[1] if found else ""


def is_date(text: str) -> bool:
    """Whether the text begins like a date or a time of day."""
    return bool(_DATE.match(text.strip()))


def is_utf8(text: str) -> bool:
    """Whether the text was UTF-8, when it was read with surrogates for other bytes."""
    return "\ufffd" not in text and not any("\udc80" <= c <= "\udcff" for c in text)


def hint(text: str, decimal: str = ".") -> str:
    """What probably went wrong with a number, with a blank at the end, or an empty string."""
    bare = text.strip()
    if not is_utf8(bare):
        return "It is not in UTF-8: save the file in that encoding. "
    if decimal == "," and is_number(bare):
        return "Decimals have a comma in this file, thousands no separator. "
    if may_be_thousands(bare):
        return (
            f"It may be {bare.replace(',', '.')} or {bare.replace(',', '')}: decimals are written "
            "with a point, thousands without a separator. "
        )
    if has_comma(bare):
        return "Decimals are written with a point where commas separate the cells. "
    if _GROUPED.fullmatch(bare):
        return "Thousands are written without a separator. "
    if _UNIT.fullmatch(bare):
        return "Numbers are written without a unit. "
    return ""


def shortened(text: str) -> str:
    """A text for a message; a long one is cut."""
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."


def yaml(text: str) -> str:
    """A text as it can be pasted into params.yaml."""
    plain = _PLAIN.fullmatch(text) and text.lower() not in _YAML_WORDS
    return text if plain else json.dumps(text, ensure_ascii=False)


def yaml_list(texts: Iterable[str]) -> str:
    """A YAML list that can be pasted into params.yaml."""
    return "[" + ", ".join(map(yaml, texts)) + "]"
