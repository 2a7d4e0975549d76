"""Multi-stream samples: RGB, mask and depth joined by key, and what is refused, through the ingest step."""

import gzip
import io
import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_files import assert_refused
from PIL import Image

from airlock.data.idx import read_idx
from airlock.data.images import encode_png
from airlock.digests import digest_bytes, digest_document

KEY = r"(\d+)\.(?:png|npy)$"


def scene(root: Path, number: int, side: int = 8, label: str = "day") -> None:
    """Write the three streams of one sample."""
    random = np.random.default_rng(number)
    rgb = random.integers(0, 256, (side, side, 3), dtype=np.uint8)
    for name in (f"rgb/{label}", "mask", "depth"):
        (root / name).mkdir(parents=True, exist_ok=True)
    Image.fromarray(rgb).save(root / "rgb" / label / f"{number:04}.png")
    Image.fromarray((rgb.mean(axis=2) > 127).astype(np.uint8)).save(root / "mask" / f"{number:04}.png")
    np.save(root / "depth" / f"{number:04}.npy", random.random((side, side), dtype=np.float32))


def declared(root: Path, **changes: Any) -> dict[str, Any]:
    """Return the source of :func:`scene`'s files."""
    streams = {name: {"kind": "folder", "location": str(root / name)} for name in ("rgb", "mask", "depth")}
    rules = {"rgb": {"modes": ["RGB"]}, "mask": {"modes": ["L"]}, "depth": {"modes": ["float32"]}}
    return {"kind": "joined", "streams": streams, "key": KEY, "primary": "rgb", "rules": rules} | changes


@pytest.fixture
def scenes(tmp_path: Path) -> Path:
    for number in range(6):
        scene(tmp_path / "scenes", number, label="day" if number % 2 else "night")
    return tmp_path / "scenes"


class TestComplete:
    def test_one_row_holds_every_stream(self, ingest, rows, scenes):
        result = ingest(**declared(scenes))
        assert result.failure is None, result.failure
        found = rows(result.outputs["samples"]).to_pylist()
        assert [row["label"] for row in found] == ["day"] * 3 + ["night"] * 3
        for row in found:
            number = Path(row["source"]).stem
            mask, depth = scenes / "mask" / f"{number}.png", scenes / "depth" / f"{number}.npy"
            assert row["content"] == (scenes / "rgb" / row["source"]).read_bytes()
            assert row["stream_mask"] == mask.read_bytes()
            assert np.array_equal(np.load(io.BytesIO(row["stream_depth"])), np.load(depth))
            parts = {name: digest_bytes(row[f"stream_{name}"]) for name in ("mask", "depth")}
            assert f"sha256:{row['sample_id']}" == digest_document([digest_bytes(row["content"]), parts])
            assert row["metadata"] == f'{{"key":"{number}"}}'

    def test_another_mask_is_another_sample(self, ingest, rows, scenes):
        before = rows(ingest(**declared(scenes)).outputs["samples"])["sample_id"].to_pylist()
        shutil.copy(scenes / "mask" / "0001.png", scenes / "mask" / "0003.png")
        after = rows(ingest(**declared(scenes)).outputs["samples"])["sample_id"].to_pylist()
        assert len(set(before) & set(after)) == 5

    def test_real_fashion_images_with_masks_and_depths_made_from_them(self, ingest, rows, fashion, tmp_path):
        images = read_idx(next(fashion.glob("t10k-images*")), 1 << 30, 3)[:100]
        for name in ("rgb", "mask", "depth"):
            (tmp_path / name).mkdir()
        for number, image in enumerate(images):
            (tmp_path / "rgb" / f"{number:04}.png").write_bytes(encode_png(image))
            (tmp_path / "mask" / f"{number:04}.png").write_bytes(encode_png((image > 0).astype(np.uint8)))
            np.save(tmp_path / "depth" / f"{number:04}.npy", image.astype(np.float32) / 255)
        rules = {"rgb": {"modes": ["L"]}, "mask": {"modes": ["L"]}, "depth": {"modes": ["float32"]}}
        result = ingest(**declared(tmp_path, rules=rules))
        assert result.failure is None, result.failure
        table = rows(result.outputs["samples"])
        assert table.num_rows == 100
        row = table.slice(17, 1).to_pylist()[0]
        picture = np.asarray(Image.open(io.BytesIO(row["content"])))
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(row["stream_mask"]))), picture > 0)
        assert np.allclose(np.load(io.BytesIO(row["stream_depth"])) * 255, picture)


class TestMissing:
    def test_every_key_and_its_missing_streams_are_named(self, ingest, scenes):
        (scenes / "mask" / "0002.png").unlink()
        (scenes / "depth" / "0002.npy").unlink()
        (scenes / "depth" / "0005.npy").unlink()
        said = ("2 samples do not have every stream", "0002 lacks mask and depth", "0005 lacks depth", '"drop"')
        assert_refused(ingest(**declared(scenes)), "SourceError", *said)

    def test_what_only_another_stream_has_is_missing_too(self, ingest, scenes):
        (scenes / "rgb" / "night" / "0004.png").unlink()
        assert_refused(ingest(**declared(scenes)), "SourceError", "0004 lacks rgb")

    def test_on_request_they_are_left_out_and_logged(self, ingest, scenes, caplog):
        (scenes / "mask" / "0002.png").unlink()
        with caplog.at_level(logging.WARNING):
            result = ingest(**declared(scenes, missing="drop"))
        assert result.outputs["rows"] == 5
        assert "left out: 0002 lacks mask" in caplog.text

    def test_none_left_is_refused(self, ingest, scenes):
        for path in (scenes / "mask").iterdir():
            path.rename(path.with_name(f"9{path.name}"))
        assert_refused(ingest(**declared(scenes, missing="drop")), "SourceError", "12 samples do not have every")


