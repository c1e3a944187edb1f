"""Times the whole pipeline on digits in a copy of the project, and a repeat that changes nothing.

    python benchmarks/pipeline.py

The environment is the one that runs this script; nothing is installed or downloaded.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
STAGES = ("preprocess", "normalize", "search", "train", "evaluate", "register")


def main() -> None:
    """Prints seconds of each stage, of the sum, and of a repeat, beside `dvc --version`."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "project"
        listed = ("git", "-C", str(ROOT), "ls-files", "-co", "--exclude-standard", "-z")
        files = subprocess.run(listed, check=True, capture_output=True, text=True).stdout
        for name in filter(None, files.split("\0")):
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, copy / name)
        (copy / "dvc.lock").unlink(missing_ok=True)
        bin_folder = str(Path(sys.executable).parent)
        environment = {**os.environ, "PATH": bin_folder + os.pathsep + os.environ["PATH"]}

        def timed(*command: str) -> float:
            start = time.perf_counter()
            subprocess.run(command, cwd=copy, env=environment, check=True, capture_output=True)
            return time.perf_counter() - start

        timed("git", "init", "-q")
        total = 0.0
        for stage in STAGES:
            seconds = timed("dvc", "repro", "--single-item", stage)
            total += seconds
            print(f"{stage:12} {seconds:7.1f} s")
        print(f"{'all':12} {total:7.1f} s")
        print(f"{'repeat':12} {timed('dvc', 'repro'):7.1f} s")
        print(f"{'dvc --version':12} {timed('dvc', '--version'):6.1f} s")


if __name__ == "__main__":
    main()
