"""Looks at a file before there is a project: `hourglass profile FILE`."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hourglass import advice, config, page
from hourglass.config import Preprocess
from hourglass.errors import ConfigError
from hourglass.examples import examples
from hourglass.paths import Paths, read_json, write_json, write_text
from hourglass.schema import Schema
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


def run(file: Path, out: Path | None, paths: Paths, drop: Sequence[str] = ()) -> str:
    """Describes a file or folder as preprocess would, without touching the project's files.

    Args:
        file: What the sources `tabular` and `images` read.
        out: Folder for profile.html and profile.json; None: only the text is given.
        paths: Of the project; its params.yaml says which columns to drop, and so on, if there is
            one.
        drop: Columns to leave out besides, by name or pattern.

    Returns:
        The advice as text.

    Raises:
        DataError: the file can't be used; the message says why.
        ConfigError: `out` can't be a folder.
    """
    if out is not None:
        file_there = next((p for p in (out, *out.parents) if p.exists() and not p.is_dir()), None)
        if file_there:
            raise ConfigError(f"--out {out}: {file_there} is a file; name a folder")
    own = config.load(paths.params).preprocess.model_dump() if paths.params.exists() else PLAIN
    own = {**own, "drop": [*own["drop"], *drop]}
    chosen = {**own, "path": str(file.absolute()), "files": "", "source": source_of(file)}
    with tempfile.TemporaryDirectory() as folder:
        inside = Paths(Path(folder))
        preprocess.process(Preprocess.model_validate(chosen), inside)
        schema = Schema.from_json(read_json(inside.schema, "preprocess"))
        profile = read_json(inside.profile, "preprocess")
        warnings = read_json(inside.warnings, "preprocess")
        shown = examples(schema, inside)
    if out is not None:
        write_json(out / "profile.json", profile | {"warnings": warnings})
        write_text(out / "profile.html", page.html(schema, profile, shown, warnings))
    return advice.text(schema, profile, warnings)


def source_of(file: Path) -> str:
    """The source that reads a file or folder."""
    if file.is_dir():
        inside = {p.suffix.lower() for p in file.rglob("*") if p.is_file()}
        return "images" if inside & IMAGES else "tabular"
    suffixes = [s.lower() for s in file.suffixes]
    idx = "-idx" in file.name or ".idx" in suffixes
    return "images" if idx or file.suffix.lower() in IMAGES else "tabular"
