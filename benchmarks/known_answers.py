"""How often is the chosen loss the right one? On made-up data whose noiseless signal is known.

    python benchmarks/known_answers.py --folder /tmp/known --seeds 2

Runs the pipeline (preprocess to evaluate) on each noise family of `source: synthetic`. The truth is
the error of each loss's reconstructions of test rows to the noiseless signal, root mean square in
standard deviations of the signal; the regret of a choice is how much larger its error is than that
of the best loss. Choices that are compared:

- verdict: what Hourglass selects
- code length: the smallest mean of bits per feature on validation rows
- masked: the smallest mean of both code lengths
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
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from hourglass import config
from hourglass.bundle import Bundle
from hourglass.config import Params
from hourglass.paths import Paths, read_csv, read_json
from hourglass.sources.synthetic import FAMILIES, signal
from hourglass.stages import evaluate, normalize, preprocess, search, train

ROOT = Path(__file__).parents[1]
STAGES = (preprocess, normalize, search, train, evaluate)
CHOICES = ("verdict", "code length", "masked", "rmse", "val_loss", "mse", "advisor")
NEAR = 0.03  # regret within which a choice counts as as good as the best


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
    own["model"] |= {"latent_dim": 3}
    own["search"] |= {"trials_per_loss": chosen.trials, "epochs": chosen.epochs}
    own["train"] |= {"seeds": chosen.train_seeds, "epochs": 2 * chosen.epochs}
    return dict(own)


def truth(params: Params, paths: Paths, losses: Iterable[str]) -> dict[str, float]:
    """Error of each loss to the noiseless signal, mean over the seeds."""
    rows_NF = np.load(paths.values("test"))
    clean_NF = signal(params.preprocess, np.load(paths.beside("test", "rows")))
    scale_F = clean_NF.std(axis=0)
    found = {}
    for loss in losses:
        errors = []
        for seed in range(1, params.train.seeds + 1):
            answer_NF = Bundle.load(paths.model(loss, seed)).reconstruct(rows_NF)
            errors.append(np.sqrt(np.mean(((answer_NF - clean_NF) / scale_F) ** 2)))
        found[loss] = float(np.mean(errors))
    return found


def choices(paths: Paths) -> dict[str, str]:
    """The loss that each criterion takes."""
    fits, curves = (read_csv(paths.train(f"{n}.csv"), "train") for n in ("fits", "curves"))
    values: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for fit in fits:
        bits, masked = float(fit["bits_per_feature"]), float(fit["bits_per_feature_masked"])
        values["code length"][fit["loss"]].append(bits)
        values["masked"][fit["loss"]].append((bits + masked) / 2)
        values["rmse"][fit["loss"]].append(float(fit["rmse"]))
    last = {(c["loss"], c["seed"]): float(c["val_loss"]) for c in curves}
    for (loss, _), value in last.items():
        values["val_loss"][loss].append(value)
    found = {
        name: min(own, key=lambda loss: float(np.mean(own[loss]))) for name, own in values.items()
    }
    found["verdict"] = read_json(paths.evaluate("metrics.json"), "evaluate")["selected_loss"]
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
    best = min(errors, key=lambda loss: errors[loss])
    row: dict[str, Any] = {"family": family, "seed": seed, "best": best}
    for name in CHOICES:
        loss = taken[name]
        row |= {name: loss, f"{name} regret": errors[loss] / errors[best] - 1}
    row["errors"] = " ".join(f"{loss}={error:.4f}" for loss, error in sorted(errors.items()))
    return row


def report(rows: list[dict[str, str]]) -> None:
    """Prints regret family by family, then over all runs."""
    print(f"\n{'family':22}" + "".join(f"{name:>13}" for name in CHOICES) + "   best / selected")
    for family in dict.fromkeys(row["family"] for row in rows):
        own = [row for row in rows if row["family"] == family]
        means = [np.mean([float(r[f"{name} regret"]) for r in own]) for name in CHOICES]
        names = ", ".join(f"{r['best']} / {r['verdict']}" for r in own)
        print(f"{family:22}" + "".join(f"{m:13.1%}" for m in means) + f"   {names}")
    regrets = {name: np.array([float(r[f"{name} regret"]) for r in rows]) for name in CHOICES}
    print(f"{'mean regret':22}" + "".join(f"{own.mean():13.1%}" for own in regrets.values()))
    near = [(own <= NEAR).mean() for own in regrets.values()]
    print(f"{'within 3 % of best':22}" + "".join(f"{share:13.0%}" for share in near))
    ratio = regrets["verdict"].mean() / regrets["val_loss"].mean()
    print(f"\n{len(rows)} runs; the verdict's mean regret is {ratio:.2f} of val_loss's.")


def main() -> None:
    """Runs what is missing and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--families", nargs="*", choices=FAMILIES, default=list(FAMILIES))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--rows", type=int, default=1500)
    parser.add_argument("--columns", type=int, default=32)
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
            print(
                f"{family}, seed {seed}: best {row['best']}, selected {row['verdict']} "
                f"(regret {row['verdict regret']:.1%}), by val_loss {row['val_loss']} "
                f"({row['val_loss regret']:.1%})",
                flush=True,
            )
    report(list(csv.DictReader(file.open())))


if __name__ == "__main__":
    main()
