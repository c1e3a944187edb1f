"""The JSON Schema of params.yaml for editors: what config.py checks, in the words of the file."""

import re
from collections.abc import Iterator
from typing import Any

from hourglass.catalog import Catalog
from hourglass.config import Params

NAMES = {  # fields that name a module -> its package
    ("preprocess", "source"): "sources",
    ("model", "kind"): "models",
    ("search", "executor"): "executors",
    ("train", "executor"): "executors",
}
_KEY = re.compile(r"(?P<indent> *)(?P<key>\w+):(?P<rest>.*)")


def schema(text: str) -> dict[str, Any]:
    """The schema.

    Args:
        text: Of a params.yaml, whose comments describe the keys that they stand beside.
    """
    made = Params.model_json_schema(by_alias=True)
    for (section, key), package in NAMES.items():
        known = Catalog[object](f"hourglass.{package}", "", "").names()
        _field(made, (section, key))["enum"] = list(known)
    for place, comment in _comments(text):
        _field(made, place)["description"] = comment
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **made}


def _comments(text: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """(place, comment) of each key of a block mapping that has one."""
    above: list[tuple[int, str]] = []
    for line in text.splitlines():
        found = _KEY.match(line)
        if not found:
            continue
        indent = len(found["indent"])
        above = [(i, key) for i, key in above if i < indent] + [(indent, found["key"])]
        comment = found["rest"].partition(" # ")[2].strip()
        if comment:
            yield tuple(key for _, key in above), comment


def _field(made: dict[str, Any], place: tuple[str, ...]) -> dict[str, Any]:
    """The schema of a key; one that points elsewhere may be described where it stands."""
    found = made
    for key in place:
        reference = found.get("$ref", "").rpartition("/")[2]
        within = made["$defs"][reference] if reference else found
        found = within["properties"][key]
    return found
