"""Looks at a file before there is a project: `hourglass profile FILE`."""

import contextlib
import math
import os
import re
import shlex
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hourglass import advice, config, page
from hourglass.config import Preprocess
from hourglass.errors import ColumnsError, ConfigError, DataError, HourglassError
from hourglass.examples import examples
from hourglass.paths import Paths, read_json, write_json, write_text
from hourglass.schema import Schema
from hourglass.sources._texts import yaml_list
from hourglass.stages import preprocess

IMAGES = {".png", ".jpg", ".jpeg", ".tif", ".tiff"}
# Where there is no params.yaml: as the project's own, for data of the user.
PLAIN: dict[str, Any] = {
    "dataset": "",
    "files": "",
    "columns": [],
    "drop": [],
    "label": "",
    "group": "",
    "time": "",
    "weight": "",
    "kinds": {},
    "missing": "keep",
    "missing_values": [],
    "on_bad_row": "skip",
    "image": {"size": [], "colour": "grey"},
    "window": {"length": 32, "stride": 8},
    "synthetic": {"rows": 1000, "columns": 8},
    "split": "auto",
    "val_fraction": 0.15,
    "test_fraction": 0.15,
    "seed": 0,
}


# What has an option, by its key in params.yaml: messages name the one or the other.
OPTIONS = {
    "drop": "--drop",
    "label": "--label",
    "group": "--group",
    "time": "--time",
    "missing_values": "--missing-values",
    "image.size": "--image-size",
    "path": "FILE",
}
READ_FILES = ("tabular", "images", "sequences")  # sources that read preprocess.path
_LIST = r'\[(?:"(?:[^"\\]|\\.)*"|[^\]"])*\]'
_KEY = re.compile(rf"(?:params\.yaml: )?preprocess\.([a-z_]+(?:\.size)?)(?:: ({_LIST}))?")
_EMPTY = re.compile(r"; set it to (?:\[\]|'')")


@dataclass(frozen=True)
class Asked:
    """The options of the command, which come on top of params.yaml if that names the file.

    Attributes:
        drop: Columns to leave out, by name or pattern.
        label: The column with a label; "" if there is none.
        group: The column whose values stay together in one split; likewise.
        time: The column by which the latest rows validate and test; likewise.
        missing_values: What stands for a gap besides an empty cell; numbers count as numbers.
        image_size: Height and width to resize images to; () to keep theirs.
    """

    drop: Sequence[str] = ()
    label: str = ""
    group: str = ""
    time: str = ""
    missing_values: Sequence[str] = ()
    image_size: Sequence[int] = ()

    def upon(self, own: Mapping[str, Any]) -> dict[str, Any]:
        """Section preprocess with these options."""
        roles = {k: v for k in ("label", "group", "time") if (v := getattr(self, k))}
        size = {"size": list(self.image_size)} if self.image_size else {}
        return {
            **own,
            **roles,
            "drop": [*own["drop"], *self.drop],
            "missing_values": [*own["missing_values"], *map(_number, self.missing_values)],
            "image": {**own["image"], **size},
        }


@dataclass(frozen=True)
class Found:
    """What profile says.

    Attributes:
        text: For people.
        profile: For programs, as profile.json.
    """

    text: str
    profile: dict[str, Any]


def run(file: Path, out: Path | None, paths: Paths, asked: Asked) -> Found:
    """Describes a file or folder as preprocess would, without touching the project's files.

    Args:
        file: What the sources `tabular` and `images` read.
        out: Folder for profile.html and profile.json; None: only the text is given.
        paths: Of the project; its params.yaml counts if it names the file.
        asked: The options.

    Raises:
        DataError: the file can't be used; the message says why.
        ConfigError: `out` can't be a folder, or an option is wrong.
    """
    if out is not None:
        _check_folder(out)
    own, says = _settings(file, paths)
    chosen = asked.upon(own)
    if asked.image_size and chosen["source"] != "images":
        raise ConfigError(f"--image-size is for images, but {file} holds none")
    with tempfile.TemporaryDirectory() as folder:
        inside = Paths(Path(folder))
        left_out = _process(chosen, inside)
        schema = Schema.from_json(read_json(inside.schema, "preprocess"))
        profile: dict[str, Any] = read_json(inside.profile, "preprocess")
        noted = [*dict.fromkeys(left_out.values()), *read_json(inside.warnings, "preprocess")]
        warnings = [in_options(note) for note in noted]
        shown = examples(schema, inside)
    told = profile | {"warnings": warnings, "left_out": list(left_out)}
    if out is not None:
        write_json(out / "profile.json", told)
        write_text(out / "profile.html", page.html(schema, profile, shown, warnings))
    drop = yaml_list([*chosen["drop"], *left_out])
    needed = f"For params.yaml: preprocess.drop: {drop}\n" if left_out else ""
    text = f"{advice.text(schema, profile, warnings)}{needed}Settings: {says}.\n"
    return Found(text, told)


