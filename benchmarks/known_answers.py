"""How often is the chosen loss the right one? On made-up data whose noiseless signal is known.

    python benchmarks/known_answers.py --folder /tmp/known --seeds 2

Runs the pipeline (preprocess to evaluate) on each noise family of `source: synthetic`. The truth is
the error of each loss's reconstructions to the noiseless signal, root mean square in standard
deviations of the signal, on 20,480 fresh rows, but for the 5 % that a model is furthest from: under
Student-t noise of infinite variance, or where noise has replaced whole rows, these few hold nothing
of the signal and would decide alone (`--every-row` counts them too). The regret of a choice is how
much larger its error is than that of the best loss. Choices that are compared:

- verdict: what Hourglass selects
- code length: the smallest mean of bits per feature on validation rows
- masked: the same of values that were hidden from the model
- rmse: the smallest RMSE on validation rows
- val_loss: the smallest own value of the loss, as tuners do
- mse: always mse
- advisor: the first loss that the advisor expects most of

Results are appended to results.csv in the folder; the same command continues where it was.
"""

import argparse
import csv
import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hourglass import config
from hourglass.bundle import Bundle
from hourglass.config import Params
from hourglass.losses import LOSSES
from hourglass.paths import Paths, read_csv, read_json
from hourglass.schema import Array
from hourglass.sources.synthetic import BLOCK, FAMILIES, SOURCE, signal
from hourglass.stages import evaluate, normalize, preprocess, search, train

ROOT = Path(__file__).parents[1]
CANDIDATES = LOSSES.names()
STAGES = (preprocess, normalize, search, train, evaluate)
CHOICES = ("verdict", "code length", "masked", "rmse", "val_loss", "mse", "advisor")
NEAR = 0.03  # regret within which a choice counts as as good as the best
FRESH = 5 * 4096  # rows that no stage has seen; the source draws 4096 at a time
KEPT = 0.95  # share of them, those that a model is nearest to


def settings(family: str, seed: int, chosen: argparse.Namespace) -> dict[str, Any]:
    """params.yaml of one run."""
    own = config.read_yaml(ROOT / "params.yaml")
    size = {"rows": chosen.rows, "columns": chosen.columns}
    own["preprocess"] |= {
        "source": "synthetic",
        "dataset": family,
        "seed": seed,
        "synthetic": size,
    }
    own["model"] |= {"latent_dim": chosen.latent_dim}
    own["search"] |= {"trials_per_loss": chosen.trials, "epochs": chosen.epochs}
    own["train"] |= {"seeds": chosen.train_seeds, "epochs": 2 * chosen.epochs}
    return dict(own)


