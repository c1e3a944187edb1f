"""Laws that every network obeys; a new module in models/ is tested the day its file exists."""

import json
from dataclasses import replace
from math import prod

import pytest
import torch

from hourglass.errors import ConfigError, UnknownNameError
from hourglass.models import (
    ACTIVATIONS,
    MODELS,
    Architecture,
    Autoencoder,
    activation,
    build,
    check,
)

SHAPES = {None: None, 2: (8, 2), 3: (4, 4, 1)}  # 16 values for each `Autoencoder.dimensions`
TABLE = Architecture(inputs=19, outputs=16, latent_dim=3, hidden=(12, 8), activation="silu")


@pytest.fixture(autouse=True)
def _one_thread_and_a_fixed_seed():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(params=MODELS.names())
def kind(request) -> str:
    return request.param


@pytest.fixture(params=["plain", "gaps", "variational"])
def base(kind, request) -> Architecture:
    """An architecture of the shape that the network is made for."""
    shape = SHAPES[MODELS.load(kind).dimensions]
    inputs = 32 if request.param == "gaps" else 16 if shape else TABLE.inputs
    variational = request.param == "variational"
    return replace(TABLE, inputs=inputs, shape=shape, variational=variational)


def rows(base: Architecture, n: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(n, base.inputs, dtype=dtype)


def test_is_decode_after_encode_with_the_promised_shapes(kind, base):
    model = build(kind, base).eval()
    assert isinstance(model, Autoencoder)
    assert model.architecture == base
    for n in (0, 1, 5):
        x_BE = rows(base, n)
        code_BC, z_BL = model.code(x_BE), model.encode(x_BE)
        assert code_BC.shape == (n, base.code_dim)
        assert z_BL.shape == (n, 3)
        assert model.decode(z_BL).shape == (n, 16)
        torch.testing.assert_close(z_BL, code_BC[:, :3], rtol=0, atol=0)
        torch.testing.assert_close(model(x_BE), model.decode(z_BL), rtol=0, atol=0)


def test_rows_are_computed_alone(kind, base):
    model = build(kind, base).eval()
    x_BE = rows(base, 6)
    order = torch.randperm(6)
    torch.testing.assert_close(model(x_BE[order]), model(x_BE)[order])
    torch.testing.assert_close(model(x_BE[:1]), model(x_BE)[:1])


def test_rows_are_computed_alone_while_training_too(kind, base):
    model = build(kind, base).train()
    x_BE = rows(base, 6).requires_grad_()
    (gradient_BE,) = torch.autograd.grad(model(x_BE)[2].square().sum(), x_BE)
    touched_B = gradient_BE.ne(0).any(dim=1)
    assert touched_B.tolist() == [False, False, True, False, False, False]


def test_rows_may_be_a_view_of_other_rows(kind, base):
    model = build(kind, base).eval()
    wide = torch.randn(5, 2 * base.inputs)
    torch.testing.assert_close(model(wide[:, ::2]), model(wide[:, ::2].contiguous()))


def test_every_input_counts(kind, base):
    model = build(kind, base).double()
    x_BE = rows(base, 8, torch.float64).requires_grad_()
    (gradient_BE,) = torch.autograd.grad(model.code(x_BE).square().sum(), x_BE)
    assert gradient_BE.abs().amax(dim=0).min() > 0


def test_raw_output_is_not_confined(kind, base):
    model = build(kind, base).double().eval()
    raw_BW = model.decode(1e6 * torch.randn(200, 3, dtype=torch.float64))
    assert raw_BW.min() < -10
    assert raw_BW.max() > 10
    assert (raw_BW.amax(dim=0) - raw_BW.amin(dim=0)).min() > 10


def test_every_weight_has_a_finite_gradient(kind, base):
    model = build(kind, base)
    x_BE = rows(base, 32)
    (model(x_BE).square().mean() + model.code(x_BE).square().mean()).backward()
    for name, weight in model.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.isfinite().all(), name
        assert weight.grad.abs().max() > 0, name


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(kind, base):
    def weights(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        return torch.cat([w.flatten() for w in build(kind, base).parameters()])

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))


def test_the_same_seed_gives_the_same_fit(kind, base):
    def fitted() -> torch.Tensor:
        torch.manual_seed(3)
        model = build(kind, base)
        adam = torch.optim.Adam(model.parameters(), lr=1e-2)
        for _ in range(5):
            adam.zero_grad()
            model(rows(base, 32)).square().mean().backward()
            adam.step()
        return torch.cat([w.detach().flatten() for w in model.parameters()])

    assert torch.equal(fitted(), fitted())


