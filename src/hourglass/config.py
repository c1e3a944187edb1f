"""params.yaml as typed, frozen sections without hidden defaults; the only reader of YAML."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from hourglass.catalog import nearest
from hourglass.errors import ConfigError
from hourglass.paths import write_text

Fraction = Annotated[float, Field(gt=0, lt=1)]
Positive = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
Workers = Literal["auto"] | Positive


class Section(BaseModel):
    """Base of the sections: frozen, nothing extra, nothing left out."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Preprocess(Section):
    """Where rows come from and how they are split."""

    source: str
    dataset: str
    path: str
    drop: tuple[str, ...]
    label: str
    kinds: dict[str, Literal["continuous", "binary", "count"]]
    missing: Literal["error", "drop_rows"]
    val_fraction: Fraction
    test_fraction: Fraction
    seed: Seed

    @model_validator(mode="after")
    def _some_rows_are_left_to_train(self) -> Self:
        if self.val_fraction + self.test_fraction >= 1:
            raise ValueError("val_fraction + test_fraction must be below 1: nothing is left to train on")
        return self


class Normalize(Section):
    """Which scalers are fitted."""

    scalers: Annotated[tuple[Literal["unit", "standard", "robust"], ...], Field(min_length=1)]


class Model(Section):
    """The architecture, the same for every loss."""

    kind: str
    latent_dim: Positive
    hidden: tuple[Positive, ...]
    activation: Literal["silu", "relu", "gelu", "tanh"]


class Search(Section):
    """How the hyperparameters of each loss are searched."""

    losses: Literal["auto"] | Annotated[tuple[str, ...], Field(min_length=1)]
    trials_per_loss: Positive
    round_size: Positive
    startup_trials: Positive
    objective: Literal["code_length", "code_length_masked", "rmse", "mae"]
    epochs: Positive
    batch_size: Positive
    seed: Seed
    space: dict[str, dict[str, tuple[float, float]]]
    executor: str
    workers: Workers
    accelerator: str
    storage: str


class Train(Section):
    """How the finalists are fitted; the trainer's options go to Lightning as they are."""

    seeds: Annotated[int, Field(ge=2)]
    epochs: Positive
    resplit_below: Annotated[int, Field(ge=0)]
    executor: str
    workers: Workers
    accelerator: str
    devices: Positive
    strategy: str
    precision: str | int
    num_nodes: Positive


class Evaluate(Section):
    """When a difference counts."""

    alpha: Fraction
    margin: Annotated[float, Field(ge=0)]
    picture_rows: Positive


class Register(Section):
    """Where the selected model goes."""

    name: Annotated[str, Field(min_length=1)]
    alias: Annotated[str, Field(min_length=1)]


class Tracking(Section):
    """How runs are filed in MLflow."""

    experiment: Annotated[str, Field(min_length=1)]


class Params(Section):
    """All of params.yaml."""

    preprocess: Preprocess
    normalize: Normalize
    model: Model
    search: Search
    train: Train
    evaluate: Evaluate
    register_: Annotated[Register, Field(alias="register")]
    tracking: Tracking


# Where a computation runs and where its trials are kept changes no result, so DVC need not watch.
NO_EFFECT_ON_RESULTS = frozenset(
    {"search.executor", "search.workers", "search.storage", "train.executor", "train.workers"}
)

S = TypeVar("S", bound=Section)


def load(path: Path = Path("params.yaml")) -> Params:
    """Reads and checks params.yaml.

    Raises:
        ConfigError: the file is missing, is no YAML, or holds wrong values; all are named at once.
    """
    return _validated(Params, read_yaml(path), str(path))


def read_yaml(path: Path) -> Any:
    """Reads a YAML 1.2 file (as DVC does: 1e-3 is a number, a repeated key is an error).

    Raises:
        ConfigError: it is missing or is no YAML.
    """
    try:
        return YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path} is missing: run from the folder that holds params.yaml") from None
    except (YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid YAML: {error}") from None


def write_yaml(path: Path, data: Any) -> None:
    """Writes YAML in one step; keys keep their order."""
    from io import StringIO

    text = StringIO()
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]  # untyped upstream
    yaml.dump(data, text)
    write_text(path, text.getvalue())


def _validated(model: type[S], data: Any, file: str) -> S:
    try:
        return model.model_validate(data)
    except ValidationError as error:
        lines = [f"{file}: {_complaint(e, model)}" for e in error.errors()]
        raise ConfigError("\n".join(dict.fromkeys(lines))) from None


def _complaint(error: ErrorDetails, model: type[Section]) -> str:
    """One line: place, what is wrong, the value, what is allowed, the nearest name."""
    steps = [s for s in error["loc"] if not _is_branch(s)]
    place = _place(steps)
    if error["type"] == "missing":
        return f"{place} is missing"
    if error["type"] == "extra_forbidden":
        known = _fields_at(model, steps[:-1])
        return f"{place} is not known{nearest(str(steps[-1]), known)} (known: {', '.join(known)})"
    if error["type"] == "value_error":
        return f"{place}: {error['msg'].removeprefix('Value error, ')}"
    hint = nearest(str(error["input"]), error.get("ctx", {}).get("expected", "").split("'")[1::2])
    message = error["msg"][0].lower() + error["msg"][1:]
    return f"{place}: {message}, got {error['input']!r}{hint}"


def _is_branch(step: int | str) -> bool:
    """Whether a step of pydantic's location names a branch of a union, not a key of the file."""
    return isinstance(step, str) and any(c in step for c in "[(")


def _place(steps: list[int | str]) -> str:
    text = "".join(f"[{s}]" if isinstance(s, int) else f".{s}" for s in steps)
    return text.removeprefix(".") or "the file"


def _fields_at(model: type[Section], steps: list[int | str]) -> list[str]:
    """Names of the keys that are allowed below `steps`."""
    for step in steps:
        by_key = {(f.alias or n): f for n, f in model.model_fields.items()}
        model = cast(type[Section], by_key[str(step)].annotation)
    return [f.alias or n for n, f in model.model_fields.items()]
