"""What editors are told of params.yaml is what config.py checks."""

import json
from pathlib import Path

import jsonschema
import pytest

from hourglass import config, paramschema
from hourglass.__main__ import main

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "params.yaml").read_text(encoding="utf-8")
SCHEMA = paramschema.schema(TEXT)


def test_the_file_beside_params_yaml_is_todays(capsys):
    assert main(["-C", str(ROOT), "schema"]) == 0
    made = capsys.readouterr().out
    stored = (ROOT / "params.schema.json").read_text(encoding="utf-8")
    assert made == stored, "run `hourglass schema > params.schema.json`"
    assert TEXT.startswith("# yaml-language-server: $schema=params.schema.json\n")


def test_our_own_params_fit_it():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(_params(), SCHEMA)


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("preprocess", "source", "tabluar"),
        ("preprocess", "val_fraction", 1.5),
        ("preprocess", "kinds", {"a": "real"}),
        ("model", "latent_dim", 0),
        ("model", "kind", "desne"),
        ("search", "pruner", "medain"),
        ("train", "seeds", 1),
        ("train", "epohcs", 3),
    ],
)
def test_what_config_refuses_an_editor_marks(section, key, value):
    wrong = _params()
    wrong[section][key] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, SCHEMA)


def test_a_key_that_is_missing_is_marked():
    wrong = _params()
    del wrong["search"]["epochs"]
    with pytest.raises(jsonschema.ValidationError, match="'epochs' is a required property"):
        jsonschema.validate(wrong, SCHEMA)


def test_comments_become_descriptions_at_every_depth():
    sections = SCHEMA["$defs"]
    assert sections["Train"]["properties"]["num_nodes"].get("description") is None
    assert sections["Model"]["properties"]["variational"]["description"].startswith("a Gaussian")
    assert sections["Image"]["properties"]["colour"]["description"] == "grey | rgb"


def _params():
    return json.loads(json.dumps(config.read_yaml(ROOT / "params.yaml")))
