"""Settings as params.yaml has them, with changes, and rows as preprocess leaves them."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from hourglass import config
from hourglass.config import Params, Preprocess
from hourglass.moments import moments
from hourglass.paths import Paths, write_json
from hourglass.schema import Schema

ROOT = Path(__file__).parents[1]


def preprocess(**changes) -> Preprocess:
    """Section preprocess: preprocess(label="y", image={"size": [8, 8]})."""
    own = config.read_yaml(ROOT / "params.yaml")["preprocess"]
    for key, value in changes.items():
        own[key] = {**own[key], **value} if isinstance(own[key], dict) else value
    return Preprocess.model_validate(own)


def params(**sections) -> Params:
    """params.yaml with changes: params(search={"workers": 1}, normalize={"scalers": ["unit"]})."""
    own = config.read_yaml(ROOT / "params.yaml")
    for name, changes in sections.items():
        own[name].update(changes)
    return Params.model_validate(own)


def write_rows(
    root: Path, schema: Schema, values: Mapping[str, np.ndarray], **beside: Mapping[str, np.ndarray]
) -> Paths:
    """Writes what preprocess would; `beside` as in weights={"train": ..., "val": ...}."""
    paths = Paths(root)
    write_json(paths.schema, schema.to_json())
    write_json(paths.figures, moments(values["train"]).to_json())
    numbers, start = {}, 0
    for split, rows_NF in values.items():
        paths.values(split).parent.mkdir(parents=True, exist_ok=True)
        np.save(paths.values(split), rows_NF)
        numbers[split] = np.arange(start, start + len(rows_NF))
        start += len(rows_NF)
    for what, by_split in {"rows": numbers, **beside}.items():
        for split, each_N in by_split.items():
            np.save(paths.beside(split, what), each_N)
    return paths
