"""Configs, data and artifacts may come from strangers: nothing runs, nothing explodes.

Each attempt is a process of its own with little memory, which must end in one clear line.
"""

import csv
import io
import json
import resource
import shutil
import struct
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

import fits
from hourglass import config, trials
from hourglass.bundle import delivered
from hourglass.errors import DataError
from hourglass.paths import write_csv

ROOT = Path(__file__).parents[1]
MEMORY = 6 << 30  # of addresses; importing torch alone takes some 3 GB of them
SECONDS = 60


def hourglass(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    def bounded() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))

    return subprocess.run(
        [sys.executable, "-m", "hourglass", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        preexec_fn=bounded,
        check=False,
    )


def refused(done: subprocess.CompletedProcess[str]) -> str:
    """The one complaint."""
    assert done.returncode == 2, done.stderr[-2000:]
    assert "Traceback" not in done.stderr
    lines = done.stderr.splitlines()
    assert lines[0].startswith("error: ")
    assert len(done.stderr) < 10_000
    return done.stderr


# --- params.yaml ----------------------------------------------------------------------------------

LAUGHS = "\n".join(
    ["  a0: &a0 [ha, ha, ha, ha, ha, ha, ha, ha, ha, ha]"]
    + [f"  a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
)


@pytest.mark.parametrize(
    "text",
    [
        "preprocess: !!python/object/apply:os.system ['touch ran']\n",
        "preprocess: !!python/name:os.system\n",
        f"preprocess:\n{LAUGHS}\n",
        f"search:\n  losses: {'[' * 20000}\n",
        f"preprocess: {'{a: ' * 5000}\n",
        "a: &a\n  b: *a\n",
        "preprocess: &p\n  drop: *p\n",
        "\x00\x01\x02",
        "a" * 10_000_000,
    ],
    ids=[
        "a call",
        "a function",
        "a billion laughs",
        "nested lists",
        "nested mappings",
        "a loop",
        "a loop below a section",
        "control characters",
        "ten million letters",
    ],
)
def test_params_that_mean_harm_are_refused(tmp_path, text):
    (tmp_path / "params.yaml").write_text(text)
    assert "params.yaml" in refused(hourglass(tmp_path, "check"))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("key", ["drop", "kinds", "missing_values"])
def test_laughs_below_a_known_key_are_refused(tmp_path, key):
    text = (ROOT / "params.yaml").read_text()
    laughs = f"joke:\n{LAUGHS}\n{text}".replace(f"\n  {key}:", f"\n  {key}: *a11 #", 1)
    (tmp_path / "params.yaml").write_text(laughs)
    assert "params.yaml" in refused(hourglass(tmp_path, "check"))


# --- data -----------------------------------------------------------------------------------------


def project(folder: Path, **preprocess) -> None:
    params = config.read_yaml(ROOT / "params.yaml")
    params["preprocess"] |= preprocess
    config.write_yaml(folder / "params.yaml", params)


def npy(header: str) -> bytes:
    data = header.encode("latin1")
    return b"\x93NUMPY\x02\x00" + struct.pack("<I", len(data)) + data


HUGE = "{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000, 1000), }\n"
PICKLED = "{'descr': '|O', 'fortran_order': False, 'shape': (1,), }\n"
CODE = "__import__('os').system('touch ran')\n"


@pytest.mark.parametrize("suffix", ["npy", "npz"])
@pytest.mark.parametrize(
    "data",
    [
        npy(HUGE),
        npy(PICKLED) + b"cos\nsystem\n(S'touch ran'\ntR.",
        npy(CODE),
        npy("(" * 100_000),
        npy(HUGE)[:8] + struct.pack("<I", 0xFFFFFFFF) + b"{",
        npy(HUGE.replace("1000000000000, 1000", "-1, 5")),
        b"\x93NUMPY",
    ],
    ids=["huge", "a pickle", "code", "nested", "long header", "negative", "cut off"],
)
def test_arrays_that_mean_harm_are_refused(tmp_path, suffix, data):
    file = tmp_path / f"x.{suffix}"
    if suffix == "npz":
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("X.npy", data)
    else:
        file.write_bytes(data)
    project(tmp_path, source="tabular", path=file.name)
    assert file.name in refused(hourglass(tmp_path, "preprocess"))
    assert not (tmp_path / "ran").exists()


def test_a_member_that_grows_beyond_what_its_header_says_is_refused(tmp_path):
    """A zip bomb: a megabyte that unpacks to a gigabyte."""
    header = io.BytesIO()
    np.lib.format.write_array_header_2_0(
        header, {"descr": "<f8", "fortran_order": False, "shape": (50, 4)}
    )
    with (
        zipfile.ZipFile(tmp_path / "x.npz", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("X.npy", "w", force_zip64=True) as member,
    ):
        member.write(header.getvalue())
        for _ in range(1024):
            member.write(bytes(1 << 20))
    project(tmp_path, source="tabular", path="x.npz")
    assert "x.npz" in refused(hourglass(tmp_path, "preprocess"))


def test_a_member_that_points_out_of_the_archive_stays_unread(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("../../escaped.npy", npy(HUGE))
    project(tmp_path, source="tabular", path="x.npz")
    refused(hourglass(tmp_path, "preprocess"))
    assert not list(tmp_path.parent.parent.glob("escaped*"))


@pytest.mark.parametrize(
    "data",
    [
        struct.pack(">HBB", 0, 8, 3) + struct.pack(">III", 2**31, 2**31, 2**31),
        struct.pack(">HBB", 0, 8, 255) + b"\xff" * 1020,
        struct.pack(">HBB", 0, 8, 3) + struct.pack(">III", 10, 28, 28),
        struct.pack(">HBB", 0, 99, 3) + struct.pack(">III", 1, 1, 1),
    ],
    ids=["huge", "255 dimensions", "no values", "unknown type"],
)
def test_idx_headers_that_mean_harm_are_refused(tmp_path, data):
    (tmp_path / "x-idx3-ubyte").write_bytes(data)
    project(tmp_path, source="images", path="x-idx3-ubyte")
    assert "x-idx3-ubyte" in refused(hourglass(tmp_path, "preprocess"))


# --- bundles --------------------------------------------------------------------------------------


def _model(folder: Path, change) -> None:
    model = json.loads((folder / "model.json").read_text())
    change(model)
    (folder / "model.json").write_text(json.dumps(model))


def _header(folder: Path, header: bytes, length: int | None = None) -> None:
    size = struct.pack("<Q", len(header) if length is None else length)
    (folder / "weights.safetensors").write_bytes(size + header)


def _code(model: dict) -> dict:
    return model["alone"]["calibration"]["codes"][0]


def _weights(folder: Path, number: float) -> None:
    weights = load_file(folder / "weights.safetensors")
    next(iter(weights.values())).view(-1)[0] = number
    save_file(weights, folder / "weights.safetensors")


LONG = {"a": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}
HARM = {
    "a huge bottleneck": lambda f: _model(
        f, lambda m: m["recipe"]["architecture"].update(latent_dim=10**11)
    ),
    "a huge layer": lambda f: _model(
        f, lambda m: m["recipe"]["architecture"].update(hidden=[10**9] * 3)
    ),
    "a module of another package": lambda f: _model(f, lambda m: m["recipe"].update(kind="..os")),
    "a loss out of the folder": lambda f: _model(
        f, lambda m: m["recipe"].update(loss="../../evil")
    ),
    "something else": lambda f: (f / "model.json").write_text("[1, 2]"),
    "nested JSON": lambda f: (f / "model.json").write_text("[" * 200_000),
    "no text": lambda f: (f / "model.json").write_bytes(b"\xff\xfe\x00"),
    "no calibration": lambda f: _model(f, lambda m: m.pop("calibration")),
    "calibration that is null": lambda f: _model(f, lambda m: m.update(alone=None)),
    "no scale": lambda f: _model(f, lambda m: m["scaler"]["scale"].__setitem__(0, 0)),
    "NaN": lambda f: _model(f, lambda m: _code(m).update(center=float("nan"))),
    "a text for a number": lambda f: _model(f, lambda m: _code(m).update(center="x")),
    "an unknown family": lambda f: _model(f, lambda m: _code(m).update(family="x")),
    "parameters of another family": lambda f: _model(f, lambda m: _code(m).update(fitted={})),
    "a text for a resolution": lambda f: _model(
        f, lambda m: _code(m)["column"].update(resolution="x")
    ),
    "no surprise": lambda f: _model(f, lambda m: m["usual"].update(bits_Q=[])),
    "an endless surprise": lambda f: _model(f, lambda m: m["usual"].update(bits_Q=[1e999])),
    "weights that are no numbers": lambda f: _weights(f, float("nan")),
    "weights without end": lambda f: _weights(f, float("inf")),
    "a long header": lambda f: _header(f, b"{}", 2**60),
    "a header of another size": lambda f: _header(f, json.dumps(LONG).encode()),
    "a pickle": lambda f: (f / "weights.safetensors").write_bytes(
        b"\x80\x04cos\nsystem\n(S'touch ran'\ntR."
    ),
    "no weights": lambda f: (f / "weights.safetensors").unlink(),
}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundle") / "whole"
    trials.run(replace(fits.spec(fits.make_files(folder.parent)), epochs=1, save_to=folder))
    return folder


@pytest.mark.parametrize("harm", HARM)
def test_bundles_that_mean_harm_are_refused(bundle, tmp_path, monkeypatch, harm):
    folder = tmp_path / "bundle"
    shutil.copytree(bundle, folder)
    HARM[harm](folder)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="holds no whole model of Hourglass") as caught:
        delivered(folder)
    assert len(str(caught.value)) < 500 + len(str(folder))
    assert not (tmp_path / "ran").exists()


# --- what we write --------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["=1+1", "+1+1", "-a", "@SUM(A1)", "\t=1", "\n=1", "\uff1d1"])
def test_no_text_of_a_report_is_a_formula_to_a_spreadsheet(tmp_path, text):
    write_csv(tmp_path / "t.csv", [{"column": text, "value": -1.5}], ["column", "value"])
    with (tmp_path / "t.csv").open(newline="") as file:
        row = next(iter(csv.DictReader(file)))
    assert row == {"column": f"'{text}", "value": "-1.5"}


@pytest.mark.parametrize("text", ["-9999", "+0.5", "-1e-3", "a=b", ""])
def test_numbers_written_as_texts_stay_what_they_are(tmp_path, text):
    write_csv(tmp_path / "t.csv", [{"column": text}], ["column"])
    with (tmp_path / "t.csv").open(newline="") as file:
        assert next(iter(csv.DictReader(file)))["column"] == text
