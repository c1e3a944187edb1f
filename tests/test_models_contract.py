"""Laws that every network obeys; a new module in models/ is tested the day its file exists."""

import json
from dataclasses import replace

import pytest
import torch

from hourglass.errors import ConfigError, UnknownNameError
from hourglass.models import ACTIVATIONS, MODELS, Architecture, Autoencoder, activation, build

BASE = Architecture(features=16, latent_dim=3, hidden=(12, 8), activation="silu", grid=(4, 4))


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


def test_is_decode_after_encode_with_the_promised_shapes(kind):
    model = build(kind, BASE).eval()
    assert isinstance(model, Autoencoder)
    for n in (1, 5):
        x_BF = torch.randn(n, 16)
        z_BL = model.encode(x_BF)
        assert z_BL.shape == (n, 3)
        assert model.decode(z_BL).shape == (n, 16)
        torch.testing.assert_close(model(x_BF), model.decode(z_BL), rtol=0, atol=0)


def test_rows_are_computed_alone(kind):
    model = build(kind, BASE).eval()
    x_BF = torch.randn(6, 16)
    order = torch.randperm(6)
    torch.testing.assert_close(model(x_BF[order]), model(x_BF)[order])
    torch.testing.assert_close(model(x_BF[:1]), model(x_BF)[:1])


def test_raw_output_is_not_confined(kind):
    model = build(kind, BASE).double().eval()
    raw_BF = model.decode(1e6 * torch.randn(200, 3, dtype=torch.float64))
    assert raw_BF.min() < -10
    assert raw_BF.max() > 10


def test_every_weight_has_a_finite_gradient(kind):
    model = build(kind, BASE)
    model(torch.randn(32, 16)).square().mean().backward()
    for name, weight in model.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.isfinite().all(), name
        assert weight.grad.abs().max() > 0, name


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(kind):
    def weights(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        return torch.cat([w.flatten() for w in build(kind, BASE).parameters()])

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))


def test_is_rebuilt_from_json_and_a_state_dict(kind):
    model = build(kind, BASE).eval()
    architecture = Architecture.from_json(json.loads(json.dumps(model.architecture.to_json())))
    assert architecture == BASE
    other = build(kind, architecture).eval()
    other.load_state_dict(model.state_dict())
    x_BF = torch.randn(5, 16)
    torch.testing.assert_close(other(x_BF), model(x_BF), rtol=0, atol=0)


def test_an_architecture_without_a_grid_survives_json():
    plain = replace(BASE, grid=None, hidden=())
    assert Architecture.from_json(json.loads(json.dumps(plain.to_json()))) == plain


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_activation_bends(kind, name):
    model = build(kind, replace(BASE, activation=name)).double().eval()
    a, b = torch.randn(2, 1, 16, dtype=torch.float64)
    assert not torch.allclose(model(a) + model(b), model(a + b) + model(torch.zeros_like(a)))


def test_a_bottleneck_as_wide_as_the_data_is_allowed(kind):
    assert build(kind, replace(BASE, latent_dim=20)).encode(torch.randn(2, 16)).shape == (2, 20)


def test_dense_decoder_mirrors_the_encoder():
    model = build("dense", BASE)
    shapes = [tuple(w.shape) for w in model.parameters() if w.ndim == 2]
    assert shapes == [(12, 16), (8, 12), (3, 8), (8, 3), (12, 8), (16, 12)]


def test_dense_without_hidden_layers_is_affine():
    model = build("dense", replace(BASE, hidden=())).double()
    a, b = torch.randn(2, 1, 16, dtype=torch.float64)
    torch.testing.assert_close(model(a) + model(b), model(a + b) + model(torch.zeros_like(a)))
    assert sum(w.ndim == 2 for w in model.parameters()) == 2


def test_an_unknown_kind_is_answered_with_the_nearest():
    with pytest.raises(UnknownNameError, match="unknown model 'dens', did you mean 'dense'"):
        build("dens", BASE)


def test_an_unknown_activation_is_answered_with_the_nearest():
    with pytest.raises(ConfigError, match="unknown activation 'rellu', did you mean 'relu'"):
        activation("rellu")