def _process(chosen: dict[str, Any], inside: Paths) -> dict[str, str]:
    """Describes the columns that can be features; of each of the others, what is said of it.

    Raises:
        HourglassError: the file can't be used, with or without them.
    """
    said: dict[str, str] = {}
    while True:
        settings = {**chosen, "drop": [*chosen["drop"], *said]}
        try:
            preprocess.process(Preprocess.model_validate(settings), inside)
        except ColumnsError as error:
            if set(error.names) <= set(settings["drop"]):
                raise DataError(in_options(str(error))) from None
            said |= dict.fromkeys(error.names, f"left out here: {error}")
        except HourglassError as error:
            reasons = [str(error), *dict.fromkeys(said.values())]
            raise type(error)(in_options("\n".join(reasons))) from None
        else:
            return said


def _check_folder(out: Path) -> None:
    """Refuses what can't become a folder, before the file is read."""
    there = next(p for p in (out, *out.parents, Path()) if p.exists())
    if not there.is_dir():
        raise ConfigError(f"--out {out}: {there} is a file; name a folder")
    if not os.access(there, os.W_OK):
        raise ConfigError(f"--out {out}: nothing may be written in {there}; name another folder")


def _settings(file: Path, paths: Paths) -> tuple[dict[str, Any], str]:
    """Section preprocess for this file, and where it is from."""
    path = {"path": str(file.absolute()), "files": ""}
    plain = {**PLAIN, **path, "source": source_of(file)}
    if not paths.params.exists():
        return plain, "the options"
    read = config.read_yaml(paths.params)
    named = read.get("preprocess") if isinstance(read, dict) else None
    if not isinstance(named, dict) or named.get("source") not in READ_FILES:
        return plain, "the options (params.yaml names no file)"
    target = Path(os.path.normpath(paths.root.absolute() / str(named.get("path"))))
    files = str(named.get("files") or "")
    asked = Path(os.path.normpath(file.absolute()))
    if not _names(target, files, asked):
        return plain, f"the options (params.yaml is for {named.get('path')})"
    own = config.load(paths.params).preprocess.model_dump()
    if asked == target:
        path = {"path": str(target), "files": files}
    return {**own, **path}, "params.yaml, which names this file, and the options"


def _names(target: Path, files: str, asked: Path) -> bool:
    """Whether a path, and a pattern of files in it, mean this file or folder."""
    if asked == target or asked.match(str(target / files)):
        return True
    return not files and target.is_dir() and asked.parent == target and asked.is_file()


def in_options(message: str) -> str:
    """A message for a person who has options, not params.yaml.

    Keys that have no option stay, with their file.
    """

    def option(found: re.Match[str]) -> str:
        key, values = found.groups()
        if key not in OPTIONS:
            return f"params.yaml: {found[0].removeprefix('params.yaml: ')}"
        if values is None:
            return OPTIONS[key]
        return " ".join([OPTIONS[key], *(shlex.quote(str(v)) for v in config.yaml_of(values))])

    return _EMPTY.sub("; leave it out", _KEY.sub(option, message))


def _number(text: str) -> str | int | float:
    """A number as params.yaml would have it, any other text as it is."""
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            if math.isfinite(value := kind(text)):
                return value
    return text


def source_of(file: Path) -> str:
    """The source that reads a file or folder."""
    if file.is_dir():
        inside = {p.suffix.lower() for p in file.rglob("*") if p.is_file()}
        return "images" if inside & IMAGES else "tabular"
    suffixes = [s.lower() for s in file.suffixes]
    idx = "-idx" in file.name or ".idx" in suffixes
    return "images" if idx or file.suffix.lower() in IMAGES else "tabular"
