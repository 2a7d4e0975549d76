"""Bad contents: every kind is refused, dropped or repaired, and the message says what was wrong."""

import io
import json
import wave

import numpy as np
import pandas as pd
import pytest
from data_files import assert_refused, declared_png, png
from PIL import Image

from airlock.data.checks import Subject, decode_checks, run_checks
from airlock.data.samples import Sample, SampleWriter
from airlock.data.suites import decode_suite
from airlock.data.validation import validate
from airlock.errors import UserError

IMAGE = {"name": "decode_image", "mode": "L"}
TEXT = {"name": "repair_text"}


@pytest.fixture
def clean(bare_step, store, tmp_path):
    """Give ``clean({source: content}, cleaner, …)``: the step's result on these samples."""

    def run(contents, *cleaners, **inputs):
        path = tmp_path / "in.parquet"
        with SampleWriter(path) as writer:
            for source, content in contents.items():
                writer.add(Sample(source=source, content=content))
        stored = store.put_file(path)
        reference = {"ref": "artifact", "digest": stored.digest, "size": stored.size}
        given = {"samples": reference, "classes": [], "cleaners": list(cleaners), "max_dropped": 0.9}
        return bare_step("clean", **given | inputs)

    return run


@pytest.fixture
def reason(clean, store):
    """Give ``reason(content, cleaner, source=…)``: why that content is dropped; a good one beside it stays."""

    def run(content, cleaner, source="bad", good=None):
        good = good or (b"a good text" if cleaner["name"] == "repair_text" else png(1, 32))
        result = clean({source: content, "good": good}, cleaner)
        assert result.failure is None, result.failure
        assert result.outputs["rows"] == 1, "what is good stays"
        lines = [json.loads(line) for line in store.read(result.outputs["dropped"]["digest"]).splitlines()]
        assert [line["source"] for line in lines] == [source]
        return lines[0]["reason"]

    return run


def saved(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def noise(mode="L", side=64):
    shape = (side, side) if mode == "L" else (side, side, 3)
    return Image.fromarray(np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8))


