"""params.yaml as typed, frozen sections without hidden defaults; the only reader of YAML."""

import re
from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar, cast

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from hourglass.catalog import Catalog, nearest
from hourglass.errors import ConfigError
from hourglass.paths import write_text


class _NotAllowedError(ValueError):
    """What a field allows, where pydantic's own words would speak of its branches."""


def _says(allowed: str) -> WrapValidator:
    """Answers for all branches of a union at once: pydantic has one complaint for each."""

    def check(value: Any, branches: ValidatorFunctionWrapHandler) -> Any:
        try:
            return branches(value)
        except ValidationError:
            raise _NotAllowedError(f"must be {allowed}") from None

    return WrapValidator(check)


def _allows(pattern: str, allowed: str) -> AfterValidator:
    """Text that matches `pattern` as a whole."""

    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise _NotAllowedError(f"must be {allowed}")
        return value

    return AfterValidator(check)


# Strict: else true would count as 1, and "60" or 60.0 as 60.
Fraction = Annotated[float, Field(gt=0, lt=1, strict=True)]
Share = Annotated[float, Field(ge=0, le=1, strict=True)]
Positive = Annotated[int, Field(ge=1, strict=True)]
Width = Annotated[int, Field(ge=1, le=2**20, strict=True)]
Amount = Annotated[float, Field(ge=0, strict=True, allow_inf_nan=False)]
Room = Annotated[float, Field(gt=0, strict=True, allow_inf_nan=False)]
Patience = Annotated[int, Field(ge=0, strict=True)]
Seed = Annotated[int, Field(ge=0, lt=2**31, strict=True)]
Workers = Annotated[Literal["auto"] | Positive, _says("'auto' or a whole number of at least 1")]
# YAML of old, and DVC's -S, make booleans of on and off.
_word = BeforeValidator(lambda v: {True: "on", False: "off"}[v] if isinstance(v, bool) else v)
Switch = Annotated[Literal["auto", "on", "off"], _word]
OnOff = Annotated[Literal["on", "off"], _word]
SomeLosses = Literal["auto"] | Annotated[tuple[str, ...], Field(min_length=1)]
KindName = Literal["continuous", "binary", "count", "categorical"]
Losses = Annotated[
    SomeLosses | dict[KindName, SomeLosses],
    _says(
        "'auto', a list of at least one loss, or such a list for each kind of column "
        "(continuous, binary, count, categorical)"
    ),
]


