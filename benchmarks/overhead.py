"""What a run costs before any work: the command line, DVC, and each stage on a handful of rows.

    python benchmarks/overhead.py [--rounds 3]

Prints wall and CPU seconds, the least of the rounds, in a copy of the project with 60 made-up rows,
two losses, two trials and one epoch. The environment is the one that runs this script.
"""

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ruamel.yaml import YAML

ROOT = Path(__file__).parents[1]
STAGES = ("preprocess", "normalize", "search", "train", "evaluate", "register")
SETTINGS = {
    "preprocess": {
        "source": "synthetic",
        "dataset": "gauss",
        "synthetic": {"rows": 60, "columns": 8},
        "val_fraction": 0.2,
        "test_fraction": 0.2,
    },
    "model": {"latent_dim": 2, "hidden": [4]},
    "search": {"losses": ["mse", "mae"], "trials_per_loss": 2, "round_size": 2, "epochs": 1},
    "train": {"seeds": 2, "epochs": 1},
}


def copy_of_project(folder: Path) -> Path:
    """The tracked files, with few rows and small settings."""
    copy = folder / "project"
    listed = ("git", "-C", str(ROOT), "ls-files", "-co", "--exclude-standard", "-z")
    files = subprocess.run(listed, check=True, capture_output=True, text=True).stdout
    for name in filter(None, files.split("\0")):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, copy / name)
    (copy / "dvc.lock").unlink(missing_ok=True)
    yaml = YAML()
    params = yaml.load(copy / "params.yaml")
    for section, values in SETTINGS.items():
        params[section].update(values)
    yaml.dump(params, copy / "params.yaml")
    return copy


def main() -> None:
    """Prints a line for each command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        copy = copy_of_project(Path(folder))
        bin_folder = str(Path(sys.executable).parent)
        environment = {
            **os.environ,
            "PATH": bin_folder + os.pathsep + os.environ["PATH"],
            "PYTHONPATH": str(copy / "src"),
        }

        def timed(*command: str) -> tuple[float, float]:
            before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
            subprocess.run(command, cwd=copy, env=environment, check=True, capture_output=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            return time.perf_counter() - start, cpu

        def show(name: str, seconds: list[tuple[float, float]]) -> None:
            wall, cpu = (min(column) for column in zip(*seconds, strict=True))
            print(f"{name:34} {wall:6.2f} s wall {cpu:6.2f} s CPU", flush=True)

        timed("git", "init", "-q")
        python = Path(sys.executable).name
        commands = {
            "python -c pass": (python, "-c", "pass"),
            "dvc --version": ("dvc", "--version"),
            "hourglass --help": (python, "-m", "hourglass", "--help"),
            "hourglass check": (python, "-m", "hourglass", "check"),
            "import torch, pytorch_lightning": (python, "-c", "import torch, pytorch_lightning"),
        }
        for name, command in commands.items():
            show(name, [timed(*command) for _ in range(rounds)])
        for stage in STAGES:
            timed(python, "-m", "hourglass", stage)  # makes the stores, compiles bytecode
            anew = [timed(python, "-m", "hourglass", stage) for _ in range(rounds)]
            show(f"hourglass {stage}, 60 rows", anew)
        show("dvc repro, 60 rows", [timed("dvc", "repro", "--force") for _ in range(rounds)])
        show("dvc repro, nothing to do", [timed("dvc", "repro") for _ in range(rounds)])


if __name__ == "__main__":
    main()