class TestImages:
    def test_truncated_jpeg(self, reason):
        content = saved(noise(), "JPEG", quality=95)
        assert "pixels cannot be decoded" in reason(content[: len(content) // 2], IMAGE)
        assert "truncated" in reason(content[: len(content) // 2], IMAGE)

    def test_truncated_png(self, reason):
        content = saved(noise(), "PNG")
        assert "pixels cannot be decoded" in reason(content[: len(content) // 2], IMAGE)

    def test_png_of_which_only_the_header_came(self, reason):
        assert "image" in reason(png(1)[:20], IMAGE) or "decoded" in reason(png(1)[:20], IMAGE)

    def test_png_with_a_flipped_bit(self, reason):
        content = bytearray(saved(noise(), "PNG"))
        content[len(content) // 2] ^= 1
        assert "cannot be decoded" in reason(bytes(content), IMAGE)

    def test_zero_bytes(self, reason):
        assert reason(b"", IMAGE) == "it has zero bytes"

    def test_html_page_named_png(self, reason):
        assert "not a readable image" in reason(b"<!doctype html><html>", IMAGE, source="error.png")

    def test_extension_of_another_format(self, reason):
        strict = {"name": "decode_image", "extension": True}
        found = reason(saved(noise(), "PNG"), strict, source="really.jpg")
        assert found == "its name ends in .jpg, its format is PNG"

    def test_format_that_is_not_wanted(self, reason):
        only = {"name": "decode_image", "formats": ["PNG"]}
        assert reason(saved(noise(), "BMP"), only) == "its format is BMP, not PNG"

    def test_20000_x_20000_pixels_are_refused_before_decoding(self, reason):
        found = reason(declared_png(20_000, 20_000), IMAGE)
        assert "400000000 pixels" in found
        assert "bomb" in found

    def test_9000_x_1_pixels_are_refused_before_decoding(self, reason):
        found = reason(declared_png(9000, 1), IMAGE)
        assert found == "it is 9000x1 pixels, a side is above max_side=8192"

    @pytest.mark.parametrize(
        ("mode", "content"),
        [
            ("CMYK", saved(noise("RGB").convert("CMYK"), "JPEG")),
            ("I;16", saved(Image.fromarray(np.full((9, 9), 40_000, np.uint16)), "PNG")),
            ("P", saved(noise().convert("P"), "PNG")),
            ("RGBA", saved(noise("RGB").convert("RGBA"), "PNG")),
        ],
    )
    def test_mode_that_is_not_wanted(self, reason, mode, content):
        assert reason(content, IMAGE) == f"its mode is {mode}, not L"

    def test_animation(self, reason):
        frames = [noise(side=side) for side in (16,) * 3]
        frames = [frame.point(lambda value, n=n: value ^ n) for n, frame in enumerate(frames, 1)]
        content = saved(frames[0], "GIF", save_all=True, append_images=frames[1:])
        assert reason(content, {"name": "decode_image"}) == "it is animated: 3 frames"

    def test_pixels_that_are_not_finite(self, reason):
        pixels = np.full((8, 8), np.nan, np.float32)
        found = reason(saved(Image.fromarray(pixels), "TIFF"), {"name": "decode_image", "mode": "F"}, good=GOOD_FLOAT)
        assert found == "its pixels hold NaN or infinite values"


GOOD_FLOAT = saved(Image.fromarray(np.ones((8, 8), np.float32)), "TIFF")


class TestTexts:
    def test_mixed_encodings_are_repaired(self, clean, store):
        content = "£1 and ".encode() + "£2 for a café".encode("latin-1")
        result = clean({"mixed.txt": content}, TEXT)
        changes = [json.loads(line) for line in store.read(result.outputs["changes"]["digest"]).splitlines()]
        assert [line["what"] for line in changes] == ["2 bytes read as Windows-1252"]

    def test_nul_bytes_are_removed_and_told(self, clean, store):
        result = clean({"nul.txt": b"a text with a\x00 NUL byte in it, and more words"}, TEXT)
        changes = [json.loads(line) for line in store.read(result.outputs["changes"]["digest"]).splitlines()]
        assert [line["what"] for line in changes] == ["1 control characters removed (U+0000)"]

    def test_binary_file(self, reason):
        assert "it is no text" in reason(png(1, 32), TEXT)

    def test_utf_16_without_its_mark(self, reason):
        assert "control characters" in reason("some text".encode("utf-16-le"), TEXT)

    def test_zero_bytes(self, reason):
        assert reason(b"", TEXT) == "it has zero bytes"

    def test_blanks_only(self, reason):
        strict = {"name": "min_length", "minimum": 1}
        assert reason(b" \n\t ", strict, good=b"x") == "it has 0 characters, less than 1"

    def test_length_of_what_was_not_repaired(self, reason):
        strict = {"name": "min_length", "minimum": 1}
        assert reason(b"\xa31", strict, good=b"x") == "it is no UTF-8 (byte 0); declare repair_text first"


class TestRows:
    @pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
    def test_numbers_that_are_not_finite(self, reason, number):
        found = reason(b'{"age": %s}' % number.encode(), {"name": "finite_numbers"}, good=b'{"age": 1}')
        assert "its column age is" in found
        assert "not a finite number" in found

    def test_null_in_a_column_that_must_not_be(self, reason):
        strict = {"name": "not_null", "columns": ["age"]}
        assert reason(b'{"age": null}', strict, good=b'{"age": 1}') == "its column age is null"

    def test_row_that_is_cut_short(self, reason):
        assert "it is no JSON object" in reason(b'{"age": ', {"name": "finite_numbers"}, good=b"{}")


class TestAudio:
    def sound(self, frames=4000):
        buffer = io.BytesIO()
        with wave.open(buffer, "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(8000)
            file.writeframes(np.random.default_rng(frames).integers(-9000, 9000, frames, np.int16).tobytes())
        return buffer.getvalue()

    def test_truncated_wave(self, reason):
        found = reason(self.sound()[:-100], {"name": "decode_audio"}, good=self.sound(100))
        assert found == "it is cut short: 100 bytes are missing"

    def test_picture_named_wav(self, reason):
        found = reason(png(1), {"name": "decode_audio"}, source="noise.wav", good=self.sound())
        assert "not a readable audio file" in found


class TestWholeDataset:
    def test_ten_percent_corrupt_are_more_than_five(self, clean, store):
        contents = {f"{n}.png": b"corrupt %d" % n if n % 10 == 0 else png(n) for n in range(50)}
        result = clean(contents, IMAGE, max_dropped=0.05)
        assert_refused(result, "DataRejected", "5 of 50 samples cannot be used, above max_dropped=0.05", "0.png: it is")
        assert len(store.read(result.links["Dropped samples"]).splitlines()) == 5
        assert clean(contents, IMAGE, max_dropped=0.1).outputs["rows"] == 45

    def test_everything_corrupt(self, clean):
        result = clean({f"{n}": b"bad %d" % n for n in range(3)}, IMAGE, max_dropped=1)
        assert_refused(result, "DataRejected", "3 of 3 samples cannot be used, none is left")

    def test_corrupt_files_behind_cleaning(self):
        ids = [f"{n:064x}" for n in range(2)]
        frame = pd.DataFrame({"sample_id": ids, "label": "a", "mode": "L"})
        subject = Subject(frame, lambda: iter(zip(ids, (png(1), png(2, 64)[:300]), strict=True)))
        check = run_checks(decode_checks([{"check": "corrupt_files"}]), subject)[0]
        assert (check.success, check.sample_ids) == (False, (ids[1],))


class TestExpectations:
    @staticmethod
    def suite(kind, **kwargs):
        entry = {"type": kind, "kwargs": kwargs, "severity": "critical"}
        return decode_suite(json.dumps({"name": "bad", "expectations": [entry]}).encode())

    @staticmethod
    def frame(**columns):
        return pd.DataFrame({"sample_id": ["a" * 64, "b" * 64], "label": ["cat", "dog"]} | columns)

    def test_exception_inside_is_no_verdict(self):
        with pytest.raises(UserError, match="could not be checked") as caught:
            validate(self.frame(), self.suite("expect_column_values_to_be_between", column="label", min_value=1))
        assert "nothing about the data" in caught.value.hint

    def test_unknown_expectation(self):
        with pytest.raises(UserError, match="no expectation type 'expect_beauty'"):
            validate(self.frame(), self.suite("expect_beauty", column="label"))

    def test_all_null_column_is_not_in_a_set_by_silence(self):
        frame = self.frame(camera=pd.Series([None, None], dtype=object))
        found = validate(frame, self.suite("expect_column_values_to_not_be_null", column="camera")).checks[0]
        assert (found.success, found.failing) == (False, 2)

    def test_nan_and_infinity_in_a_measure(self):
        frame = self.frame(mean=[np.inf, 5.0])
        found = validate(frame, self.suite("expect_column_values_to_be_between", column="mean", max_value=255)).checks[
            0
        ]
        assert (found.success, found.sample_ids) == (False, ("a" * 64,))

    def test_row_condition_sees_columns_that_no_argument_names(self):
        condition = {"row_condition": 'label == "cat"', "condition_parser": "pandas"}
        kwargs = {"column": "side", "min_value": 5} | condition
        frame = self.frame(side=[9, 1])
        assert validate(frame, self.suite("expect_column_values_to_be_between", **kwargs)).checks[0].success
