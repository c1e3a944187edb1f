"""Building a loss from a trial's hyperparameters, and its ranges from the user's params.yaml."""

import math

import pytest
import torch

from hourglass.errors import ConfigError, LossError, UnknownNameError
from hourglass.losses import LOSSES, Context, Range, build, space

WITH_OWN = {"huber": "delta", "log_cosh": "scale"}


@pytest.fixture(params=LOSSES.names())
def name(request) -> str:
    return request.param


def context_of(residual_scale: float = 0.3, span: float = 8.0) -> Context:
    return Context(4, torch.zeros(4), residual_scale, span, levels=(2, 3, 4, 5))


def hyper_of(name: str) -> dict[str, float]:
    return {key: range_.default for key, range_ in LOSSES.load(name).space.items()}


def test_every_hyperparameter_of_a_trial_may_be_passed_on(name):
    loss = build(name, context_of(), {"learning_rate": 0.01, **hyper_of(name)})
    assert isinstance(loss, LOSSES.load(name))


def test_an_unknown_loss_is_answered_with_the_nearest():
    with pytest.raises(UnknownNameError, match="unknown loss 'hubert', did you mean 'huber'"):
        build("hubert", context_of(), {})


def test_an_unknown_hyperparameter_is_answered_with_the_nearest():
    message = "'huber' has no hyperparameter 'detla', did you mean 'delta'? (known: learning_rate"
    with pytest.raises(ConfigError) as error:
        build("huber", context_of(), {"detla": 1.0})
    assert message in str(error.value)


@pytest.mark.parametrize(("name", "key"), WITH_OWN.items())
def test_a_missing_hyperparameter_is_no_hidden_default(name, key):
    with pytest.raises(ConfigError, match=f"loss '{name}' needs a value of {key}"):
        build(name, context_of(), {"learning_rate": 0.01})


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
@pytest.mark.parametrize(("name", "key"), WITH_OWN.items())
def test_a_width_that_is_no_positive_number_is_refused(name, key, value):
    with pytest.raises(ConfigError, match=f"{key} is {value}, it must be a positive number"):
        build(name, context_of(), {key: value})


@pytest.mark.parametrize("delta", [2.0, 2.5])
def test_a_huber_delta_that_reaches_the_span_is_refused(delta):
    with pytest.raises(LossError, match="exactly MSE/2; use 'mse', or keep delta below 2") as error:
        build("huber", context_of(residual_scale=0.5, span=1.0), {"delta": delta})
    assert "params.yaml: search.space.huber.delta" in str(error.value)


def test_with_a_context_the_space_holds_only_what_the_loss_accepts(name):
    tight = context_of(residual_scale=0.5, span=0.9)
    ranges = space(name, {}, context=tight)
    assert ranges.keys() == LOSSES.load(name).space.keys()
    redrawn = context_of(residual_scale=0.55, span=0.85)  # other rows, a little less spread out
    for context in (tight, redrawn):
        build(name, context, {key: range_.high for key, range_ in ranges.items()})


def test_a_range_beyond_the_span_is_refused_with_its_place():
    with pytest.raises(
        LossError, match=r"params\.yaml: search\.space\.huber\.delta: .* up to 1.44"
    ):
        space("huber", {"delta": (2.0, 3.0)}, context=context_of(residual_scale=0.5, span=0.9))


def test_an_override_replaces_the_range_and_keeps_the_default_inside(name):
    original = LOSSES.load(name).space
    assert space(name, {}) == dict(original)
    for key, range_ in original.items():
        lower = space(name, {key: (range_.low / 4, range_.low / 2)})
        assert lower == {**original, key: Range(range_.low / 4, range_.low / 2, range_.low / 2)}
        upper = space(name, {key: (range_.high * 2, range_.high * 4)})
        assert upper == {**original, key: Range(range_.high * 2, range_.high * 4, range_.high * 2)}


@pytest.mark.parametrize(
    ("key", "low", "high", "complaint"),
    [
        ("delta", 2.0, 0.5, "low 2.0 is not below high 0.5, write [low, high]"),
        ("delta", 1.0, 1.0, "low 1.0 is not below high 1.0, write [low, high]"),
        ("delta", 0.0, 1.0, "low 0.0 must be above 0, it is searched on a log scale"),
        ("delta", math.nan, 1.0, "[nan, 1.0] is no range, write two finite numbers"),
        ("delta", 0.1, math.inf, "[0.1, inf] is no range, write two finite numbers"),
        ("dleta", 0.5, 2.0, "'huber' has no hyperparameter 'dleta', did you mean 'delta'?"),
    ],
)
def test_a_wrong_override_is_refused_with_its_place(key, low, high, complaint):
    with pytest.raises(ConfigError) as error:
        space("huber", {key: (low, high)})
    assert str(error.value).startswith(f"params.yaml: search.space.huber.{key}: {complaint}")


def test_an_override_of_an_unknown_loss_is_refused_with_its_place():
    with pytest.raises(
        UnknownNameError, match=r"^params\.yaml: search\.space: unknown loss 'hubr'"
    ):
        space("hubr", {})
