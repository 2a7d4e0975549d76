"""The IDX source, through the ingest step, on made files and on real Fashion-MNIST."""

import gzip
import io
import socket

import numpy as np
import pytest
from data_files import assert_refused, idx_bytes, idx_files
from PIL import Image

from airlock.data.idx import read_idx
from airlock.data.sources import parse_source

IMAGES, LABELS = "train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"
CLASSES = ["ant", "bee", "cow"]


def test_both_parts_are_read_without_loss(ingest, rows, tmp_path):
    folder = idx_files(tmp_path / "set")
    result = ingest(kind="idx", location=str(folder), classes=CLASSES)
    assert result.failure is None
    assert result.outputs["rows"] == 18
    found = rows(result.outputs["samples"]).to_pylist()
    assert [row["source_split"] for row in found] == ["train"] * 12 + ["test"] * 6
    assert [row["label"] for row in found[:4]] == ["ant", "bee", "cow", "ant"]
    assert (found[0]["origin"], found[12]["source"]) == (LABELS, "t10k-images-idx3-ubyte.gz#0")
    decoded = np.stack([np.asarray(Image.open(io.BytesIO(row["content"]))) for row in found[:12]])
    np.testing.assert_array_equal(decoded, read_idx(folder / IMAGES, 1 << 20, 3))


def test_files_that_are_not_gzipped(ingest, tmp_path):
    folder = idx_files(tmp_path / "set")
    packed = folder / IMAGES
    (folder / IMAGES.removesuffix(".gz")).write_bytes(gzip.decompress(packed.read_bytes()))
    packed.unlink()
    assert ingest(kind="idx", location=str(folder)).outputs["rows"] == 18


def test_one_split_only_and_numbers_as_classes(ingest, rows, tmp_path):
    result = ingest(kind="idx", location=str(idx_files(tmp_path / "set")), splits=["test"])
    assert rows(result.outputs["samples"])["label"].to_pylist() == ["0", "1", "2"] * 2


def test_published_folder_at_a_url(ingest, site, tmp_path):
    for path in idx_files(tmp_path / "set").iterdir():
        site.serve(f"/fashion/{path.name}", path.read_bytes(), ETag=f'"{path.name}"')
    result = ingest(kind="idx", location=f"{site.url}/fashion/", classes=CLASSES)
    assert result.failure is None
    local = ingest(kind="idx", location=str(tmp_path / "set"), classes=CLASSES)
    assert result.outputs["samples"] == local.outputs["samples"], "where the files are must not change the samples"


def test_fingerprint_follows_the_etags(site, tmp_path):
    for path in idx_files(tmp_path / "set").iterdir():
        site.serve(f"/{path.name}", path.read_bytes(), ETag='"1"')
    source = parse_source({"kind": "idx", "location": site.url})
    before = source.fingerprint()
    assert source.fingerprint() == before
    site.serve(f"/{LABELS}", b"new", ETag='"2"')
    assert source.fingerprint() != before


def test_wrong_magic(ingest, tmp_path):
    folder = idx_files(tmp_path / "set")
    (folder / IMAGES).write_bytes(gzip.compress(idx_bytes(np.zeros((12, 5, 7), np.uint8), magic=0x0D03)))
    result = ingest(kind="idx", location=str(folder))
    assert_refused(result, "SourceError", IMAGES, "0x00000d03", "0x00000803", "mixed up")


def test_images_and_labels_mixed_up(ingest, tmp_path):
    folder = idx_files(tmp_path / "set")
    (folder / LABELS).write_bytes((folder / IMAGES).read_bytes())
    assert_refused(ingest(kind="idx", location=str(folder)), "SourceError", LABELS, "0x00000803", "0x00000801")


def test_truncated_gzip(ingest, tmp_path):
    folder = idx_files(tmp_path / "set")
    data = (folder / IMAGES).read_bytes()
    (folder / IMAGES).write_bytes(data[: len(data) // 2])
    result = ingest(kind="idx", location=str(folder))
    assert_refused(result, "SourceError", IMAGES, "truncated gzip", "Fetch the file again")


def test_damaged_gzip(ingest, tmp_path):
    folder = idx_files(tmp_path / "set")
    data = bytearray((folder / IMAGES).read_bytes())
    data[-6] ^= 0xFF
    (folder / IMAGES).write_bytes(data)
    assert_refused(ingest(kind="idx", location=str(folder)), "SourceError", IMAGES, "damaged")


@pytest.mark.parametrize(("change", "found"), [(-3, "only 417"), (3, "more")])
def test_other_length_than_declared(ingest, tmp_path, change, found):
    folder = idx_files(tmp_path / "set")
    data = gzip.decompress((folder / IMAGES).read_bytes())
    (folder / IMAGES).write_bytes(gzip.compress(data[:change] if change < 0 else data + bytes(change)))
    assert_refused(ingest(kind="idx", location=str(folder)), "SourceError", IMAGES, "declares 420 bytes", found)


def test_gzip_bomb(ingest, tmp_path):
    folder = idx_files(tmp_path / "set")
    (folder / IMAGES).write_bytes(gzip.compress(idx_bytes(np.zeros((3000, 28, 28), np.uint8))))
    result = ingest(kind="idx", location=str(folder), max_bytes=1_000_000)
    assert_refused(result, "SourceError", IMAGES, "2,352,000 bytes", "max_bytes=1,000,000")


def test_counts_of_images_and_labels_differ(ingest, tmp_path):
    folder = idx_files(tmp_path / "set")
    (folder / LABELS).write_bytes(gzip.compress(idx_bytes(np.zeros(11, np.uint8))))
    result = ingest(kind="idx", location=str(folder))
    assert_refused(result, "SourceError", f"{IMAGES} holds 12 images", f"{LABELS} 11 labels", "same place")


def test_missing_file(ingest, tmp_path):
    folder = idx_files(tmp_path / "set")
    (folder / LABELS).unlink()
    assert_refused(ingest(kind="idx", location=str(folder)), "SourceError", str(folder), LABELS, "splits you have")


def test_url_that_answers_404(ingest, site):
    result = ingest(kind="idx", location=site.url)
    assert_refused(result, "SourceError", f"{site.url}/{IMAGES}", "404 Not Found", "in a browser")


def test_url_that_serves_html(ingest, site):
    site.serve(f"/{IMAGES}", b"<!DOCTYPE html><title>Sign in</title>")
    assert_refused(ingest(kind="idx", location=site.url), "SourceError", IMAGES, "HTML page", "file itself")


def test_connection_refused(ingest):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
    result = ingest(kind="idx", location=url)
    assert_refused(result, "InfrastructureError", url, "cannot be fetched", "again", category="infrastructure")


def test_real_fashion_mnist(ingest, bare_step, rows, fashion):
    names = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"]
    result = ingest(kind="idx", location=str(fashion), classes=names)
    assert (result.outputs["rows"], result.outputs["duplicates"]) == (720, 0)
    labels = rows(result.outputs["samples"])["label"].to_pylist()
    assert {name: labels.count(name) for name in names} == dict.fromkeys(names, 72)
    cleaned = bare_step(
        "clean", samples=result.outputs["samples"], classes=names, cleaners=[{"name": "decode_image", "mode": "L"}]
    )
    assert (cleaned.outputs["rows"], cleaned.outputs["dropped_rows"]) == (720, 0)
