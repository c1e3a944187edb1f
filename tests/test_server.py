"""The served model gives the bundle's numbers, and a 4xx with the reason to what it can't read."""

import asyncio
import contextlib
import json
import random
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
import requests
from tests.fits import MIXED
from tests.registry import make_registered

from hourglass import registered, server, serving
from hourglass.__main__ import main

JSON, CSV = "application/json", "text/csv"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator:
    root = tmp_path_factory.mktemp("a project")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.chdir(root)
        yield root, make_registered(root)


@pytest.fixture(scope="module")
def address(folder) -> Iterator[str]:
    """Of `hourglass serve` in a process of its own."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "hourglass", "serve", "--port", str(port)]
    said = (folder[0] / "said.txt").open("w+")
    process = subprocess.Popen(command, cwd=folder[0], stdout=said, stderr=said)
    at = f"http://127.0.0.1:{port}"
    try:
        for _ in range(240):
            with contextlib.suppress(requests.ConnectionError):
                if requests.get(f"{at}/ping", timeout=5).ok:
                    break
            assert process.poll() is None, (folder[0] / "said.txt").read_text()
            time.sleep(0.25)
        yield at
    finally:
        process.terminate()
        process.wait(20)
        said.close()


def post(address: str, body, kind: str | None = JSON) -> requests.Response:
    headers = {} if kind is None else {"Content-Type": kind}
    body = body if isinstance(body, bytes | str) else json.dumps(body)
    return requests.post(f"{address}/invocations", data=body, headers=headers, timeout=60)


def people(bundle, count: int = 5) -> pd.DataFrame:
    return serving.example(bundle, MIXED["test"][:count])


def split(frame: pd.DataFrame) -> dict:
    rows = json.loads(frame.to_json(orient="split", index=False))
    return {"dataframe_split": rows}


@pytest.mark.slow
def test_rows_are_answered_as_by_the_bundle_in_every_format(folder, address, tmp_path):
    frame = people(folder[1])
    expected = serving.answer(folder[1], frame)
    frame.to_parquet(tmp_path / "rows.parquet")
    inputs = {k: v.tolist() for k, v in frame.astype(object).where(frame.notna(), None).items()}
    sent = [
        (split(frame), JSON),
        ({"dataframe_records": json.loads(frame.to_json(orient="records"))}, JSON),
        ({"inputs": inputs}, JSON),
        (frame.to_csv(index=False), CSV),
        ((tmp_path / "rows.parquet").read_bytes(), "application/vnd.apache.parquet"),
    ]
    for body, kind in sent:
        answer = post(address, body, kind)
        assert answer.status_code == 200, answer.text
        pd.testing.assert_frame_equal(pd.DataFrame(answer.json()["predictions"]), expected)
    asked = {**split(frame), "params": {"return": ["latent", "shares"]}}
    predictions = pd.DataFrame(post(address, asked).json()["predictions"])
    wanted = serving.Asked(("latent", "shares"))
    pd.testing.assert_frame_equal(predictions, serving.answer(folder[1], frame, wanted))


@pytest.mark.slow
def test_what_mlflow_makes_of_instances_is_read_as_it_was_sent(folder, address):
    """A regression: it makes an array of each cell beside a gap."""
    frame = people(folder[1]).astype(object)
    frame.loc[1, ["near", "level"]] = None
    rows = frame.where(frame.notna(), None).to_dict("records")
    answer = post(address, {"instances": rows}, JSON.upper())
    assert answer.status_code == 200, answer.text
    found = pd.DataFrame(answer.json()["predictions"])
    pd.testing.assert_frame_equal(found, serving.answer(folder[1], frame))


def test_a_header_of_many_names_is_looked_at_once():
    """Also with a number of columns at which looking each name up among all would take minutes."""
    names = [f"c{i}" for i in range(200_000)]
    assert server._wrong_header(",".join(names).encode(), len(names)) is None
    status, reason = server._wrong_header(",".join([*names, "c7"]).encode(), 10**6)
    assert (status, reason) == (400, "the rows have column 'c7' more than once")


def test_an_answer_that_takes_too_long_is_told_as_too_many_rows():
    sent = []

    async def send(message):
        sent.append(message)

    async def answer():
        plain = server._Plain(send)
        await plain({"type": "http.response.start", "status": 504, "headers": []})
        await plain({"type": "http.response.body", "body": b'{"detail": "exceeded"}'})

    asyncio.run(answer())
    assert sent[0]["status"] == 413
    assert "send fewer at a time" in json.loads(sent[1]["body"])["message"]


def malformed(bundle) -> list[tuple]:
    """Body, content type, what the reason says."""
    one, frame = split(people(bundle, 1)), people(bundle, 2).astype(object)

    def changed(column: str, value) -> dict:
        rows = frame.where(frame.notna(), None).to_dict("records")
        rows[1][column] = value
        return {"dataframe_records": rows}

    return [
        ("", JSON, "valid JSON"),
        ("{", JSON, "valid JSON"),
        ("[1, 2]", JSON, "Received a list"),
        ("3", JSON, "unexpected input type"),
        ("null", JSON, "unexpected input type"),
        (b"\xff\xfe\x00", JSON, "not in UTF-8"),
        (b'{"inputs": "\xff' + b"x" * 5000 + b'"}', JSON, "not in UTF-8"),
        ("{" + "a" * 100_000, JSON, "valid JSON"),
        ("{}", JSON, "exactly one of the input fields"),
        ({"rows": [1]}, JSON, "exactly one of the input fields"),
        ({**one, "inputs": [1]}, JSON, "exactly one of the input fields"),
        ({"dataframe_split": [1]}, JSON, "must be a dictionary"),
        ({"dataframe_split": {"columns": ["a"], "data": [[1, 2]]}}, JSON, "split"),
        ({"dataframe_split": None}, JSON, "must be a dictionary"),
        ({"dataframe_records": {"a": 1}}, JSON, "list of records"),
        ({"dataframe_records": []}, JSON, "missing inputs"),
        ({"dataframe_records": [{"near": 1}]}, JSON, "missing inputs"),
        ({"instances": "x"}, JSON, ""),
        ({"inputs": 3}, JSON, ""),
        ({"inputs": None}, JSON, ""),
        ({"inputs": {"near": [1], "far": [1, 2]}}, JSON, ""),
        ({"inputs": [[1, 2, 3]]}, JSON, ""),
        ({"messages": [{"role": "user", "content": "hello"}]}, JSON, ""),
        (
            changed("near", "much"),
            JSON,
            "(the first is 0), column 'near': 'much' is no number",
        ),
        (
            changed("near", [1, [2]]),
            JSON,
            "row 1 (the first is 0), column 'near': [1, [2]]",
        ),
        (changed("near", {"a": 1}), JSON, "column 'near'"),
        (changed("level", ["low"]), JSON, "column 'level'"),
        (changed("near", float("inf")), JSON, "column 'near': inf"),
        (changed("near", 1e300), JSON, "column 'near': 1e+300 is so far"),
        (changed("near", 10**400), JSON, "column 'near'"),
        ('{"inputs": {"near": [' + "9" * 5000 + "]}}", JSON, "can't be read"),
        ('{"inputs": ' + "[" * 100_000 + "]" * 100_000 + "}", JSON, "can't be read"),
        ({**one, "params": 3}, JSON, "must be a dictionary"),
        ({**one, "params": {"return": "latent"}}, JSON, "return"),
        ({**one, "params": {"return": ["latnet"]}}, JSON, "did you mean 'latent'"),
        ({**one, "params": {"return": []}}, JSON, "return names nothing"),
        ({**one, "params": {"return": [3]}}, JSON, "return"),
        ({**one, "params": {"return": [None]}}, JSON, "return: unknown None"),
        (
            {**one, "params": {"retrun": ["latent"]}},
            JSON,
            "unknown 'retrun', did you mean 'return'",
        ),
        ({**one, "params": {"return": ["x" * 5000]}}, JSON, "return: unknown"),
        ({**one, "params": {"anomaly_share": None}}, JSON, "anomaly_share is None"),
        ({**one, "params": {"anomaly_share": 2}}, JSON, "must be above 0 and below 1"),
        ({**one, "params": {"anomaly_share": "x"}}, JSON, "anomaly_share"),
        ("", CSV, "CSV"),
        ("near,far\n1,2\n", CSV, "missing inputs"),
        ('near,far\n1,"2\n3', CSV, "CSV"),
        ("near,far,flag,count,level\n1,2,3\n1,2,3,4,5,6,7\n", CSV, "CSV"),
        ("near,far,flag,count,level\n=1+1,2,1,3,low\n", CSV, "'=1+1' is no number"),
        (b"near\xff,far\n1,2\n", CSV, "UTF-8"),
        ("near,near,far,flag,count,level\n1,2,3,0,4,low\n", CSV, "column 'near' more than once"),
        (",".join(f"c{i}" for i in range(100_000)), CSV, "the header has 100000 columns"),
        (f"near,far\n1,2\n{'x' * 5000}", CSV, "missing inputs"),
        (b"PAR1 no parquet", "application/vnd.apache.parquet", "Parquet"),
        (json.dumps(one), "text/plain", "only supports the following content types"),
        (json.dumps(one), "application/json; charset=latin-1", "only supports UTF-8"),
        (json.dumps(one), "application/json; odd=1", "Unrecognized content type parameters"),
        (json.dumps(one), None, "no content type"),
        (b" " * (server.MOST + 1), JSON, "larger than 64 MiB"),
    ]


@pytest.mark.slow
def test_hundreds_of_requests_at_once_get_an_answer_or_a_reason(folder, address):
    frame = people(folder[1])
    good, expected = split(frame), serving.answer(folder[1], frame)
    whole, rng = json.dumps(good), random.Random(0)  # noqa: S311
    bad, (*small, huge) = [], malformed(folder[1])
    for _ in range(4):
        bad += small
    bad.append(huge)
    broken = [whole[: rng.randrange(len(whole))] for _ in range(100)]
    for _ in range(100):
        letters = list(whole)
        letters[rng.randrange(len(whole))] = rng.choice('"{}[],:x9-\\\0')
        broken.append("".join(letters))
    jobs = [("good", good, JSON, "")] * 60 + [("bad", *job) for job in bad]
    jobs += [("broken", body, JSON, "") for body in broken]
    rng.shuffle(jobs)
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda job: post(address, job[1], job[2]), jobs))
    for (what, body, _, reason), answer in zip(jobs, answers, strict=True):
        shown = f"{str(body)[:200]} -> {answer.status_code} {answer.text[:500]}"
        if what == "good":
            assert answer.status_code == 200, shown
            found = pd.DataFrame(answer.json()["predictions"])
            pd.testing.assert_frame_equal(found, expected)
        elif what == "bad":
            assert 400 <= answer.status_code < 500, shown
            assert set(answer.json()) == {"error_code", "message"}, shown  # no lines of code
            said = answer.json()["message"]
            assert reason in said, shown
            assert said.strip(), shown
            assert len(said) < 1200, shown
            assert not said.startswith(("Failed to predict", "Failed to enforce")), shown  # rows
        else:
            assert answer.status_code < 500, shown
            assert answer.text
    assert post(address, good).status_code == 200
    assert "Traceback" not in (folder[0] / "said.txt").read_text()


@pytest.mark.slow
def test_it_listens_at_this_machine_only_and_says_where(folder, address):
    port = address.rpartition(":")[2]
    said = (folder[0] / "said.txt").read_text()
    assert f"hourglass-autoencoder version 1 answers at {address}/invocations" in said
    with pytest.raises(OSError, match="refused"), socket.create_connection(("127.0.0.2", port)):
        pass


@pytest.mark.slow
def test_what_keeps_it_from_serving_is_said_in_one_line(folder, tmp_path, monkeypatch, capsys):
    def complaint(*words: str) -> str:
        assert main(["serve", *words]) == 2
        (line,) = [t for t in capsys.readouterr().err.splitlines() if t.startswith("error: ")]
        return line

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"--port {port} is taken: name another" in complaint("--port", str(port))
    assert "--version 9: there is none" in complaint("--version", "9")
    assert "there are versions 1 (--version N takes one)" in complaint("--version", "9")
    assert "--host 8.8.8.8 is no address of this machine" in complaint("--host", "8.8.8.8")
    text = (folder[0] / "params.yaml").read_text()
    (tmp_path / "params.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)  # MLflow leaves it there
    assert "nothing is registered yet" in complaint()
    assert not (tmp_path / "mlflow.db").exists()


@pytest.mark.slow
def test_every_way_to_ask_gives_the_numbers_of_the_bundle(folder, monkeypatch):
    """Those of evaluate, from `Bundle.written` and `Bundle.code_length`."""
    onnxruntime = pytest.importorskip("onnxruntime")
    import mlflow

    from hourglass import config
    from hourglass.paths import Paths

    root, bundle = folder
    rows_NF = MIXED["test"]
    answer_NW, extra_N = bundle.written(rows_NF)
    bits_N = bundle.code_length(rows_NF, answer_NW).sum(axis=1) + extra_N
    model = registered.find(config.load(Paths(root).params).register_, root)
    frame = serving.example(bundle, rows_NF)
    pyfunc = mlflow.pyfunc.load_model(model.uri).predict(frame)
    np.testing.assert_array_equal(pyfunc["code_length_bits"], bits_N)
    np.testing.assert_array_equal(pyfunc[["near", "far", "flag", "count"]], answer_NW[:, :4])
    with registered.fetched(model) as files:
        np.testing.assert_array_equal(registered.bundle(files).written(rows_NF)[0], answer_NW)
        assert registered.parameter(files, "anomaly_share", 0.5) == 0.01
        session = onnxruntime.InferenceSession(str(files / "artifacts" / "model.onnx"))
        graph_NW, _ = session.run(None, {"rows": rows_NF})
        np.testing.assert_allclose(graph_NW, answer_NW, rtol=1e-5, atol=1e-5)
