"""Times preprocess and normalize on a table larger than their memory, beside the limits.

    pip install polars    # for the peer; it is no dependency of the project
    python benchmarks/preprocess.py --gigabytes 5

Makes a CSV file and its Parquet twin of random numbers, and measures in turns, each in a process of
its own: merely parsing them with pyarrow; Hourglass; and for Parquet polars' streaming engine at
the same work, once up to row-major arrays and once leaving columns: training, validation and test
rows in original units, minimum, maximum, mean and standard deviation of the training rows,
quartiles of evenly spaced ones, and standardised float32 training and validation rows. What
Hourglass does besides (a SHA-256 of the values, checks, kinds and resolutions, advice) counts
against it. `--cold` drops the input from the page cache before each run.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq

ROOT = Path(__file__).parents[1]
COLUMNS = 64
BYTES_A_VALUE = 10.4  # of the CSV, with its comma
ROWS_AT_A_TIME = 100_000


def generate(folder: Path, gigabytes: float) -> tuple[Path, Path]:
    """Writes the CSV and its twin, unless they are there."""
    csv, parquet = folder / f"table-{gigabytes:g}.csv", folder / f"table-{gigabytes:g}.parquet"
    if csv.exists() and parquet.exists():
        return csv, parquet
    rows = int(gigabytes * 1e9 / (COLUMNS * BYTES_A_VALUE))
    names = [f"c{i}" for i in range(COLUMNS)]
    schema = pa.schema([(name, pa.float64()) for name in names])
    generator = np.random.default_rng(0)
    with pq.ParquetWriter(parquet, schema) as columns, pc.CSVWriter(csv, schema) as lines:
        for start in range(0, rows, ROWS_AT_A_TIME):
            count = min(ROWS_AT_A_TIME, rows - start)
            values = generator.normal(size=(count, COLUMNS)).round(7)
            table = pa.table(dict(zip(names, values.T, strict=True)), schema=schema)
            columns.write_table(table)
            lines.write_table(table)
    return csv, parquet


def parse_csv(path: Path) -> None:
    """The limit for CSV: nothing but parsing, in bounded memory."""
    for _ in pc.open_csv(path):
        pass


def parse_parquet(path: Path) -> None:
    """The limit for Parquet."""
    for _ in pq.ParquetFile(path).iter_batches(65536):
        pass


def run_hourglass(path: Path) -> None:
    """The two stages as `dvc repro` runs them."""
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    text = text.replace("source: builtin ", "source: tabular ")
    text = text.replace("path: data/raw ", f"path: {path} ")
    text = text.replace("  - unit\n", "").replace("  - robust\n", "")
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        (Path(folder) / "params.yaml").write_text(text, encoding="utf-8")
        for stage in ("preprocess", "normalize"):
            command = [sys.executable, "-m", "hourglass", "-C", folder, stage]
            subprocess.run(command, check=True, stderr=subprocess.DEVNULL)


def run_polars(path: Path, *, as_rows: bool) -> None:
    """The same work in polars.

    Args:
        path: The Parquet file.
        as_rows: Writes row after row, as training reads them; else Arrow files, whose columns
            somebody must still turn into rows.
    """
    import polars as pl

    rows = pl.scan_parquet(path)
    names = rows.collect_schema().names()
    place = pl.col("row").hash(0) % 100
    rows = rows.with_row_index("row")
    parts = {
        "train": rows.filter(place >= 30),
        "val": rows.filter((place < 30) & (place >= 15)),
        "test": rows.filter(place < 15),
    }

    def sink(frame: Any, file: str) -> Any:
        if not as_rows:
            return frame.sink_ipc(file, compression="uncompressed", lazy=True)

        def write(batch: Any) -> None:
            with Path(file).open("ab") as out:
                batch.to_numpy(order="c").tofile(out)

        return frame.sink_batches(write, chunk_size=ROWS_AT_A_TIME, lazy=True)

    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        sinks = [sink(own.select(names), f"{folder}/{name}") for name, own in parts.items()]
        every = [
            figure(name).alias(f"{name}_{figure.__name__}")
            for name in names
            for figure in (pl.min, pl.max, pl.mean)
        ]
        deviations = [pl.col(name).std(ddof=0).alias(f"{name}_sd") for name in names]
        *_, seen = pl.collect_all(
            [*sinks, parts["train"].select(every + deviations)], engine="streaming"
        )
        if as_rows:
            train = np.memmap(f"{folder}/train", np.float64).reshape(-1, COLUMNS)
            np.quantile(train[:: max(1, train.size >> 23)], (0.25, 0.5), axis=0)
        else:
            kept = {name: pl.scan_ipc(f"{folder}/{name}") for name in ("train", "val")}
            step = max(1, kept["train"].select(pl.len()).collect().item() * COLUMNS >> 23)
            quartiles = [
                pl.col(n).quantile(q).alias(f"{n}_{q}") for n in names for q in (0.25, 0.5)
            ]
            kept["train"].gather_every(step).select(quartiles).collect(engine="streaming")
            parts |= kept
        scaled = [
            ((pl.col(n) - seen[f"{n}_mean"][0]) / seen[f"{n}_sd"][0]).cast(pl.Float32)
            for n in names
        ]
        pl.collect_all(
            [
                sink(parts[name].select(scaled), f"{folder}/{name}.scaled")
                for name in ("train", "val")
            ],
            engine="streaming",
        )


WORK = {
    "parse-csv": parse_csv,
    "parse-parquet": parse_parquet,
    "hourglass": run_hourglass,
    "polars-columns": partial(run_polars, as_rows=False),
    "polars-rows": partial(run_polars, as_rows=True),
}


class Watch:
    """The peak memory of a process and its children: resident, and its part that no file backs."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self.resident = self.anonymous = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._done.wait(0.02):
            sizes = [self._sizes(pid) for pid in self._family()]
            self.resident = max(self.resident, sum(own[0] for own in sizes))
            self.anonymous = max(self.anonymous, sum(own[1] for own in sizes))

    def _family(self) -> list[int]:
        children = Path(f"/proc/{self._pid}/task/{self._pid}/children")
        try:
            return [self._pid, *map(int, children.read_text().split())]
        except OSError:
            return [self._pid]

    @staticmethod
    def _sizes(pid: int) -> tuple[int, int]:
        try:
            lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        except OSError:
            return 0, 0
        found = dict(line.split(":", 1) for line in lines)
        return tuple(int(found.get(k, "0 kB").split()[0]) for k in ("VmRSS", "RssAnon"))

    def stop(self) -> None:
        """Ends the watch."""
        self._done.set()
        self._thread.join()


