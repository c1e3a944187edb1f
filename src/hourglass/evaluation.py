"""Scores trained models and baselines on test rows.

Shapes: N test rows, F features, W numbers of a reconstruction (see `hourglass.wide`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from hourglass import baselines, codelength, hiding, metrics, scaling, trials, wide
from hourglass.bundle import Bundle, of_rows
from hourglass.catalog import listed, nearest
from hourglass.codelength import Alone
from hourglass.errors import ConfigError
from hourglass.moments import evenly
from hourglass.paths import Paths, existing, read_csv
from hourglass.schema import Schema

Array = NDArray[np.float64]
Label = str | int | float
Bundles = Mapping[str, Mapping[int, Bundle]]  # loss -> seed -> its trained model
RowBits = tuple[Array, Array]  # of each row; of each row asked, its values being hidden
Answer = tuple[Array, dict[str, float], RowBits]  # bits of each column, metrics, bits of each row
# Loss, or "pca" -> width of the bottleneck -> bits per feature, and per hidden value.
ByWidth = Mapping[str, Mapping[int, tuple[float, float]]]
Answering = Callable[[Array], Array]  # from rows to their reconstructions, wide

PLAIN = ("bits_per_feature", "bits_per_feature_masked", "rmse", "mae")
# Values that are scored; of larger tests evenly spaced rows are: an interval over eight million
# values is dominated by the seeds.
SCORED_VALUES = 1 << 23


@dataclass(frozen=True)
class Test:
    """The rows that are scored.

    Attributes:
        rows_NF: Original units, float64, NaN where a value is missing.
        wide_NW: The same in wide form.
        number_N: Their numbers in the source.
        label_N: Their labels; None if there are none.
        count_N: How much each row counts; None: all the same.
        unusual_N: 1 where the label says that a row is anomalous, 0 where not, NaN where there is
            no label; None: labels tell nothing of the kind.
        of: Test rows in all.
        scale_W: What errors are divided by, see `metrics.scales`.
    """

    rows_NF: Array
    wide_NW: Array
    number_N: NDArray[np.int64]
    label_N: Array | None
    count_N: Array | None
    unusual_N: Array | None
    of: int
    scale_W: Array

    @cached_property
    def asked(self) -> NDArray[np.int64] | slice:
        """The rows whose values are hidden from the models, see `hiding`."""
        return hiding.asked(self.rows_NF)

    def measured(
        self,
        bits_NF: Array,
        masked_NF: Array,
        surprise_NF: Array,
        extra_N: Array,
        answer_NW: Array,
    ) -> dict[str, float]:
        """Both code lengths in bits per feature first, then every metric.

        Args:
            bits_NF: Of each value.
            masked_NF: Of each value of the rows `asked` while it is hidden.
            surprise_NF: See `Bundle.surprise`.
            extra_N: Of each row beside its values.
            answer_NW: Reconstructions.
        """
        seen_NF, few = ~np.isnan(self.rows_NF), self.asked
        row_N, masked_N = bits_NF.sum(axis=1) + extra_N, masked_NF.sum(axis=1) + extra_N[few]
        few_N = None if self.count_N is None else self.count_N[few]
        return {
            "bits_per_feature": metrics.bits_per_feature(bits_NF, seen_NF, extra_N, self.count_N),
            "bits_per_feature_masked": metrics.bits_per_feature(
                masked_NF, seen_NF[few], extra_N[few], few_N
            ),
            **metrics.measure(self.wide_NW, answer_NW, self.scale_W),
            **self._detected(of_rows(surprise_NF, extra_N), slice(None), ""),
            **self._detected(row_N, slice(None), "_code_length"),
            **self._detected(masked_N, few, "_masked"),
        }

    def _detected(
        self, bits_N: Array, at: NDArray[np.int64] | slice, suffix: str
    ) -> dict[str, float]:
        """How well a score in bits tells anomalous rows, if labels say which they are."""
        if self.unusual_N is None:
            return {}
        found = metrics.detection(bits_N, self.unusual_N[at])
        return {f"{name}{suffix}": value for name, value in found.items()}


def open_test(paths: Paths, schema: Schema, scale_W: Array, anomalous: Label) -> Test:
    """Opens the test rows.

    Args:
        paths: Where they are.
        schema: Their columns.
        scale_W: See `Test`.
        anomalous: Which label says that a row is anomalous, see `unusual`.

    Raises:
        ConfigError: no row has that label.
    """
    rows_NF = np.load(existing(paths.values("test"), "preprocess"), mmap_mode="r")
    at = evenly(len(rows_NF), SCORED_VALUES // rows_NF.shape[1])
    chosen_NF = np.array(rows_NF[at], dtype=np.float64)
    beside = {
        what: np.load(file)[at]
        for what in ("rows", "labels", "weights")
        if (file := paths.beside("test", what)).exists()
    }
    return Test(
        rows_NF=chosen_NF,
        wide_NW=wide.expand(chosen_NF, schema.columns),
        number_N=beside["rows"],
        label_N=beside.get("labels"),
        count_N=beside.get("weights"),
        unusual_N=unusual(beside.get("labels"), schema.labels, anomalous),
        of=len(rows_NF),
        scale_W=scale_W,
    )


def unusual(label_N: Array | None, names: Sequence[str], anomalous: Label) -> Array | None:
    """Which rows are anomalous by their labels: 1, else 0; NaN where there is no label.

    Args:
        label_N: Labels or their codes, NaN where there is none; None: no labels.
        names: What codes stand for; empty if labels are numbers.
        anomalous: The label of anomalous rows; "": the rarer one of two, of more none.

    Raises:
        ConfigError: no row has that label.
    """
    if label_N is None:
        if anomalous != "":
            raise ConfigError(
                f"params.yaml: evaluate.anomalous: {anomalous!r}, but the rows have no labels: "
                "name their column in preprocess.label, or set it to ''"
            )
        return None
    values, counts = np.unique(label_N[~np.isnan(label_N)], return_counts=True)
    texts = [label_text(value, names) for value in values]
    if anomalous == "":
        if len(values) != 2:
            return None
        wanted = values[1 - int(np.argmin(counts[::-1]))]
    elif _text_of(anomalous) in texts:
        wanted = values[texts.index(_text_of(anomalous))]
    else:
        near = nearest(_text_of(anomalous), texts)
        raise ConfigError(
            f"params.yaml: evaluate.anomalous: no test row has the label {anomalous!r}{near} "
            f"(labels: {listed(texts)})"
        )
    return np.where(np.isnan(label_N), np.nan, label_N == wanted)


def label_text(label: float, names: Sequence[str]) -> str:
    """A label as people write it; "" where there is none."""
    if np.isnan(label):
        return ""
    return names[int(label)] if names else _text_of(float(label))


def _text_of(value: Label) -> str:
    """Labels may be identifiers of many digits: none may look like another."""
    if not isinstance(value, float):
        return str(value)
    return str(int(value)) if value.is_integer() else f"{value:.15g}"


@dataclass
class Scores:
    """What test rows said of one loss or baseline, one value a seed.

    Attributes:
        metrics: Metric -> a value a seed; `bits_per_feature` is the first of them.
        column_bits: Mean bits of each column, an array (F,) a seed.
        row_bits: Bits of each row, and of the rows asked for hidden values; of baselines only.
    """

    metrics: dict[str, list[float]] = field(default_factory=dict)
    column_bits: list[Array] = field(default_factory=list)
    row_bits: list[RowBits] = field(default_factory=list)

    def add(
        self, column_bits_F: Array, measured: Mapping[str, float], row_bits: RowBits | None = None
    ) -> None:
        """Adds a seed."""
        for name, value in measured.items():
            self.metrics.setdefault(name, []).append(value)
        self.column_bits.append(column_bits_F)
        if row_bits is not None:
            self.row_bits.append(row_bits)

    def mean(self, name: str) -> float:
        """Mean over the seeds."""
        return float(np.mean(self.metrics[name]))

    def ruler(self, objective: str) -> Array:
        """What the ruler says, a value a seed, (K,); see `trials.objective`."""
        metric = trials.metric_of(objective)
        return np.array([trials.objective(objective, {metric: v}) for v in self.metrics[metric]])


def score_losses(bundles: Bundles, test: Test) -> dict[str, Scores]:
    """Scores every trained model; calibrations are those of its own validation rows."""
    scores = {loss: Scores() for loss in bundles}
    for loss, by_seed in bundles.items():
        for bundle in by_seed.values():
            answer_NW, extra_N = bundle.written(test.rows_NF)
            bits_NF = bundle.code_length(test.rows_NF, answer_NW)
            masked_NF = bundle.masked_code_length(test.rows_NF[test.asked])
            surprise_NF = bundle.surprise(test.rows_NF, answer_NW)
            measured = test.measured(bits_NF, masked_NF, surprise_NF, extra_N, answer_NW)
            scores[loss].add(_column_bits(bits_NF, test), measured)
    return scores


def _column_bits(bits_NF: Array, test: Test) -> Array:
    """Mean bits of each column's observed values, (F,)."""
    seen_F = (~np.isnan(test.rows_NF)).sum(axis=0)
    return np.asarray(bits_NF.sum(axis=0) / np.maximum(seen_F, 1))