class Section(BaseModel):
    """Base of the sections: frozen, nothing extra, nothing left out."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Image(Section):
    """How image files become rows."""

    size: Annotated[
        tuple[()] | tuple[Positive, Positive], _says("[height, width] in pixels, or [] to keep it")
    ]
    colour: Literal["grey", "rgb"]


class Window(Section):
    """How series are cut into rows."""

    length: Positive
    stride: Positive


class Synthetic(Section):
    """How many values are made up."""

    rows: Positive
    columns: Positive


class Preprocess(Section):
    """Where rows come from and how they are split."""

    source: str
    dataset: str
    path: str
    files: str
    columns: tuple[str, ...]
    drop: tuple[str, ...]
    label: str
    group: str
    time: str
    weight: str
    kinds: dict[str, KindName]
    missing: Literal["keep", "drop_rows", "error"]
    missing_values: tuple[str | int | float, ...]
    on_bad_row: Literal["error", "skip"]
    image: Image
    window: Window
    synthetic: Synthetic
    split: Literal["auto", "random", "group", "time"]
    val_fraction: Fraction
    test_fraction: Fraction
    seed: Seed

    @model_validator(mode="after")
    def _some_rows_are_left_to_train(self) -> Self:
        if self.val_fraction + self.test_fraction >= 1:
            raise ValueError(
                "val_fraction + test_fraction must be below 1: nothing is left to train on"
            )
        return self


class Normalize(Section):
    """Which scalers are fitted."""

    scalers: Annotated[tuple[Literal["unit", "standard", "robust"], ...], Field(min_length=1)]


class Model(Section):
    """The architecture, the same for every loss."""

    kind: str
    latent_dim: Width
    hidden: tuple[Width, ...]
    activation: Literal["silu", "relu", "gelu", "tanh"]
    corruption: Literal["none", "mask", "gauss"]
    corruption_amount: Amount
    sparsity: Amount
    variational: Annotated[bool, Field(strict=True)]

    @model_validator(mode="after")
    def _some_values_are_left_to_see(self) -> Self:
        if self.corruption == "mask" and self.corruption_amount >= 1:
            raise ValueError("corruption_amount must be below 1 for mask: nothing is left to see")
        return self

    def beware_of_width(self, features: int) -> str:
        """What to know of a bottleneck that is no narrower than the rows; "" of a narrower one."""
        if self.latent_dim < features:
            return ""
        return (
            f"params.yaml: model.latent_dim {self.latent_dim} is not below the {features} columns: "
            "the model can copy its input, noise and all, and losses can hardly differ; choose a "
            "narrower bottleneck"
        )


class Search(Section):
    """How the hyperparameters of each loss are searched."""

    losses: Losses
    scalers: Literal["all", "advised"]
    hidden: tuple[tuple[Width, ...], ...]
    trials_per_loss: Positive
    round_size: Positive
    startup_trials: Positive
    max_failed_share: Share
    objective: Literal["code_length", "code_length_masked", "rmse", "mae"]
    pruner: Literal["none", "median", "halving"]
    allocation: Literal["equal", "racing"]
    epochs: Positive
    patience: Patience
    batch_size: Positive
    max_rows: Positive
    seed: Seed
    space: dict[str, dict[str, tuple[float, float]]]
    executor: str
    workers: Workers
    accelerator: str
    storage: str

    @model_validator(mode="after")
    def _a_race_is_run_in_code_lengths(self) -> Self:
        if self.allocation == "racing" and not self.objective.startswith("code_length"):
            raise ValueError(
                f"allocation racing needs objective code_length or code_length_masked, got "
                f"{self.objective!r}: losses are compared on parts of the rows, which add up in "
                "bits only; or set allocation: equal"
            )
        return self


class Train(Section):
    """How the finalists are fitted; the trainer's options go to Lightning as they are."""

    seeds: Annotated[int, Field(ge=2, strict=True)]
    latent_dims: tuple[Width, ...]
    epochs: Positive
    patience: Patience
    resplit_below: Annotated[int, Field(ge=0, strict=True)]
    executor: str
    workers: Workers
    accelerator: str
    devices: Positive
    strategy: str
    precision: Annotated[str | int, _says("a name such as '32-true', or a number of bits")]
    num_nodes: Positive
    memory_mb: Positive
    compile: Switch


class Ray(Section):
    """The cluster of the executor ray, and what of it one fit takes."""

    address: Annotated[
        str,
        _allows(
            r"|auto|(ray://)?[^\s/]+:\d+",
            "'' (start Ray here), 'auto' (join the one that runs here), HOST:PORT or "
            "ray://HOST:PORT",
        ),
    ]
    cpus: Room
    gpus: Annotated[float, Field(ge=0, le=1, strict=True)]


class Evaluate(Section):
    """When a difference counts."""

    alpha: Fraction
    margin: Amount
    picture_rows: Positive
    anomalous: str | int | float


class Register(Section):
    """Where the selected model goes."""

    name: Annotated[str, Field(min_length=1), _allows(r"[^/:']+", "a name without /, : and '")]
    alias: Annotated[
        str,
        Field(min_length=1),
        _allows(
            r"(?!(?i:latest|v\d+)$)[\w-]+",
            "letters, digits, _ and -, but neither latest nor like v1: these are MLflow's own",
        ),
    ]
    gate: OnOff
    anomaly_share: Annotated[float, Field(ge=0.001, le=0.5, strict=True)]