def test_is_rebuilt_from_json_and_a_state_dict(kind, base):
    model = build(kind, base).eval()
    architecture = Architecture.from_json(json.loads(json.dumps(model.architecture.to_json())))
    assert architecture == base
    other = build(kind, architecture).eval()
    other.load_state_dict(model.state_dict())
    x_BE = rows(base, 5)
    torch.testing.assert_close(other(x_BE), model(x_BE), rtol=0, atol=0)


def test_weights_are_contiguous_so_that_a_file_can_hold_them(kind, base):
    assert all(w.is_contiguous() for w in build(kind, base).parameters())


def test_an_architecture_without_a_shape_survives_json():
    plain = replace(TABLE, hidden=())
    assert Architecture.from_json(json.loads(json.dumps(plain.to_json()))) == plain


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_activation_bends(kind, base, name):
    model = build(kind, replace(base, activation=name)).double().eval()
    a, b = rows(base, 2, torch.float64).split(1)
    assert not torch.allclose(model(a) + model(b), model(a + b) + model(torch.zeros_like(a)))


def test_the_decoder_bends_too(kind, base):
    model = build(kind, base).double().eval()
    a, b = torch.randn(2, 1, 3, dtype=torch.float64)
    zero = torch.zeros_like(a)
    decode = model.decode
    assert not torch.allclose(decode(a) + decode(b), decode(a + b) + decode(zero))


def test_without_hidden_layers_it_is_affine_of_full_rank(kind, base):
    model = build(kind, replace(base, hidden=())).double().eval()
    a, b = rows(base, 2, torch.float64).split(1)
    torch.testing.assert_close(model(a) + model(b), model(a + b) + model(torch.zeros_like(a)))
    image_BW = model(rows(base, 40, torch.float64)) - model(torch.zeros_like(a))
    assert torch.linalg.matrix_rank(image_BW) == 3
    assert sum(w.ndim > 1 for w in model.parameters()) == 2


def test_a_bottleneck_as_wide_as_the_data_is_allowed(kind, base):
    wide = replace(base, latent_dim=40)
    assert build(kind, wide).encode(rows(base, 2)).shape == (2, 40)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_answers_in_the_precision_of_its_weights(kind, base, dtype):
    model = build(kind, base).double().eval()
    x_BE = rows(base, 5, torch.float64)
    exact_BW = model(x_BE)
    raw_BW = model.to(dtype)(x_BE.to(dtype))
    assert raw_BW.dtype == dtype
    assert (raw_BW.double() - exact_BW).abs().max() < 8 * torch.finfo(dtype).eps


def test_learns_in_mixed_precision(kind, base):
    model = build(kind, base)
    with torch.autocast("cpu", torch.bfloat16):
        raw_BW = model(rows(base, 8))
    raw_BW.float().square().mean().backward()
    assert raw_BW.dtype == torch.bfloat16
    assert all(w.grad.dtype == torch.float32 for w in model.parameters() if w.grad is not None)


def test_data_of_another_shape_are_refused(kind, base):
    made_for = MODELS.load(kind).dimensions
    for dimensions, shape in SHAPES.items():
        other = replace(base, inputs=16, shape=shape)
        if made_for in (None, dimensions):
            assert build(kind, other)(rows(other, 2)).shape == (2, 16)
        else:
            with pytest.raises(ConfigError, match=rf"model\.kind: '{kind}' is made for .* 'dense'"):
                build(kind, other)


def test_dense_decoder_mirrors_the_encoder():
    model = build("dense", TABLE)
    shapes = [tuple(w.shape) for w in model.parameters() if w.ndim == 2]
    assert shapes == [(12, 19), (8, 12), (3, 8), (8, 3), (12, 8), (16, 12)]


def test_an_unknown_kind_is_answered_with_the_nearest():
    with pytest.raises(UnknownNameError, match="unknown model 'dens', did you mean 'dense'"):
        build("dens", TABLE)


def test_an_unknown_activation_is_answered_with_the_nearest():
    with pytest.raises(ConfigError, match="unknown activation 'rellu', did you mean 'relu'"):
        activation("rellu")


def test_the_shapes_hold_as_many_values_as_the_table():
    assert {prod(shape) for shape in SHAPES.values() if shape} == {TABLE.outputs}


def test_a_kind_can_be_checked_before_anything_is_built():
    check("dense", None)
    check("temporal", (8, 2))
    with pytest.raises(ConfigError, match="'temporal' is made for windows of series"):
        check("temporal", None)
    with pytest.raises(UnknownNameError, match=r"^params\.yaml: model\.kind: unknown model 'dens'"):
        check("dens", None)