def score_baselines(
    paths: Paths, by_seed: Mapping[int, Bundle], test: Test, scaler: str
) -> dict[str, Scores]:
    """Scores the baselines under the same ruler, fitted on the same rows as the models.

    Args:
        paths: Where training and validation rows are.
        by_seed: The models of one loss, whose splits and bottleneck the baselines share.
        test: The rows that are scored.
        scaler: The advised scaler: a PCA depends on the scale of the columns.
    """
    scores = {name: Scores() for name in baselines.BASELINES}
    known: dict[int | None, dict[str, Answer]] = {}
    for seed, bundle in by_seed.items():
        split = seed if bundle.recipe.resplit else None
        if split not in known:
            latent_dim = bundle.recipe.architecture.latent_dim
            rows = SCORED_VALUES // len(bundle.schema.columns)
            data = trials.load(paths, bundle.scaler.name, split, rows)
            known[split] = _answers(data, test, scaler, latent_dim)
        for name, answer in known[split].items():
            scores[name].add(*answer)
    return scores


def _answers(data: trials.Data, test: Test, scaler: str, latent_dim: int) -> dict[str, Answer]:
    """What test rows say of each baseline, fitted on the rows of one split."""
    fitting, columns = _fitting(data, scaler), data.schema.columns

    def masked(answer: Answering, rows_NF: Array) -> Array:
        return hiding.answers(answer, rows_NF, columns)[1]

    alone_NF = Alone.of(data.val_NF, columns).bits(test.rows_NF)
    answers, val_NF, few_NF = {}, data.val_NF[hiding.asked(data.val_NF)], test.rows_NF[test.asked]
    for name in baselines.BASELINES:
        answer = fitting(name, latent_dim)
        fitted = codelength.fit(data.val_NF, answer(data.val_NF), columns)
        answer_NW = answer(test.rows_NF)
        bits_NF = codelength.bits(fitted, test.rows_NF, answer_NW)
        fitted = codelength.fit(val_NF, masked(answer, val_NF), columns)
        masked_NF = codelength.bits(fitted, few_NF, masked(answer, few_NF))
        surprise_NF, none_N = (bits_NF + alone_NF) / 2, np.zeros(len(bits_NF))
        measured = test.measured(bits_NF, masked_NF, surprise_NF, none_N, answer_NW)
        rows = bits_NF.sum(axis=1), masked_NF.sum(axis=1)
        answers[name] = _column_bits(bits_NF, test), measured, rows
    return answers


