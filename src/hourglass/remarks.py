"""What to know beside the verdict, in sentences: the delivered model, ties, what was left out."""

import math

import numpy as np

from hourglass import evaluation, trials
from hourglass.catalog import counted, listed
from hourglass.outcome import Findings
from hourglass.paths import Paths, read_csv
from hourglass.schema import Column, Kind

# Beyond twice what its width explains, the gap between hidden and shown values is copied noise: on
# made-up data it is 1.1 to 1.5 times that at the signal's width, 2.6 to 3.5 times at a wider one.
COPIES, NOTABLE = 2.0, 0.1
BEATEN = (
    "a PCA of the same bottleneck: more epochs, more trials or wider model.hidden layers may help"
)
NAMED = 3  # columns that a sentence names


def failed(paths: Paths) -> dict[str, str]:
    """Losses that a seed failed, each with its first cause: they take no part in the verdict."""
    fits = read_csv(paths.train("fits.csv"), "train")
    return {f["loss"]: f["failure"] for f in reversed(fits) if f["failure"]}


def _fruitless(paths: Paths) -> dict[str, str]:
    """Losses without one good trial, each with its first cause."""
    trials_ = read_csv(paths.search("trials.csv"), "search")
    found = {t["loss"] for t in trials_ if t["state"] == "complete"}
    return {t["loss"]: t["failure"] for t in reversed(trials_) if t["loss"] not in found}


def left_out(paths: Paths) -> list[str]:
    """Says of each loss without a place in the verdict what failed."""
    return [
        f"{loss} takes no part in the verdict: {what} failed ({cause})."
        for what, failed in (("every trial", _fruitless(paths)), ("a fit", failed(paths)))
        for loss, cause in failed.items()
    ]


def remarks(found: Findings) -> list[str]:
    """What to know beside the verdict, in sentences."""
    numbers = found.metrics
    agree = (
        "Test rows agree with the choice."
        if numbers["test_rows_agree"]
        else f"Test rows disagree: on them {numbers['best_on_test_rows']} is ahead, a loss that "
        "validation rows call worse. The choice stays: to choose by test rows would spoil them."
    )
    alone = (
        ["Only one loss competed: there is nothing to compare it with but the baselines."]
        if numbers["detectable_difference"] is None
        else []
    )
    hidden, mean = numbers["imputation_nrmse"], numbers["imputation_nrmse_mean"]
    return [
        *alone,
        f"{agree} {_delivered(found)} {_against_pca(found)}",
        *([f"{noise}."] if (noise := copied(found)) else []),
        f"Values of validation rows that were hidden from it are filled in with an error of "
        f"{hidden:.3f} standard deviations; their column's mean would be off by {mean:.3f}.",
        *_other_ruler(found),
        *_detected(found),
        *found.edges,
    ]


def _delivered(found: Findings) -> str:
    """Which fit it is, why that one, and its number beside that of the leaderboard."""
    numbers, loss = found.metrics, found.decision.selected
    seeds = found.decision.seeds
    easy = ", once what its rows cost the other losses is taken off" if len(found.order) > 1 else ""
    of = (
        f" (evenly spaced among {found.test.of})" if found.test.of > len(found.test.rows_NF) else ""
    )
    return (
        f"Delivered is one of the {seeds} fits of {loss}, that of seed {found.seed}: the best on "
        f"validation rows{easy}. It needs {numbers['test']:.3f} {numbers['ruler']} on "
        f"{numbers['rows_test']} test rows{of}; the leaderboard's "
        f"{numbers['test_mean_of_seeds']:.3f} is the mean of the {seeds}, "
        "and its interval is that of the mean: a single fit may lie outside."
    )


def _against_pca(found: Findings) -> str:
    """The PCA of the delivered fit's split, told from the mean over the seeds' splits."""
    own, width = found.metrics["test_pca"], found.latent_dim
    saved = own - found.metrics["test"]
    if saved <= 0:
        return f"That is {-saved:.3f} more than {BEATEN}."
    mean = (
        f"; the leaderboard's, {found.pca:.3f}, is the mean over the seeds' rows"
        if f"{own:.3f}" != f"{found.pca:.3f}"
        else ""
    )
    return (
        f"That saves {saved:.3f} against a PCA of the same bottleneck ({width}), fitted on the "
        f"same rows: {own:.3f}{mean}."
    )


