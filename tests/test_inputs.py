"""What a network is shown: gaps filled and flagged, levels as flags."""

import math

import numpy as np
import pytest
import torch

from hourglass import wide
from hourglass.inputs import Inputs
from hourglass.schema import Column, Kind, Schema

NAN = math.nan


def number(name: str, missing: int = 0) -> Column:
    return Column(name, Kind.CONTINUOUS, None, None, None, missing)


def level(name: str, levels: int, missing: int = 0) -> Column:
    texts = tuple(f"L{k}" for k in range(levels))
    return Column(name, Kind.CATEGORICAL, None, None, None, missing, texts)


def schema_of(columns: list[Column], gaps: bool, shape=None) -> Schema:
    return Schema("a test", tuple(columns), {}, {}, shape, {}, "0", gaps=gaps)


def inputs(columns: list[Column], gaps: bool, shape=None) -> Inputs:
    made = Inputs(schema_of(columns, gaps, shape))
    fill = [1.0 if c.kind is Kind.CATEGORICAL else f + 0.25 for f, c in enumerate(columns)]
    made.fill_F.copy_(torch.tensor(fill))
    return made


def shown(module: Inputs, rows: list[list[float]]) -> list[list[float]]:
    answer = module(torch.tensor(rows))
    assert answer.shape == (len(rows), module.width)
    assert answer.dtype == torch.float32
    return answer.tolist()


def test_a_gap_is_filled_with_its_columns_value_and_flagged_behind_the_values():
    module = inputs([number("a", 3), number("b"), number("c", 1)], gaps=True)
    rows = [[NAN, 5.0, 6.0], [4.0, NAN, NAN], [1.0, 2.0, 3.0]]
    assert shown(module, rows) == [
        [0.25, 5.0, 6.0, 1.0, 0.0],
        [4.0, 1.25, 2.25, 0.0, 1.0],  # b had no gap when the fit began: it has no flag
        [1.0, 2.0, 3.0, 0.0, 0.0],
    ]


def test_levels_are_flags_in_the_place_of_their_column():
    columns = [number("a"), level("b", 3), number("c"), level("d", 2)]
    module = inputs(columns, gaps=False)
    assert module.width == 7
    assert shown(module, [[7.0, 1.0, 8.0, 0.0], [7.0, 2.0, 9.0, 1.0]]) == [
        [7.0, 0.0, 1.0, 0.0, 8.0, 1.0, 0.0],
        [7.0, 0.0, 0.0, 1.0, 9.0, 0.0, 1.0],
    ]


def test_a_level_that_is_missing_or_unknown_is_no_flag_at_all():
    module = inputs([level("a", 2, missing=1), number("b")], gaps=True)
    assert shown(module, [[NAN, 5.0], [2.0, 5.0], [0.0, 5.0]]) == [
        [0.0, 0.0, 5.0, 1.0],
        [0.0, 0.0, 5.0, 0.0],
        [1.0, 0.0, 5.0, 0.0],
    ]


@pytest.mark.parametrize("training", [True, False])
def test_neighbouring_levels_and_levels_alone_are_shown_in_order(training):
    module = inputs([level("a", 2), level("b", 1), level("c", 3)], gaps=False).train(training)
    assert shown(module, [[1.0, 0.0, 2.0], [0.0, NAN, 1.0]]) == [
        [0.0, 1.0, 1.0, 0.0, 0.0, 1.0],
        [1.0, 0.0, 0.0, 0.0, 1.0, 0.0],
    ]


def test_levels_are_shown_as_the_wide_form_has_them():
    columns = [number("a"), level("b", 3), level("c", 4), number("d")]
    rng = np.random.default_rng(0)
    rows = np.column_stack([rng.normal(size=50), *rng.integers(0, 4, (2, 50)), rng.normal(size=50)])
    rows = rows.astype(np.float32)
    answer = inputs(columns, gaps=False)(torch.from_numpy(rows))
    np.testing.assert_array_equal(answer.numpy(), wide.expand(rows.astype(np.float64), columns))


@pytest.mark.parametrize("shape", [(1, 2, 1), (2, 1)])
def test_of_an_array_with_gaps_every_value_has_its_flag(shape):
    module = inputs([number("a", 4), number("b")], gaps=True, shape=shape)
    assert shown(module, [[NAN, 3.0]]) == [[0.25, 3.0, 1.0, 0.0]]


def test_rows_of_an_array_without_gaps_are_shown_as_they_are():
    module = inputs([number("a"), number("b")], gaps=False, shape=(2, 1))
    assert shown(module, [[1.0, 3.0]]) == [[1.0, 3.0]]


def test_while_training_on_rows_without_gaps_nothing_is_looked_at():
    module = inputs([number("a"), number("b")], gaps=False).train()
    rows_BF = torch.randn(5, 2)
    assert module(rows_BF) is rows_BF


def test_rows_to_come_may_have_gaps_even_if_training_rows_had_none():
    module = inputs([number("a"), number("b")], gaps=False).eval()
    assert shown(module, [[NAN, 3.0]]) == [[0.25, 3.0]]


def test_a_fit_that_hides_values_may_watch_for_them():
    module = inputs([number("a"), number("b")], gaps=False).train()
    module.watch = True
    assert shown(module, [[NAN, 3.0], [1.0, NAN]]) == [[0.25, 3.0], [1.0, 1.25]]


def test_a_gap_in_the_levels_does_no_harm_to_what_lies_beside_it():
    """Levels are no numbers: neither fill value nor gradient may reach them."""
    module = inputs([level("a", 2), number("b", 1)], gaps=True).train()
    rows_BF = torch.tensor([[NAN, NAN], [1.0, 2.0]], requires_grad=True)
    answer = module(rows_BF)
    assert answer.tolist() == [[0.0, 0.0, 1.25, 1.0], [0.0, 1.0, 2.0, 0.0]]
    gradient = torch.autograd.grad(answer.sum(), rows_BF)[0]
    assert gradient.tolist() == [[0.0, 0.0], [0.0, 1.0]]


def test_what_gaps_are_filled_with_goes_with_the_weights():
    columns = [number("a", 1), number("b", 1)]
    one, other = inputs(columns, gaps=True), Inputs(schema_of(columns, gaps=True))
    other.load_state_dict(one.state_dict())
    rows_BF = torch.tensor([[NAN, NAN]])
    assert torch.equal(one(rows_BF), other(rows_BF))