def fresh(params: Params) -> tuple[Array, Array]:
    """Rows that no stage has seen, and their noiseless signal, (N, F) each."""
    own = params.preprocess
    before = -(-own.synthetic.rows // BLOCK) * BLOCK
    more = own.synthetic.model_copy(update={"rows": before + FRESH})
    own = own.model_copy(update={"synthetic": more})
    rows_NF = np.concatenate([c.values_NF for c in SOURCE(own, Path()).chunks()])[before:]
    return rows_NF, signal(own, np.arange(before, before + FRESH))


def truth(params: Params, paths: Paths, losses: Iterable[str]) -> dict[str, tuple[float, float]]:
    """Error of each loss to the noiseless signal, mean over the seeds: trimmed, and of all rows."""
    rows_NF, clean_NF = fresh(params)
    scale_F = clean_NF.std(axis=0)
    found = {}
    for loss in losses:
        errors = []
        for seed in range(1, params.train.seeds + 1):
            answer_NF = Bundle.load(paths.model(loss, seed)).reconstruct(rows_NF)
            square_N = np.sort(np.mean(((answer_NF - clean_NF) / scale_F) ** 2, axis=1))
            kept_N = square_N[: round(KEPT * len(square_N))]
            errors.append([np.sqrt(kept_N.mean()), np.sqrt(square_N.mean())])
        trimmed, every = np.mean(errors, axis=0).tolist()
        found[loss] = (trimmed, every)
    return found


def choices(paths: Paths) -> dict[str, str]:
    """The loss that each criterion takes."""
    fits, curves = (read_csv(paths.train(f"{n}.csv"), "train") for n in ("fits", "curves"))
    values: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for fit in fits:
        bits, masked = float(fit["bits_per_feature"]), float(fit["bits_per_feature_masked"])
        values["code length"][fit["loss"]].append(bits)
        values["masked"][fit["loss"]].append(masked)
        values["rmse"][fit["loss"]].append(float(fit["rmse"]))
    last = {(c["loss"], c["seed"]): float(c["val_loss"]) for c in curves}
    for (loss, _), value in last.items():
        values["val_loss"][loss].append(value)
    found = {
        name: min(own, key=lambda loss: float(np.mean(own[loss]))) for name, own in values.items()
    }
    found["verdict"] = read_json(paths.evaluate("delivered.json"), "evaluate")["selected_loss"]
    losses = {fit["loss"] for fit in fits}
    likely = read_json(paths.profile, "preprocess")["likely_good"]
    found["advisor"] = next((loss for loss in likely if loss in losses), "mse")
    found["mse"] = "mse"
    return found


def run(family: str, seed: int, chosen: argparse.Namespace) -> dict[str, Any]:
    """One run of the pipeline, and what each choice costs."""
    paths = Paths(chosen.folder)
    config.write_yaml(paths.params, settings(family, seed, chosen))
    params = config.load(paths.params)
    for stage in STAGES:
        stage.run(params, paths)
    taken = choices(paths)
    losses = {fit["loss"] for fit in read_csv(paths.train("fits.csv"), "train")}
    errors = truth(params, paths, losses)
    row: dict[str, Any] = {"family": family, "seed": seed, **taken}
    for loss in CANDIDATES:
        own = errors.get(loss, ("", ""))
        row |= {f"{loss} error": own[0], f"{loss} error every": own[1]}
    return row


def regrets(row: Mapping[str, str], *, every_row: bool) -> tuple[str, dict[str, float]]:
    """The best loss, and the regret of each choice."""
    end = " error every" if every_row else " error"
    errors = {loss: float(own) for loss in CANDIDATES if (own := row[f"{loss}{end}"]) != ""}
    best = min(errors, key=lambda loss: errors[loss])
    return best, {name: errors[row[name]] / errors[best] - 1 for name in CHOICES}


def report(rows: list[dict[str, str]], *, every_row: bool) -> None:
    """Prints regret family by family, then over all runs."""
    found = [regrets(row, every_row=every_row) for row in rows]
    print(f"\n{'family':22}" + "".join(f"{name:>13}" for name in CHOICES) + "   best / selected")
    for family in dict.fromkeys(row["family"] for row in rows):
        own = [(r, f) for r, f in zip(rows, found, strict=True) if r["family"] == family]
        means = [np.mean([regret[name] for _, (_, regret) in own]) for name in CHOICES]
        names = ", ".join(f"{best} / {r['verdict']}" for r, (best, _) in own)
        print(f"{family:22}" + "".join(f"{m:13.1%}" for m in means) + f"   {names}")
    every = {name: np.array([regret[name] for _, regret in found]) for name in CHOICES}
    print(f"{'mean regret':22}" + "".join(f"{own.mean():13.1%}" for own in every.values()))
    near = [(own <= NEAR).mean() for own in every.values()]
    print(f"{'within 3 % of best':22}" + "".join(f"{share:13.0%}" for share in near))
    ratio = every["verdict"].mean() / every["val_loss"].mean()
    print(f"\n{len(rows)} runs; the verdict's mean regret is {ratio:.2f} of val_loss's.")


def main() -> None:
    """Runs what is missing and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--families", nargs="*", choices=FAMILIES, default=list(FAMILIES))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--rows", type=int, default=1500)
    parser.add_argument("--columns", type=int, default=32)
    parser.add_argument("--latent-dim", type=int, default=3, help="the signal has 3")
    parser.add_argument("--every-row", action="store_true")
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--train-seeds", type=int, default=5)
    chosen = parser.parse_args()
    chosen.folder.mkdir(parents=True, exist_ok=True)
    logging.getLogger("hourglass").setLevel(logging.ERROR)
    file = chosen.folder / "results.csv"
    done = list(csv.DictReader(file.open())) if file.exists() else []
    known = {(row["family"], int(row["seed"])) for row in done}
    for seed in range(chosen.seeds):
        for family in chosen.families:
            if (family, seed) in known:
                continue
            row = run(family, seed, chosen)
            with file.open("a", newline="") as out:
                writer = csv.DictWriter(out, row)
                if not out.tell():
                    writer.writeheader()
                writer.writerow(row)
            best, regret = regrets(row, every_row=chosen.every_row)
            print(
                f"{family}, seed {seed}: best {best}, selected {row['verdict']} "
                f"(regret {regret['verdict']:.1%}), by val_loss {row['val_loss']} "
                f"({regret['val_loss']:.1%})",
                flush=True,
            )
    report(list(csv.DictReader(file.open())), every_row=chosen.every_row)


if __name__ == "__main__":
    main()
