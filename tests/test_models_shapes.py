"""Networks for images and windows: what their layers compute, sizes of all kinds, and learning."""

from math import prod

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from hourglass.models import Architecture, Autoencoder, build

KINDS = {3: "convolutional", 2: "temporal"}


@pytest.fixture(autouse=True)
def _one_thread_and_a_fixed_seed():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(threads)


def made_for(
    shape: tuple[int, ...], hidden: tuple[int, ...], latent_dim: int = 3, **options
) -> Autoencoder:
    """The network for images or windows of this shape; gaps=True shows it indicators too."""
    inputs = prod(shape) * (2 if options.pop("gaps", False) else 1)
    own = Architecture(inputs, prod(shape), latent_dim, hidden, "silu", shape, **options)
    return build(KINDS[len(shape)], own)


sizes = st.integers(1, 13)
shapes = st.one_of(st.tuples(sizes, sizes, st.integers(1, 4)), st.tuples(sizes, st.integers(1, 4)))
hiddens = st.lists(st.integers(1, 5), max_size=4).map(tuple)


# --- every size -----------------------------------------------------------------------------------


@given(shapes, hiddens, st.booleans(), st.booleans())
def test_any_size_gives_back_as_many_values(shape, hidden, gaps, variational):
    model = made_for(shape, hidden, gaps=gaps, variational=variational)
    raw_BW = model(torch.randn(2, model.architecture.inputs))
    assert raw_BW.shape == (2, prod(shape))
    assert raw_BW.isfinite().all()


@given(shapes, hiddens, st.booleans())
def test_every_value_is_seen_and_every_value_is_made(shape, hidden, gaps):
    torch.manual_seed(1)
    model = made_for(shape, hidden, latent_dim=2, gaps=gaps).double()
    x_BE = torch.randn(4, model.architecture.inputs, dtype=torch.float64, requires_grad=True)
    (seen_BE,) = torch.autograd.grad(model.code(x_BE).sum(), x_BE)
    assert seen_BE.ne(0).any(dim=0).all()
    z_BL = torch.randn(4, 2, dtype=torch.float64)
    assert model.decode(z_BL).std(dim=0).min() > 0


@pytest.mark.parametrize(
    ("shape", "stages", "pixels"),
    [
        ((28, 28, 1), 2, 7 * 7),
        ((5, 9, 3), 1, 3 * 5),
        ((5, 9, 3), 3, 2 * 2),
        ((4, 4, 1), 4, 2 * 2),
        ((2, 40, 1), 2, 2 * 10),
        ((32, 6), 3, 4),
        ((33, 6), 1, 17),
        ((4, 1), 5, 2),
    ],
)
def test_each_stage_halves_what_is_longer_than_two(shape, stages, pixels):
    model = made_for(shape, (7,) * stages)
    linear = [tuple(m.weight.shape) for m in model.modules() if isinstance(m, nn.Linear)]
    assert linear == [(3, 7 * pixels), (7 * pixels, 3)]


@pytest.mark.parametrize("shape", [(5, 4, 2), (7, 3)])
def test_without_stages_it_is_the_dense_autoencoder(shape):
    models = []
    for kind in (KINDS[len(shape)], "dense"):
        torch.manual_seed(5)
        own = Architecture(prod(shape), prod(shape), 3, (), "silu", shape)
        models.append(build(kind, own).double())
    x_BE = torch.randn(6, prod(shape), dtype=torch.float64)
    torch.testing.assert_close(models[0](x_BE), models[1](x_BE))


@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize("hidden", [(4, 5), (1, 2), (3, 1)])
@pytest.mark.parametrize("shape", [(7, 6, 1), (8, 8, 3), (9, 1), (8, 2)])
def test_gradients_lie_in_memory_as_weights_do(shape, hidden, gaps):
    """Else DDP copies each gradient once more, and warns."""
    model = made_for(shape, hidden, gaps=gaps)
    model(torch.randn(4, model.architecture.inputs)).square().mean().backward()
    for name, weight in model.named_parameters():
        assert weight.grad.stride() == weight.stride(), name
        assert weight.is_contiguous(), name