class TestKeys:
    def test_a_key_that_is_there_twice_is_refused(self, ingest, scenes):
        shutil.copytree(scenes / "rgb" / "day", scenes / "rgb" / "dusk")
        said = ("stream rgb has the key '0001' twice", "day/0001.png and dusk/0001.png")
        assert_refused(ingest(**declared(scenes)), "SourceError", *said)

    def test_one_that_matches_nothing_is_refused(self, ingest, scenes):
        result = ingest(**declared(scenes, key=r"frame-(\d+)"))
        assert_refused(result, "SourceError", "matches 0 of 6 paths of the stream rgb", "day/0001.png")

    def test_one_that_matches_some_is_refused(self, ingest, scenes):
        shutil.copy(scenes / "mask" / "0001.png", scenes / "mask" / "readme.png")
        assert_refused(ingest(**declared(scenes)), "SourceError", "6 of 7 paths of the stream mask", "readme.png")

    @pytest.mark.parametrize(("key", "said"), [("(", "no regular expression"), (r"\d+", "has no group")])
    def test_one_that_is_none_is_refused(self, ingest, scenes, key, said):
        assert_refused(ingest(**declared(scenes, key=key)), "UserError", said)


class TestAlignment:
    def test_another_size_is_refused(self, ingest, scenes):
        Image.new("L", (8, 9)).save(scenes / "mask" / "0003.png")
        said = ("Sample 0003", "mask is 8x9 pixels, rgb is 8x8")
        assert_refused(ingest(**declared(scenes)), "SourceError", *said)

    def test_a_stream_that_is_not_aligned_may_have_another(self, ingest, scenes):
        Image.new("L", (8, 9)).save(scenes / "mask" / "0003.png")
        result = ingest(**declared(scenes, rules={"mask": {"aligned": False}}))
        assert result.outputs["rows"] == 6

    def test_another_mode_is_refused(self, ingest, scenes):
        Image.new("RGB", (8, 8)).save(scenes / "mask" / "0003.png")
        assert_refused(ingest(**declared(scenes)), "SourceError", "Sample 0003: the stream mask is RGB, not L")

    def test_another_dtype_is_refused(self, ingest, scenes):
        np.save(scenes / "depth" / "0003.npy", np.zeros((8, 8)))
        assert_refused(ingest(**declared(scenes)), "SourceError", "stream depth is float64, not float32")

    @pytest.mark.parametrize(("name", "cut"), [("mask/0003.png", 60), ("depth/0003.npy", 200), ("mask/0003.png", 0)])
    def test_a_stream_that_was_cut_short_is_refused(self, ingest, scenes, name, cut):
        path = scenes / name
        path.write_bytes(path.read_bytes()[:cut])
        stream = name.partition("/")[0]
        assert_refused(ingest(**declared(scenes)), "SourceError", f"Sample 0003: the stream {stream} cannot be used")

    def test_an_array_with_pickled_objects_is_refused_unread(self, ingest, scenes):
        np.save(scenes / "depth" / "0003.npy", np.array([[object()]], dtype=object), allow_pickle=True)
        assert_refused(ingest(**declared(scenes)), "SourceError", "stream depth cannot be used")


class TestDeclaration:
    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"primary": "color"}, "speaks of color"),
            ({"rules": {"sound": {}}}, "speaks of sound"),
            ({"streams": {"rgb": {"kind": "folder", "location": "/tmp"}}}, "streams rgb"),
        ],
    )
    def test_that_does_not_fit_together_is_refused(self, ingest, scenes, changes, said):
        assert_refused(ingest(**declared(scenes, **changes)), "UserError", said)

    def test_a_join_of_joins_is_refused(self, ingest, scenes):
        source = declared(scenes)
        source["streams"]["mask"] = declared(scenes)
        assert_refused(ingest(**source), "UserError", "mask is joined itself")


def test_parts_that_disagree_about_the_split_are_refused(ingest, tmp_path):
    for name, prefix in (("a", "train"), ("b", "t10k")):
        (tmp_path / name).mkdir()
        head = b"\x00\x00\x08\x03\x00\x00\x00\x01\x00\x00\x00\x02\x00\x00\x00\x02"
        (tmp_path / name / f"{prefix}-images-idx3-ubyte.gz").write_bytes(gzip.compress(head + b"1234"))
        labels = b"\x00\x00\x08\x01\x00\x00\x00\x01\x00"
        (tmp_path / name / f"{prefix}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(labels))
    parts = {"a": ["train"], "b": ["test"]}
    streams = {name: {"kind": "idx", "location": str(tmp_path / name), "splits": part} for name, part in parts.items()}
    result = ingest(kind="joined", streams=streams, key=r"#(\d+)", primary="a")
    assert_refused(result, "SourceError", "stream b is test, a is train")