def _fitting(data: trials.Data, scaler: str) -> Callable[[str, int], Answering]:
    """Fits a baseline of some width to training rows; it answers in original units."""
    # The advised scaler need not be one that normalize was told to fit.
    original_NF, columns = data.scaler.inverse(data.train_NF), data.schema.columns
    scale = scaling.fit(scaler, original_NF, data.schema).widened(data.schema)

    def shown(rows_NF: Array) -> Array:
        """Wide form, scaled, gaps filled with the means over training rows."""
        wide_NW = wide.expand(rows_NF, columns)
        return scale.transform(np.where(np.isnan(wide_NW), data.mean_W, wide_NW))

    train_NW = shown(original_NF)

    def fitted(name: str, latent_dim: int) -> Answering:
        answer = baselines.fit(name, train_NW, latent_dim)
        return lambda rows_NF: scale.inverse(answer(shown(rows_NF)))

    return fitted


def by_width(paths: Paths, by_seed: Mapping[int, Bundle], scaler: str) -> ByWidth:
    """Bits per feature of validation rows by the width of the bottleneck, one fit each.

    Args:
        paths: Where the fits of `train.latent_dims` are told; without them nothing is found.
        by_seed: The models of one loss, whose first split the PCA shares.
        scaler: The advised scaler, as in `score_baselines`.
    """
    found: dict[str, dict[int, tuple[float, float]]] = {}
    for fit in read_csv(paths.train("widths.csv"), "train"):
        if not fit["failure"]:
            own = found.setdefault(fit["loss"], {})
            shown, hidden = (float(fit[name]) for name in PLAIN[:2])
            own[int(fit["latent_dim"])] = (shown, hidden)
    widths = sorted({width for own in found.values() for width in own})
    if len(widths) < 2:
        return {}
    seed = min(by_seed)
    bundle = by_seed[seed]
    rows = SCORED_VALUES // len(bundle.schema.columns)
    split = seed if bundle.recipe.resplit else None
    data = trials.load(paths, bundle.scaler.name, split, rows)
    fitting = _fitting(data, scaler)
    found["pca"] = {width: _validated(fitting("pca", width), data) for width in widths}
    return found


def _validated(answer: Answering, data: trials.Data) -> tuple[float, float]:
    """Bits per feature of validation rows, and of values hidden from the model."""
    columns, few = data.schema.columns, hiding.asked(data.val_NF)

    def told(rows_NF: Array, answer_NW: Array, count_N: Array | None) -> float:
        bits_NF = codelength.cross_fitted_bits(rows_NF, answer_NW, columns)
        none_N = np.zeros(len(rows_NF))
        return metrics.bits_per_feature(bits_NF, ~np.isnan(rows_NF), none_N, count_N)

    few_NF, count_N = data.val_NF[few], data.count_val_N
    hidden_NW = hiding.answers(answer, few_NF, columns)[1]
    few_N = None if count_N is None else count_N[few]
    return told(data.val_NF, answer(data.val_NF), count_N), told(few_NF, hidden_NW, few_N)
