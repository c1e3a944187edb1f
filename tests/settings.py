"""Settings as params.yaml has them, with changes."""

from pathlib import Path

from hourglass import config
from hourglass.config import Preprocess

ROOT = Path(__file__).parents[1]


def preprocess(**changes) -> Preprocess:
    """Section preprocess: preprocess(label="y", image={"size": [8, 8]})."""
    own = config.read_yaml(ROOT / "params.yaml")["preprocess"]
    for key, value in changes.items():
        own[key] = {**own[key], **value} if isinstance(own[key], dict) else value
    return Preprocess.model_validate(own)