class Tracking(Section):
    """How runs are filed in MLflow."""

    experiment: Annotated[str, Field(min_length=1)]
    system_metrics: bool


class Params(Section):
    """All of params.yaml."""

    preprocess: Preprocess
    normalize: Normalize
    model: Model
    search: Search
    train: Train
    ray: Ray
    evaluate: Evaluate
    register_: Annotated[Register, Field(alias="register")]
    tracking: Tracking


# Where a computation runs and where its trials are kept changes no result, so DVC need not watch.
NO_EFFECT_ON_RESULTS = frozenset(
    {
        "search.executor",
        "search.workers",
        "search.storage",
        "train.executor",
        "train.workers",
        "tracking.system_metrics",
        *(f"ray.{key}" for key in Ray.model_fields),
    }
)

S = TypeVar("S", bound=Section)

MOST_VALUES = 100_000  # of a file of parameters; some lines of aliases can stand for billions


def load(path: Path = Path("params.yaml")) -> Params:
    """Reads and checks params.yaml.

    Raises:
        ConfigError: the file is missing, is no YAML, or holds wrong values; all are named at once.
        UnknownNameError: it names a source, loss, model or executor that isn't there.
    """
    params = _validated(Params, read_yaml(path), str(path))
    _check_names(params, str(path))
    return params


def _check_names(params: Params, file: str) -> None:
    """Looks names of modules up before any stage begins; the modules stay unread."""
    losses: Catalog[object] = Catalog("hourglass.losses", "loss", "LOSS")
    for place, wanted in losses_by_place(params.search.losses).items():
        for i, name in enumerate(() if wanted == "auto" else wanted):
            losses.check(name, f"{file}: {place}[{i}]")
    for name in params.search.space:
        losses.check(name, f"{file}: search.space")
    for folder, name, where in (
        ("source", params.preprocess.source, "preprocess.source"),
        ("model", params.model.kind, "model.kind"),
        ("executor", params.search.executor, "search.executor"),
        ("executor", params.train.executor, "train.executor"),
    ):
        catalog: Catalog[object] = Catalog(f"hourglass.{folder}s", folder, "")
        catalog.check(name, f"{file}: {where}")


def losses_by_place(losses: Losses) -> dict[str, SomeLosses]:
    """The lists of losses by their place in params.yaml."""
    if isinstance(losses, dict):
        return {f"search.losses.{kind}": wanted for kind, wanted in losses.items()}
    return {"search.losses": losses}


def yaml_of(text: str) -> Any:
    """The value that a piece of valid YAML stands for."""
    return YAML(typ="safe", pure=True).load(text)


def read_yaml(path: Path) -> Any:
    """Reads a YAML 1.2 file (as DVC does: 1e-3 is a number, a repeated key is an error).

    Raises:
        ConfigError: it is missing, can't be read or is no YAML; line and column are named.
    """
    try:
        read = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
        if _size(read, {}) <= MOST_VALUES:
            return read
        raise ConfigError(f"{path} holds more than {MOST_VALUES} values, aliases followed")
    except RecursionError:
        raise ConfigError(f"{path} is nested too deeply, or holds itself by an alias") from None
    except FileNotFoundError:
        raise ConfigError(
            f"{path} is missing in {path.absolute().parent}: run from the folder that holds it, "
            "or name that folder with `hourglass -C DIR`"
        ) from None
    except OSError as error:
        raise ConfigError(f"{path} can't be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text: byte {error.start} is wrong") from None
    except YAMLError as error:
        raise ConfigError(f"{path} is not valid YAML: {_problem(error)}") from None


def _size(value: Any, known: dict[int, int]) -> int:
    """How many values it holds; an alias counts as all that it stands for.

    Raises:
        RecursionError: it holds itself.
    """
    if not isinstance(value, dict | list):
        return 1
    if id(value) not in known:
        parts = [*value, *value.values()] if isinstance(value, dict) else value
        known[id(value)] = 1 + sum(_size(part, known) for part in parts)
    return known[id(value)]