def timed(work: str, path: Path, *, cold: bool) -> tuple[float, Watch]:
    """Seconds of one piece of work in a process of its own, and its memory."""
    if cold:
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    os.sync()
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, __file__, "--work", work, "--path", str(path)])
    watch = Watch(process.pid)
    if process.wait():
        raise SystemExit(f"{work} failed")
    seconds = time.perf_counter() - start
    watch.stop()
    return seconds, watch


def main() -> None:
    """Prints seconds, ratios and memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=5.0)
    parser.add_argument("--folder", type=Path, help="keeps the files there (else they are removed)")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--cold", action="store_true")
    parser.add_argument("--work", choices=WORK, help=argparse.SUPPRESS)
    parser.add_argument("--path", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.work:
        WORK[chosen.work](chosen.path)
        return
    folder = chosen.folder or Path(tempfile.mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    try:
        csv, parquet = generate(folder, chosen.gigabytes)
        cases = [
            ("pyarrow parses CSV", "parse-csv", csv),
            ("Hourglass, CSV", "hourglass", csv),
            ("pyarrow parses Parquet", "parse-parquet", parquet),
            ("polars, Parquet, columns", "polars-columns", parquet),
            ("polars, Parquet, rows", "polars-rows", parquet),
            ("Hourglass, Parquet", "hourglass", parquet),
        ]
        best: dict[str, float] = {}
        for _ in range(chosen.repeats):
            for title, work, path in cases:
                seconds, watch = timed(work, path, cold=chosen.cold)
                best[title] = min(seconds, best.get(title, seconds))
                print(
                    f"{title:24} {seconds:7.1f} s   peak {watch.resident / 1e6:5.2f} GB resident, "
                    f"{watch.anonymous / 1e6:5.2f} GB anonymous",
                    flush=True,
                )
        speed = best["pyarrow parses CSV"] / best["Hourglass, CSV"]
        print(f"CSV: {speed:.2f} of the speed of merely parsing it")
        for what, title in (("that writes rows", "rows"), ("that leaves columns", "columns")):
            speed = best[f"polars, Parquet, {title}"] / best["Hourglass, Parquet"]
            print(f"Parquet: {speed:.2f} of the speed of polars' streaming engine {what}")
    finally:
        if chosen.folder is None:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
