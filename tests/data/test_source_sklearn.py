"""The bundled digits."""

import io

import numpy as np
from data_files import assert_refused
from PIL import Image
from sklearn.datasets import load_digits

from airlock.data.sources import parse_source


def test_digits_divide_back_to_the_published_values(ingest, rows):
    result = ingest(kind="sklearn")
    assert (result.outputs["rows"], result.outputs["duplicates"]) == (1797, 0)
    found = rows(result.outputs["samples"]).to_pylist()
    decoded = np.stack([np.asarray(Image.open(io.BytesIO(row["content"]))) for row in found])
    digits = load_digits()
    np.testing.assert_array_equal(decoded / 15, digits.images)
    assert [row["label"] for row in found] == [str(number) for number in digits.target]
    assert found[0]["origin"] == "scikit-learn load_digits"


def test_fingerprint_is_stable():
    source = parse_source({"kind": "sklearn", "location": "digits"})
    assert source.fingerprint() == source.fingerprint()


def test_another_set_is_refused(ingest):
    assert_refused(ingest(kind="sklearn", location="iris"), "UserError", "iris", "folder, zip, tar")
