"""Made-up rows with a known noiseless signal: what a loss should find under noise of each kind.

The signal s of D columns is standardised (tanh(z W1 + b1) W2 + z W3) with z in R^3; a family says
what is observed of it. Shapes: N rows, D columns.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from hourglass.catalog import nearest
from hourglass.config import Preprocess
from hourglass.errors import UnknownNameError
from hourglass.schema import Array
from hourglass.sources import Chunk, Layout, Source

BLOCK = 4096  # rows that one generator draws; the rows are the same however they are read
REFERENCE = 1 << 16  # rows by which the signal is standardised
LATENT, HIDDEN = 3, 16
Generator = np.random.Generator


@dataclass(frozen=True)
class Family:
    """One kind of noise.

    Attributes:
        mean: From the standardised signal, (N, D), to what a reconstruction should find: the mean
            of the data, in the data's units; of outlier families the clean signal.
        observe: From a generator, that mean and a size of the noise of each column, (D,), to data.
        about: In a few words.
    """

    mean: Callable[[Array], Array]
    observe: Callable[[Generator, Array, Array], Array]
    about: str


def _signal_itself(s_ND: Array) -> Array:
    return s_ND


def _additive(draw: Callable[[Generator, tuple[int, ...]], Array]) -> Any:
    def observe(generator: Generator, m_ND: Array, _: Array) -> Array:
        return m_ND + draw(generator, m_ND.shape)

    return observe


def _cell_outliers(generator: Generator, m_ND: Array, _: Array) -> Array:
    far_ND = generator.random(m_ND.shape) < 0.05
    noise_ND = generator.normal(size=m_ND.shape)
    return np.asarray(m_ND + np.where(far_ND, 4.0, 0.2) * noise_ND)


def _row_outliers(generator: Generator, m_ND: Array, _: Array) -> Array:
    far_N = generator.random((len(m_ND), 1)) < 0.05
    noise_ND = generator.normal(size=m_ND.shape)
    return np.asarray(m_ND + np.where(far_N, 4.0, 0.2) * noise_ND)


def _columnwise(generator: Generator, m_ND: Array, size_D: Array) -> Array:
    return np.asarray(m_ND + size_D * generator.normal(size=m_ND.shape))


def _value_dependent(generator: Generator, m_ND: Array, _: Array) -> Array:
    return np.asarray(m_ND + (0.1 + 0.4 * np.abs(m_ND)) * generator.normal(size=m_ND.shape))


def _bernoulli(generator: Generator, m_ND: Array, _: Array) -> Array:
    return (generator.random(m_ND.shape) < m_ND).astype(np.float64)


def _beta(generator: Generator, m_ND: Array, _: Array) -> Array:
    return np.asarray(generator.beta(8 * m_ND, 8 * (1 - m_ND)))


def _tilt(s_ND: Array) -> Array:
    """Natural parameter of a continuous Bernoulli distribution, kept off its series at 0."""
    eta_ND = 2.5 * s_ND
    return np.where(np.abs(eta_ND) < 1e-3, 1e-3, eta_ND)


def _continuous_bernoulli_mean(s_ND: Array) -> Array:
    eta_ND = _tilt(s_ND)
    return np.asarray(1 / -np.expm1(-eta_ND) - 1 / eta_ND)


def _continuous_bernoulli(generator: Generator, m_ND: Array, _: Array) -> Array:
    """By inversion of its distribution function, at the parameter whose mean this is."""
    knots = np.linspace(-60.0, 60.0, 24001)
    means = _continuous_bernoulli_mean(knots / 2.5)
    eta_ND = np.interp(m_ND, means, knots)
    eta_ND = np.where(np.abs(eta_ND) < 1e-3, 1e-3, eta_ND)
    u_ND = generator.random(m_ND.shape)
    return np.clip(np.log1p(u_ND * np.expm1(eta_ND)) / eta_ND, 0.0, 1.0)


def _salt_and_pepper(generator: Generator, m_ND: Array, _: Array) -> Array:
    noisy_ND = np.clip(m_ND + 0.05 * generator.normal(size=m_ND.shape), 0, 1)
    u_ND = generator.random(m_ND.shape)
    return np.where(u_ND < 0.05, 0.0, np.where(u_ND > 0.95, 1.0, noisy_ND))


def _negative_binomial(generator: Generator, m_ND: Array, _: Array) -> Array:
    return generator.poisson(generator.gamma(2.0, m_ND / 2.0)).astype(np.float64)


def _unit(slope: float) -> Callable[[Array], Array]:
    return lambda s_ND: np.asarray(special.expit(slope * s_ND))


def _rate(s_ND: Array) -> Array:
    return np.asarray(np.exp(0.7 + 0.8 * s_ND))


FAMILIES: Mapping[str, Family] = {
    "gauss": Family(
        _signal_itself, _additive(lambda g, shape: 0.4 * g.normal(size=shape)), "normal noise"
    ),
    "laplace": Family(
        _signal_itself, _additive(lambda g, shape: 0.3 * g.laplace(size=shape)), "Laplace noise"
    ),
    "student": Family(
        _signal_itself,
        _additive(lambda g, shape: 0.25 * g.standard_t(2, size=shape)),
        "Student-t noise with 2 degrees of freedom",
    ),
    "cell_outliers": Family(_signal_itself, _cell_outliers, "5 % of the cells far off"),
    "row_outliers": Family(_signal_itself, _row_outliers, "5 % of the rows far off"),
    "columnwise": Family(_signal_itself, _columnwise, "noise of a size of its own in each column"),
    "value_dependent": Family(_signal_itself, _value_dependent, "noise that grows with the value"),
    "skewed": Family(
        _signal_itself,
        _additive(lambda g, shape: 0.5 * (g.exponential(size=shape) - 1)),
        "skewed noise (exponential, of mean 0)",
    ),
    "bernoulli": Family(_unit(2.5), _bernoulli, "flags"),
    "beta": Family(_unit(1.5), _beta, "shares between 0 and 1"),
    "continuous_bernoulli": Family(
        _continuous_bernoulli_mean, _continuous_bernoulli, "grey values, most near the ends"
    ),
    "salt_and_pepper": Family(_unit(1.5), _salt_and_pepper, "10 % of the cells at 0 or 1"),
    "poisson": Family(
        _rate, lambda g, m_ND, _: g.poisson(m_ND).astype(np.float64), "counts, Poisson"
    ),
    "negative_binomial": Family(_rate, _negative_binomial, "counts, over-dispersed"),
}


@dataclass(frozen=True)
class _Weights:
    """The network that makes the signal, and the sizes of the columns' noise."""

    first: Array
    bias: Array
    second: Array
    direct: Array
    offset_D: Array
    scale_D: Array
    size_D: Array

    @classmethod
    def drawn(cls, columns: int, seed: int) -> "_Weights":
        generator = np.random.default_rng([seed, 0])
        first = generator.normal(size=(LATENT, HIDDEN))
        bias = generator.normal(size=HIDDEN)
        second = generator.normal(size=(HIDDEN, columns)) / np.sqrt(HIDDEN)
        direct = 0.5 * generator.normal(size=(LATENT, columns))
        size_D = np.exp(generator.uniform(np.log(0.05), np.log(1.5), columns))
        raw_ND = _raw(generator.normal(size=(REFERENCE, LATENT)), first, bias, second, direct)
        return cls(first, bias, second, direct, raw_ND.mean(axis=0), raw_ND.std(axis=0), size_D)

    def signal(self, z_NL: Array) -> Array:
        """The standardised signal, (N, D)."""
        raw_ND = _raw(z_NL, self.first, self.bias, self.second, self.direct)
        return np.asarray((raw_ND - self.offset_D) / self.scale_D)


