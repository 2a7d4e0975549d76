"""Simulators as sources: what they are told, what they may emit, and how they fail."""

import json
import sys
import time

import pytest
from data_files import assert_refused

from airlock.data.sources import parse_source
from airlock.errors import UserError

FILES = """
import os, random, pathlib, json, sys
chance, out = random.Random(int(sys.argv[1])), pathlib.Path(os.environ["AIRLOCK_OUTPUT"])
assert os.environ["AIRLOCK_SEED"] == sys.argv[1]
for number in range(json.loads(os.environ["AIRLOCK_PARAMETERS"])["count"]):
    folder = out / ("cat" if number % 2 else "dog")
    folder.mkdir(exist_ok=True)
    (folder / f"{number}.bin").write_bytes(chance.randbytes(10))
"""
LINES = """
import json, sys
print(json.dumps({"text": "one " + sys.argv[1], "label": "a", "group": "g", "metadata": {"level": 2}}))
print(json.dumps({"base64": "AAE=", "source": "second"}))
print(json.dumps({"row": {"x": 1.5}}))
open("3.txt", "w").write("three"); print(json.dumps({"file": "3.txt", "split": "test"}))
print("as it goes", file=sys.stderr)
"""


def program(code: str, *arguments: str, seed: int = 1, **more):
    return {"kind": "simulator", "command": [sys.executable, "-c", code, *arguments], "seed": seed, **more}


@pytest.fixture
def simulate(ingest):
    return lambda *args, **more: ingest(**program(*args, **more))


def test_files_in_folders_are_marked_as_synthetic(simulate, rows):
    result = simulate(FILES, "{seed}", seed=7, parameters={"count": 5})
    found = rows(result.outputs["samples"]).to_pylist()
    assert [row["label"] for row in found] == ["cat", "cat", "dog", "dog", "dog"]
    metadata = json.loads(found[0]["metadata"])
    assert (metadata["synthetic"], metadata["seed"], metadata["parameters"]) == (True, 7, '{"count":5}')
    made = result.outputs["provenance"]
    assert (made["kind"], made["synthetic"], made["seed"], made["parameters"]) == ("simulator", True, 7, {"count": 5})
    assert made["command"][-1] == "{seed}"


def test_the_same_seed_gives_the_same_samples_and_another_others(simulate):
    outputs = [simulate(FILES, "{seed}", seed=seed, parameters={"count": 3}).outputs for seed in (1, 1, 2)]
    digests = [one["samples"]["digest"] for one in outputs]
    assert digests[0] == digests[1] != digests[2]


def test_lines_of_every_kind(simulate, rows):
    result = simulate(LINES, "{level}", parameters={"level": 2}, emits="lines")
    found = rows(result.outputs["samples"]).to_pylist()
    assert [row["content"] for row in found] == [b"one 2", b"\x00\x01", b'{"x":1.5}', b"three"]
    assert (found[0]["label"], found[0]["group"], found[3]["source_split"]) == ("a", "g", "test")
    assert [row["source"] for row in found] == ["line 1", "second", "line 3", "line 4"]
    assert json.loads(found[0]["metadata"])["level"] == 2


def test_fingerprint_follows_seed_parameters_and_files(tmp_path):
    (tmp_path / "model.bin").write_bytes(b"1")
    declared = program("", parameters={"a": 1}, files=[str(tmp_path / "model.bin")])
    before = parse_source(declared).fingerprint()
    assert parse_source(declared | {"timeout": 5.0}).fingerprint() == before
    assert parse_source(declared | {"seed": 2}).fingerprint() != before
    assert parse_source(declared | {"parameters": {"a": 2}}).fingerprint() != before
    (tmp_path / "model.bin").write_bytes(b"22")
    assert parse_source(declared).fingerprint() != before


def test_it_fails(simulate):
    result = simulate("import sys; print('no licence', file=sys.stderr); sys.exit(3)")
    assert_refused(result, "SourceError", "The simulator", "exit status 3", "no licence", "by hand")


@pytest.mark.parametrize(("emits", "where"), [("files", "output folder"), ("lines", "stdout")])
def test_it_emits_nothing(simulate, emits, where):
    assert_refused(simulate("", emits=emits), "SourceError", "emitted no sample", where, "AIRLOCK_OUTPUT")


def test_it_hangs(simulate):
    began = time.monotonic()
    result = simulate("import time; time.sleep(60)", silence=0.5)
    assert_refused(result, "ResourceError", "emitted nothing for silence=0.5 s", "hangs", category="resource")
    assert time.monotonic() - began < 15


def test_it_never_ends(simulate):
    code = "import time\nwhile True: print('{}', flush=True); time.sleep(0.01)"
    result = simulate(code, emits="lines", timeout=1.0)
    assert_refused(result, "ResourceError", "did not end within timeout=1 s", "Raise timeout", category="resource")


def test_it_emits_too_much(simulate):
    code = "open('big', 'wb').write(bytes(5_000_000)); import time; time.sleep(1)"
    result = simulate(code, max_bytes=1_000_000)
    assert_refused(result, "ResourceError", "5,000,000 bytes", "max_bytes=1,000,000", category="resource")


def test_it_does_not_exist(ingest):
    result = ingest(kind="simulator", command=["/no/such/simulator"], seed=1)
    assert_refused(result, "SourceError", "/no/such/simulator", "cannot be started", "No such file", "Check command")


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        ("loading model", ("line 1", "not valid")),
        ('{"text": "a", "row": {}}', ("line 1", "exactly one of text, base64, row and file")),
        ('{"label": "a"}', ("line 1", "exactly one of text, base64, row and file")),
        ('{"base64": "?"}', ("line 1", "no sample")),
        ('{"text": "a", "colour": 1}', ("line 1", "colour")),
        ('{"file": "../../etc/passwd"}', ("line 1", "leaves its folder")),
        ('{"file": "none"}', ("line 1", "No such file")),
    ],
)
def test_lines_that_are_no_samples(simulate, line, parts):
    assert_refused(simulate(f"print({line!r})", emits="lines"), "SourceError", "The simulator", *parts)


def test_an_image_needs_an_engine(ingest, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    result = ingest(kind="simulator", command=["simulate"], seed=1, image="lab/sim:1")
    assert_refused(result, "UserError", "lab/sim:1", "neither docker nor podman", "without an image")


def test_an_empty_command():
    with pytest.raises(UserError, match="command is empty"):
        parse_source({"kind": "simulator", "command": [], "seed": 1})