# --- what the layers compute, in plain loops ------------------------------------------------------


class Loops:
    """The network value by value, from its docstring; a window is an image of one row."""

    def __init__(self, model: Autoencoder) -> None:
        weights = [w.detach().numpy() for w in model.parameters()]
        pairs = list(zip(weights[::2], weights[1::2], strict=True))
        stages = len(model.architecture.hidden)
        self.shrink, self.to_code = pairs[:stages], pairs[stages]
        self.from_code, self.grow = pairs[stages + 1], pairs[stages + 2 :]
        self.gaps = model.architecture.inputs > model.architecture.outputs
        *size, self.channels = model.architecture.shape
        self.sizes = [(1, *size)[-2:]]
        for _ in range(stages):
            self.sizes.append(tuple((n + 1) // 2 if n > 2 else n for n in self.sizes[-1]))

    def raw(self, x_E: np.ndarray) -> np.ndarray:
        grid = self.planes(x_E[: len(x_E) // (1 + self.gaps)], self.sizes[0])
        if self.gaps:
            grid += self.planes(x_E[len(x_E) // 2 :], self.sizes[0])
        for (weight, bias), size in zip(self.shrink, self.sizes[1:], strict=True):
            grid = silu(convolve(grid, weight, bias, size))
        code = self.to_code[0] @ self.flat(grid) + self.to_code[1]
        row = self.from_code[0] @ code + self.from_code[1]
        grid = self.planes(row, self.sizes[-1])
        for (weight, bias), size in zip(self.grow, self.sizes[-2::-1], strict=True):
            coarse = (len(grid[0]), len(grid[0][0]))
            grid = spread(convolve(silu(grid), weight, bias, coarse), size)
        return self.flat(grid)

    @staticmethod
    def planes(row: np.ndarray, size: tuple[int, int]) -> list[np.ndarray]:
        """A row to one array a channel: pixel (i, j), channel c stands at (i * W + j) * C + c."""
        h, w = size
        count = len(row) // (h * w)
        return [
            np.array([[row[(i * w + j) * count + c] for j in range(w)] for i in range(h)])
            for c in range(count)
        ]

    @staticmethod
    def flat(grid: list[np.ndarray]) -> np.ndarray:
        h, w = grid[0].shape
        return np.array([plane[i, j] for i in range(h) for j in range(w) for plane in grid])


def silu(grid: list[np.ndarray]) -> list[np.ndarray]:
    return [plane / (1 + np.exp(-plane)) for plane in grid]


def convolve(
    grid: list[np.ndarray], weight: np.ndarray, bias: np.ndarray, size: tuple[int, int]
) -> list[np.ndarray]:
    """Centred on every pixel, or on every second where `size` is smaller; zeros around."""
    if weight.ndim == 3:
        weight = weight[:, :, None, :]
    high, wide = weight.shape[2:]
    h, w = grid[0].shape
    si, sj = 1 + (size[0] < h), 1 + (size[1] < w)
    padded = [np.pad(plane, ((high // 2,) * 2, (wide // 2,) * 2)) for plane in grid]
    answer = []
    for kernel, start in zip(weight, bias, strict=True):
        plane = np.full(size, start)
        for i, j in np.ndindex(*size):
            for own, channel in zip(kernel, padded, strict=True):
                plane[i, j] += (own * channel[si * i : si * i + high, sj * j : sj * j + wide]).sum()
        answer.append(plane)
    return answer


def spread(grid: list[np.ndarray], size: tuple[int, int]) -> list[np.ndarray]:
    """Pixel (i, j) lies in the coarse pixel (i // 2, j // 2), or (i, j) where sizes are equal."""
    h, w = grid[0].shape
    fi, fj = 1 + (size[0] > h), 1 + (size[1] > w)
    channels = len(grid) // (fi * fj)
    answer = [np.empty(size) for _ in range(channels)]
    for i, j in np.ndindex(*size):
        for c in range(channels):
            part = ((i % fi) * fj + j % fj) * channels + c
            answer[c][i, j] = grid[part][i // fi, j // fj]
    return answer


@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize(
    ("shape", "hidden"),
    [
        ((6, 5, 2), (3, 4)),
        ((4, 4, 1), (2, 3, 2)),
        ((2, 7, 3), (4,)),
        ((9, 1), (3, 2)),
        ((8, 3), (2, 3, 4)),
    ],
)
def test_computes_what_its_docstring_says(shape, hidden, gaps):
    model = made_for(shape, hidden, gaps=gaps).double()
    x_BE = torch.randn(2, model.architecture.inputs, dtype=torch.float64)
    expected = np.stack([Loops(model).raw(x_E) for x_E in x_BE.numpy()])
    torch.testing.assert_close(model(x_BE).detach(), torch.from_numpy(expected))


@pytest.mark.parametrize(("stages", "steps"), [(1, 5), (2, 13), (3, 29)])
def test_a_feature_of_a_window_sees_as_many_steps_as_said(stages, steps):
    model = made_for((64, 2), (3,) * stages)
    x_BE = torch.randn(1, 128, requires_grad=True)
    grids = []
    last = [m for m in model.encoder if isinstance(m, nn.Conv1d)][-1]
    last.register_forward_hook(lambda *of: grids.append(of[-1]))
    model.code(x_BE)
    middle = grids[0].shape[-1] // 2
    (gradient_BE,) = torch.autograd.grad(grids[0][0, :, middle].sum(), x_BE)
    assert gradient_BE.reshape(64, 2).ne(0).any(dim=1).sum() == steps


# --- learning -------------------------------------------------------------------------------------


def blobs(n: int, h: int, w: int, draw: np.random.Generator) -> np.ndarray:
    """Images of one bright spot each, with its shadow in a second channel. Shape (n, F)."""
    y, x = draw.uniform(0, h - 1, (n, 1, 1)), draw.uniform(0, w - 1, (n, 1, 1))
    i, j = np.arange(h)[:, None], np.arange(w)
    spot = np.exp(-((i - y) ** 2 + (j - x) ** 2) / 4)
    return np.stack([spot, 1 - spot], axis=-1).reshape(n, -1)


def sines(n: int, length: int, _: int, draw: np.random.Generator) -> np.ndarray:
    """Windows of two channels that swing with any phase and size, one ahead. Shape (n, F)."""
    phase, size = draw.uniform(0, 2 * np.pi, (n, 1, 1)), draw.uniform(0.5, 1.5, (n, 1, 1))
    swing = 4 * np.pi * np.arange(length)[:, None] / length + phase + np.array([0, 1])
    return (size * np.sin(swing)).reshape(n, -1)


@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize(("make", "shape"), [(blobs, (12, 9, 2)), (sines, (19, 2))])
def test_learns_what_varies_in_unseen_rows(make, shape, gaps):
    draw = np.random.default_rng(0)
    rows = torch.tensor(make(600, *shape[:2], draw), dtype=torch.float32)
    gone = torch.from_numpy(draw.random(rows.shape) < 0.1)
    shown = torch.cat([rows.masked_fill(gone, 0), gone.float()], dim=1) if gaps else rows
    model = made_for(shape, (8, 16), latent_dim=4, gaps=gaps)
    adam = torch.optim.Adam(model.parameters(), lr=5e-3)
    for step in range(300):
        batch = torch.arange(64 * step, 64 * step + 64) % 500
        adam.zero_grad()
        (model(shown[batch]) - rows[batch]).square().mean().backward()
        adam.step()
    with torch.no_grad():
        error = (model(shown[500:]) - rows[500:]).square().mean()
    of_the_mean = (rows[500:] - rows[:500].mean(dim=0)).square().mean()
    assert error < 0.2 * of_the_mean