def _raw(z_NL: Array, first: Array, bias: Array, second: Array, direct: Array) -> Array:
    return np.asarray(np.tanh(z_NL @ first + bias) @ second + z_NL @ direct)


class Synthetic(Source):
    """A noise family by the name in preprocess.dataset; rows and columns as params.yaml says."""

    @property
    def title(self) -> str:
        """See `Source.title`."""
        return f"synthetic: {self.options.dataset}"

    def layout(self) -> Layout:
        """See `Source.layout`.

        Raises:
            UnknownNameError: no such family.
        """
        _family(self.options.dataset)
        columns = self.options.synthetic.columns
        return Layout(tuple(f"c{i}" for i in range(columns)), {})

    def chunks(self) -> Iterator[Chunk]:
        """See `Source.chunks`."""
        own, family = self.options, _family(self.options.dataset)
        weights = _Weights.drawn(own.synthetic.columns, own.seed)
        for block in range(-(-own.synthetic.rows // BLOCK)):
            generator, z_NL = _block(own.seed, block)
            data_ND = family.observe(generator, family.mean(weights.signal(z_NL)), weights.size_D)
            yield Chunk(data_ND[: own.synthetic.rows - block * BLOCK])


def _block(seed: int, block: int) -> tuple[Generator, Array]:
    generator = np.random.default_rng([seed, 1, block])
    return generator, generator.normal(size=(BLOCK, LATENT))


def _family(name: str) -> Family:
    if name not in FAMILIES:
        raise UnknownNameError(
            f"params.yaml: preprocess.dataset: unknown noise family {name!r}"
            f"{nearest(name, FAMILIES)} (known: {', '.join(FAMILIES)})"
        )
    return FAMILIES[name]


def signal(options: Preprocess, row_N: NDArray[np.int64]) -> Array:
    """What a reconstruction of these rows should find, in the data's units, (N, D).

    Args:
        options: Section preprocess, as the source had it.
        row_N: Numbers of rows, from 0.

    Raises:
        UnknownNameError: no such family.
    """
    family = _family(options.dataset)
    weights = _Weights.drawn(options.synthetic.columns, options.seed)
    found_ND = np.empty((len(row_N), options.synthetic.columns))
    for block in np.unique(row_N // BLOCK):
        at = row_N // BLOCK == block
        _, z_NL = _block(options.seed, int(block))
        found_ND[at] = family.mean(weights.signal(z_NL[row_N[at] - block * BLOCK]))
    return found_ND


SOURCE = Synthetic