def terms(found: Findings) -> dict[str, str]:
    """The words of the leaderboard, each with its meaning."""
    level, seeds, margin = found.level, found.decision.seeds, found.margin
    return {
        **_bits(found),
        "validation rows decide": "behind the best is the mean difference to it, paired over the "
        f"{counted(seeds, 'seed')}, with its {level} t interval; adjusted p is that of a paired t "
        "test, corrected for the number of losses and for the best having been picked.",
        "test rows report": f"they were opened once, after the choice: means over the {seeds} "
        f"seeds, with {level} t intervals.",
        "best, worse": "the lowest mean; behind it by more than the margin of "
        f"{margin:g} bits, with an adjusted p below {found.decision.alpha:g}.",
        "tied": f"for one of two reasons. Equal: the mean is within {margin:g} bits of the best. "
        f"Unclear: it is further behind, but {counted(seeds, 'seed')} scatter too much to tell "
        "that from chance; more (train.seeds) may.",
        "skill vs PCA": f"{found.unit} saved against a PCA of the same bottleneck, "
        f"{found.pca:.3f} on average over the seeds' rows.",
        **_density(found),
    }


def _bits(found: Findings) -> dict[str, str]:
    """What the ruler counts, and the other code length in the leaderboard."""
    length = (
        "how many it takes to write down a held-out value to the data's own resolution, given its "
        "reconstruction; lower is better, and losses and scalers compare."
    )
    if not found.objective.startswith("code_length"):
        error = "log2 of the standardised error: one less is half the error; losses compare."
        return {"bits": error, "bits per feature": length}
    return {
        "bits": length,
        "hidden value": "one that was kept from the model, which told it from the rest of its row: "
        "to copy noise doesn't help there.",
    }


def by_density(column: Column) -> bool:
    """Whether a column has no resolution, so that its code length is that of a density."""
    return column.kind is Kind.CONTINUOUS and column.resolution is None


def _density(found: Findings) -> dict[str, str]:
    names = [c.name for c in found.schema.columns if by_density(c)]
    if not names:
        return {}
    every = len(names) == len(found.schema.columns)
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    which = "all columns" if every else f"{listed(names[:NAMED])}{more}"
    return {
        "bits below 0": f"{which} hold values without a smallest step, which are coded by a "
        "density: it may exceed 1, and its bits fall below 0. Of these only differences mean "
        "something, not the bits themselves."
    }


def _other_ruler(found: Findings) -> list[str]:
    """Which loss the code length that did not choose would have put ahead, on test rows."""
    shown = found.objective == "code_length"
    metric, unit = trials.RULERS["code_length_masked" if shown else "code_length"]
    bits = {s.loss: found.scores[s.loss].mean(metric) for s in found.decision.standings}
    ahead, selected = min(bits, key=lambda loss: bits[loss]), found.decision.selected
    lead = bits[selected] - bits[ahead]
    if lead <= found.margin:
        return []
    why = "fill gaps, or judge values by the others of their row" if shown else "compress rows"
    return [
        f"Counted in {unit}, {ahead} is ahead of {selected} by {lead:.3f} on test rows. If the "
        f"model is to {why}, let that choose: search.objective: "
        f"{'code_length_masked' if shown else 'code_length'}."
    ]


def _detected(found: Findings) -> list[str]:
    """How well the delivered model's bits tell anomalous rows, where labels say which."""
    own, unusual_N = found.metrics, found.test.unusual_N
    if unusual_N is None or "auroc" not in own:
        return []
    count, of = int(np.nansum(unusual_N)), int((~np.isnan(unusual_N)).sum())
    label = evaluation.label_text(
        float(np.asarray(found.test.label_N)[unusual_N == 1][0]), found.schema.labels
    )
    pca = found.baselines["pca"].mean("auroc")
    return [
        f"{count} of {of} test rows are labelled {label!r}. How surprising a row is "
        f"(surprise_bits) tells them from the others with an AUROC of {own['auroc']:.3f} (average "
        f"precision {own['average_precision']:.3f}), its code length with "
        f"{own['auroc_code_length']:.3f}; with a PCA in the model's place the first would be "
        f"{pca:.3f}. No label was used in choosing."
    ]


def copied(found: Findings) -> str:
    """Says where the bottleneck copies noise, by which losses must not be told apart; else ''.

    A linear bottleneck of d on F columns of which each says as much takes d / F of the noise with
    it: of a shown value's residual variance 1 - d / F is left, of a hidden one's the inverse of
    that, log2(F / (F - d)) bits apart.
    """
    features, latent_dim = len(found.schema.columns), found.latent_dim
    own, ruler = found.metrics, found.objective
    if ruler != "code_length" or latent_dim >= features:
        return ""
    gap = own["bits_per_feature_masked"] - own["bits_per_feature"]
    due = math.log2(features / (features - latent_dim))
    if gap <= COPIES * due or gap < NOTABLE:
        return ""
    return (
        f"A value that is hidden from the delivered model costs {gap:.2f} bits more than one that "
        f"is shown; {latent_dim} of {features} dimensions explain {due:.2f} of them. The "
        "bottleneck copies noise or single columns, and losses are told apart by how well they do: "
        "narrow model.latent_dim, or let hidden values choose (search.objective: "
        "code_length_masked)"
    )
