"""The clean step: kept with measures, or dropped with a reason."""

import io
import json

import numpy as np
import pytest
from data_files import assert_refused, declared_png, image_folder, png
from PIL import Image

from airlock.data.images import encode_png
from airlock.references import Artifact

CLASSES = ["cat", "dog"]
GREY = {"name": "decode_image", "mode": "L"}


@pytest.fixture
def clean(ingest, bare_step, tmp_path):
    """Give ``clean(**inputs)`` of the folder ``pets``, which the test fills."""

    def run(**inputs):
        samples = ingest(kind="folder", location=str(tmp_path / "pets")).outputs["samples"]
        return bare_step(
            "clean", **{"samples": samples, "classes": CLASSES, "cleaners": [GREY], "max_dropped": 0.5, **inputs}
        )

    image_folder(tmp_path / "pets", {"cat": 4, "dog": 4})
    return run


@pytest.fixture
def add(tmp_path):
    return lambda name, content: (tmp_path / "pets" / name).write_bytes(content)


@pytest.fixture
def reasons(store):
    """Give ``reasons(result)``: source to reason of what was dropped."""

    def read(result):
        lines = store.read(result.links["Dropped samples"]).splitlines()
        return {item["source"]: item["reason"] for item in map(json.loads, lines)}

    return read


def test_measures_are_added_and_nothing_else_changes(clean, rows, ingest, tmp_path):
    result = clean()
    assert (result.outputs["rows"], result.outputs["dropped_rows"]) == (8, 0)
    before = rows(ingest(kind="folder", location=str(tmp_path / "pets")).outputs["samples"])
    after = rows(result.outputs["samples"])
    assert after.select(before.column_names).equals(before)
    types = {name: str(after.schema.field(name).type) for name in after.column_names[-6:]}
    numbers = {"width": "int32", "height": "int32", "bytes": "int64", "mean": "double", "std": "double"}
    assert types == {"mode": "string", **numbers}
    for row in after.to_pylist():
        pixels = np.asarray(Image.open(io.BytesIO(row["content"])))
        assert (row["width"], row["height"], row["mode"], row["bytes"]) == (8, 8, "L", len(row["content"]))
        assert (row["mean"], row["std"]) == pytest.approx((pixels.mean(), pixels.std()))


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("cat/zero.png", b"", "zero bytes"),
        ("cat/text.png", b"not an image at all", "not a readable image"),
        ("cat/cut.png", png(50, 64)[:-2000], "pixels cannot be decoded"),
        ("cat/damaged.png", png(51)[:40] + b"\0" * 8 + png(51)[48:], "image"),
        ("cat/colour.png", png(52, mode="RGB"), "mode is RGB, not L"),
        ("cat/small.png", png(53, 3), "3x3 pixels, a side is below min_side=4"),
        ("cat/large.png", png(54, 65), "65x65 pixels, a side is above max_side=64"),
        ("cow.png", png(55), ""),
    ],
)
def test_unusable_image_is_dropped_with_its_reason(clean, add, reasons, name, content, reason):
    add(name, content)
    result = clean(cleaners=[GREY | {"min_side": 4, "max_side": 64}])
    assert result.failure is None
    expected = 1 if reason else 0  # a sample without a label stays: labelling comes later
    assert (result.outputs["rows"], result.outputs["dropped_rows"]) == (9 - expected, expected)
    if reason:
        assert reason in reasons(result)[name]


def test_unknown_label_is_dropped_with_its_reason(clean, reasons, tmp_path):
    image_folder(tmp_path / "pets", {"cow": 1}, seed=90)
    result = clean()
    assert result.outputs["dropped_rows"] == 1
    assert reasons(result) == {"cow/0091.png": "its label 'cow' is none of the classes cat, dog"}


def test_huge_dimensions_are_refused_before_decoding(clean, add, reasons):
    add("cat/bomb.png", declared_png(60_000, 60_000))
    assert "decompression bomb" in reasons(clean())["cat/bomb.png"]


def test_more_dropped_than_allowed(clean, add, reasons):
    for number in range(7):
        add(f"cat/bad{number}.png", b"bad %d" % number)
    result = clean(max_dropped=0.25)
    assert_refused(result, "DataRejected", "7 of 15 samples", "max_dropped=0.25", "cat/bad0.png", "…", "Repair")
    assert len(reasons(result)) == 7, "the record is stored before the step fails"


def test_exactly_as_many_dropped_as_allowed(clean, add):
    add("cat/bad.png", b"bad")
    add("cat/bad2.png", b"bad2")
    assert clean(max_dropped=0.2).outputs["dropped_rows"] == 2


def test_nothing_left(clean):
    assert_refused(clean(classes=["cow"], max_dropped=1), "DataRejected", "8 of 8", "none is left", "'cat'", "classes")


def test_damaged_input_artifact(bare_step, store):
    digest = store.put(b"not parquet").digest
    reference = {"ref": "artifact", "digest": digest, "size": 11}
    result = bare_step("clean", samples=reference, classes=CLASSES, cleaners=[GREY])
    assert result.status == "failed"
    missing = Artifact(digest="sha256:" + "0" * 64, size=1)
    result = bare_step(
        "clean", samples={"ref": "artifact", "digest": missing.digest, "size": 1}, classes=CLASSES, cleaners=[GREY]
    )
    assert_refused(result, "IntegrityError", "not in the store")


def test_rule_needs_a_known_mode(clean):
    assert_refused(clean(cleaners=[GREY | {"mode": "LAB"}]), "UserError", "mode", "Its parameters: mode, min_side")


def test_stored_png_is_read_back_exactly():
    array = np.random.default_rng(3).integers(0, 256, (11, 300), dtype=np.uint8)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(encode_png(array)))), array)