def _problem(error: YAMLError) -> str:
    """What is wrong and where, on one line."""
    if not isinstance(error, MarkedYAMLError) or error.problem_mark is None:
        return " ".join(str(error).split())
    mark = error.problem_mark
    problem = " ".join((error.problem or error.context or "syntax error").split())
    hint = "; indent with spaces, not tabs" if "\\t" in problem else ""
    return f"line {mark.line + 1}, column {mark.column + 1}: {problem}{hint}"


def write_yaml(path: Path, data: Any) -> None:
    """Writes YAML in one step; keys keep their order."""
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
        lines = [f"{file}: {_complaint(e, model)}" for e in error.errors() if not _is_echo(e)]
        raise ConfigError("\n".join(dict.fromkeys(lines))) from None


def _is_echo(error: Mapping[str, Any]) -> bool:
    """Whether a list counts as too short only because its entries are wrong: they are named."""
    short = error["type"] == "too_short"
    return short and len(error["input"]) >= int(error["ctx"]["min_length"])


# pydantic's error type -> what we say, filled from the error's context.
MESSAGES = {
    "int_type": "must be a whole number",
    "bool_type": "must be true or false",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "float_parsing": "must be a number",
    "string_type": "must be text",
    "string_too_short": "must not be empty",
    "tuple_type": "must be a list, such as [a, b]",
    "too_short": "must have at least {min_length} entry",
    "too_long": "must have no more than {max_length} entries",
    "dict_type": "must be a section of `key: value` lines",
    "literal_error": "must be {expected}",
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "less_than": "must be less than {lt}",
}


def _complaint(error: Mapping[str, Any], model: type[Section]) -> str:
    """One line: place, what is wrong, the value, what is allowed, the nearest name."""
    steps = [s for s in error["loc"] if s != "[key]"]  # a wrong key: its own name is the place
    kind, context = error["type"], error.get("ctx", {})
    place = _place(steps)
    if kind == "missing":
        return f"{place} is missing"
    if kind == "extra_forbidden":
        known = _fields_at(model, steps[:-1])
        return f"{place} is not known{nearest(str(steps[-1]), known)} (known: {', '.join(known)})"
    if kind == "model_type":
        known = _fields_at(model, steps)
        return f"{place} must hold the keys {', '.join(known)}{_got(error['input'])}"
    message = MESSAGES[kind].format(**context) if kind in MESSAGES else str(error["msg"])
    if kind == "value_error":
        message = str(context["error"])
        if not isinstance(context["error"], _NotAllowedError):
            return f"{place}: {message}"  # of a section as a whole
    hint = nearest(str(error["input"]), message.split("'")[1::2])
    if kind == "string_type" and isinstance(error["input"], int | float):
        hint = f": quote it, {str(error['input'])!r}"
    return f"{place} {message}{_got(error['input'])}{hint}"


def _got(value: Any) -> str:
    """The value as it stands in the file, shortened."""
    if value is None:
        return ", but is empty"
    if value is True or value is False:
        return f", got {str(value).lower()}"
    text = repr(value)
    return f", got {text if len(text) <= 60 else text[:57] + '...'}"


def _place(steps: list[int | str]) -> str:
    text = "".join(f"[{s}]" if isinstance(s, int) else f".{s}" for s in steps)
    return text.removeprefix(".") or "the file"


def _fields_at(model: type[Section], steps: list[int | str]) -> list[str]:
    """Names of the keys that are allowed below `steps`."""
    for step in steps:
        by_key = {(f.alias or n): f for n, f in model.model_fields.items()}
        model = cast(type[Section], by_key[str(step)].annotation)
    return [f.alias or n for n, f in model.model_fields.items()]
