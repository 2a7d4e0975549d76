"""Cleaners of text, rows and audio, cleaners of one's own, and what is on record about them."""

import io
import json
import zipfile

import numpy as np
import pytest
import soundfile
from data_files import assert_refused, png

from airlock.data.cleaning.audio import decode_audio
from airlock.data.cleaning.rows import fill_null, finite_numbers, not_null
from airlock.data.cleaning.text import max_length, min_length, repair_text
from airlock.data.samples import Sample, SampleWriter
from airlock.errors import DataRejected, SourceError

REPAIR = {"name": "repair_text"}


@pytest.fixture
def clean(bare_step, store, tmp_path):
    """Give ``clean(samples, cleaners, **inputs)``: the step on samples made by the test."""

    def run(samples, cleaners, streams=(), **inputs):
        path = tmp_path / "in.parquet"
        with SampleWriter(path, streams=streams) as writer:
            for sample in samples:
                writer.add(sample)
        stored = store.put_file(path)
        reference = {"ref": "artifact", "digest": stored.digest, "size": stored.size}
        return bare_step("clean", samples=reference, cleaners=cleaners, **{"classes": [], "max_dropped": 0.9, **inputs})

    return run


@pytest.fixture
def lines(store):
    """Give ``lines(artifact)``: its JSON lines."""
    return lambda artifact: [json.loads(line) for line in store.read(artifact["digest"]).splitlines()]


def texts(*contents):
    return [Sample(source=f"{number}.txt", content=content) for number, content in enumerate(contents)]


class TestText:
    @pytest.mark.parametrize(
        ("content", "text", "what"),
        [
            ("A £5 café\n".encode("cp1252"), "A £5 café\n", "2 bytes read as Windows-1252"),
            ("£1 and ".encode() + "£2".encode("latin-1"), "£1 and £2", "1 bytes read as Windows-1252"),
            ("“quoted” text".encode("cp1252"), "“quoted” text", "2 bytes read as Windows-1252"),
            (
                "The cafÃ© was full".encode(),
                "The café was full",
                "repaired ('Ã© was full' to 'é was",
            ),
            ("\ufeffmarked".encode(), "marked", "decoded from utf-8-sig"),
            ("sixteen".encode("utf-16"), "sixteen", "decoded from utf-16"),
            (b"one\r\ntwo\rthree", "one\ntwo\nthree", "line breaks"),
            (b"a long enough text with one NUL\x00 in it", "a long enough text with one NUL in it", "(U+0000)"),
            ("cafe\u0301".encode(), "café", "NFC"),
        ],
    )
    def test_repaired_text_says_what_was_wrong(self, content, text, what):
        cleaned = repair_text(content)
        assert cleaned.content.decode() == text
        assert what in "; ".join(cleaned.changes)

    @pytest.mark.parametrize("text", ["plain\n", "£ — “typography”, &amp; ﬁne", "日本語\n", "tab\there"])
    def test_good_text_is_left_alone(self, text):
        content = text.encode()
        cleaned = repair_text(content)
        assert cleaned.content is content
        assert cleaned.changes == ()

    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            (b"", "zero bytes"),
            (b"\x00\x01\x02\x03" * 20, "80 of 80 characters are control characters"),
            (bytes(range(128, 256)) * 2, "256 of 256 bytes are no UTF-8"),
            ("text".encode("utf-16-le"), "4 of 8 characters are control characters"),
            (b"\xff\xfea", "begins as utf-16 and is not"),
            (png(1, 32), "it is no text"),
        ],
    )
    def test_what_is_no_text_is_refused(self, content, reason):
        with pytest.raises(SourceError, match=reason):
            repair_text(content)

    def test_repairing_twice_changes_nothing_more(self):
        once = repair_text(("Ã© and some more\r\n£" * 20 + "\x00").encode() + b"\xa3" * 3)
        assert once.changes
        assert repair_text(once.content).changes == ()

    def test_length_in_every_unit(self):
        content = "  two wörds \n".encode()
        assert min_length(content, minimum=9).measures == {"characters": 13, "words": 2, "lines": 1}
        with pytest.raises(DataRejected, match="it has 9 characters, less than 10"):
            min_length(content, minimum=10)
        with pytest.raises(DataRejected, match="it has 2 words, less than 3"):
            min_length(content, minimum=3, unit="words")
        with pytest.raises(DataRejected, match="it has 14 bytes, more than 13"):
            max_length(content, maximum=13, unit="bytes")
        with pytest.raises(SourceError, match="no UTF-8"):
            min_length(b"\xa3", minimum=1)


class TestRows:
    def test_null_and_missing_are_dropped(self):
        assert not_null(b'{"a":1}', columns=("a",)) == b'{"a":1}'
        for row in (b'{"a":null}', b"{}", b'{"a":""}'):
            with pytest.raises(DataRejected, match="column a is null"):
                not_null(row, columns=("a",))

    @pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "[1, NaN]"])
    def test_numbers_that_are_not_finite(self, value):
        with pytest.raises(DataRejected, match=r"column a is .*, not a finite number"):
            finite_numbers(b'{"a": %s}' % value.encode())

    def test_spelled_out_only_where_a_number_is_expected(self):
        row = b'{"a": "inf", "name": "Nan"}'
        assert finite_numbers(row) == row
        with pytest.raises(DataRejected, match="column a is inf"):
            finite_numbers(row, columns=("a",))

    def test_nulls_are_filled_and_said(self):
        cleaned = fill_null(b'{"a":null,"b":2}', values={"a": 0, "b": 9})
        assert (json.loads(cleaned.content), cleaned.changes) == ({"a": 0, "b": 2}, ("null a set to 0",))

    @pytest.mark.parametrize("content", [b"no json", b"[1]", b"\xff"])
    def test_what_is_no_row(self, content):
        with pytest.raises(SourceError, match="it is no JSON object"):
            not_null(content, columns=("a",))


class TestAudio:
    @staticmethod
    def sound(seconds=0.5, rate=8000, kind="WAV", subtype="PCM_16", value=0.5):
        buffer = io.BytesIO()
        soundfile.write(buffer, np.full(int(seconds * rate), value), rate, format=kind, subtype=subtype)
        return buffer.getvalue()

    @pytest.mark.parametrize(("kind", "subtype"), [("WAV", "PCM_16"), ("FLAC", "PCM_16"), ("OGG", "VORBIS")])
    def test_measures(self, kind, subtype):
        found = decode_audio(self.sound(kind=kind, subtype=subtype), sample_rate=8000, channels=1).measures
        assert (found["seconds"], found["sample_rate"], found["channels"]) == (0.5, 8000, 1)
        assert found["rms"] == pytest.approx(0.5, abs=0.05)

    @pytest.mark.parametrize(
        ("content", "rules", "reason"),
        [
            (b"", {}, "zero bytes"),
            (b"not audio", {}, "not a readable audio file"),
            (sound(rate=16000), {"sample_rate": 8000}, "sample rate is 16000 Hz, not 8000"),
            (sound(), {"channels": 2}, "it has 1 channels, not 2"),
            (sound(), {"min_seconds": 1}, "lasts 0.5 s, less than min_seconds=1"),
            (sound(), {"max_seconds": 0.1}, "lasts 0.5 s, more than max_seconds=0.1"),
            (sound()[:-1000], {}, "cut short: 1000 bytes are missing"),
            (sound(kind="FLAC")[:-30], {}, "cut short|readable"),
            (sound(subtype="FLOAT", value=np.nan), {}, "NaN or infinite"),
        ],
    )
    def test_unusable(self, content, rules, reason):
        with pytest.raises(SourceError, match=reason):
            decode_audio(content, **rules)


class TestRecord:
    def test_repaired_text_gets_a_new_id_and_is_on_record(self, clean, lines, rows):
        samples = texts(b"plain", "£9".encode("latin-1") + b" for a text", b"")
        result = clean(samples, [REPAIR])
        assert result.failure is None
        outputs = result.outputs
        assert (outputs["rows"], outputs["dropped_rows"], outputs["changed_rows"]) == (2, 1, 1)
        after = Sample(source="", content="£9 for a text".encode()).sample_id
        expected = {"before": samples[1].sample_id, "after": after, "source": "1.txt", "cleaner": "repair_text"}
        assert lines(outputs["changes"]) == [expected | {"what": "1 bytes read as Windows-1252"}]
        dropped = {"sample_id": samples[2].sample_id, "source": "2.txt", "cleaner": "repair_text"}
        assert lines(outputs["dropped"]) == [dropped | {"reason": "it has zero bytes"}]
        found = {row["source"]: row for row in rows(outputs["samples"]).to_pylist()}
        assert found["1.txt"]["sample_id"] == after
        assert found["1.txt"]["content"].decode() == "£9 for a text"
        assert (found["1.txt"]["characters"], found["1.txt"]["words"], found["1.txt"]["bytes"]) == (13, 4, 14)
        assert found["0.txt"]["sample_id"] == samples[0].sample_id

    def test_what_becomes_the_same_by_cleaning_stays_once(self, clean, lines, rows):
        samples = texts(b"text\r\nmore", b"text\nmore", b"text\rmore")
        outputs = clean(samples, [REPAIR]).outputs
        assert (outputs["rows"], outputs["dropped_rows"]) == (1, 2)
        assert {line["reason"][:30] for line in lines(outputs["dropped"])} == {"after cleaning it is the same "}
        assert len(lines(outputs["changes"])) == 1, "what was dropped was not changed"
        assert len(set(rows(outputs["samples"])["sample_id"].to_pylist())) == 1

    def test_streams_are_cleaned_by_name(self, clean, rows, lines):
        samples = [
            Sample(source=f"{number}", content=png(number), streams={"caption": b"line\r\n%d" % number})
            for number in range(3)
        ]
        cleaners = [{"name": "decode_image", "mode": "L"}, REPAIR | {"stream": "caption"}]
        result = clean(samples, cleaners, streams=("caption",))
        assert result.failure is None
        table = rows(result.outputs["samples"])
        assert table["stream_caption"].to_pylist() == [b"line\n%d" % number for number in range(3)]
        assert table["caption_lines"].to_pylist() == [2] * 3
        ids = [
            Sample(source="", content=png(number), streams={"caption": b"line\n%d" % number}).sample_id
            for number in range(3)
        ]
        assert table["sample_id"].to_pylist() == ids
        assert table["content"].to_pylist() == [png(number) for number in range(3)]
        refused = clean(samples, [REPAIR | {"stream": "depth"}], streams=("caption",))
        assert_refused(refused, "UserError", "stream 'depth'", "Their streams: caption")

    def test_digest_tells_code_and_parameters_apart(self, clean):
        def cleaning(*cleaners):
            return clean(texts(b"some text"), list(cleaners)).outputs["cleaning"]

        one = cleaning(REPAIR, {"name": "min_length", "minimum": 2})
        again = cleaning(REPAIR, {"name": "min_length", "minimum": 2, "unit": "characters"})
        other = cleaning(REPAIR, {"name": "min_length", "minimum": 3})
        turned = cleaning({"name": "min_length", "minimum": 2}, REPAIR)
        assert one == again, "a default that is spelled out changes nothing"
        assert len({one["digest"], other["digest"], turned["digest"]}) == 3
        assert one["cleaners"][1]["parameters"] == {"minimum": 2, "unit": "characters"}
        assert one["cleaners"][0] == other["cleaners"][0]

    @pytest.mark.parametrize(
        ("cleaner", "parts"),
        [
            ({"name": "nothing"}, ("no cleaner 'nothing'", "decode_image", "your own")),
            ({}, ("no cleaner ''", "Built in")),
            ({"name": "min_length"}, ("cannot take {}", "minimum")),
            ({"name": "min_length", "minimum": "ten"}, ("Expected `int`", "minimum")),
            ({"name": "min_length", "minimum": 1, "max": 2}, ("unknown field `max`", "Its parameters: minimum, unit")),
            ({"name": "own.py:run"}, ("without its code", "operator")),
        ],
    )
    def test_wrong_declaration(self, clean, cleaner, parts):
        assert_refused(clean(texts(b"x"), [cleaner]), "UserError", *parts)


class TestOwnCleaner:
    CODE = (
        "from airlock.errors import SourceError\n"
        "def upper(content: bytes, *, but: str = ''):\n"
        "    if b'bad' in content: raise SourceError('it is bad')\n"
        "    if b'bug' in content: raise KeyError('oops')\n"
        "    return 7 if b'seven' in content else content.upper()\n"
    )

    @pytest.fixture
    def own(self, store):
        stored = store.put(self.CODE.encode())
        code = {"ref": "artifact", "digest": stored.digest, "size": stored.size}
        return {"name": "own.py:upper", "code": code}

    def test_it_changes_and_drops(self, clean, own, lines, rows):
        outputs = clean(texts(b"low", b"UP", b"bad"), [own]).outputs
        assert sorted(rows(outputs["samples"])["content"].to_pylist()) == [b"LOW", b"UP"]
        assert [line["reason"] for line in lines(outputs["dropped"])] == ["it is bad"]
        assert [line["what"] for line in lines(outputs["changes"])] == ["rewritten"]
        assert outputs["cleaning"]["cleaners"][0]["parameters"] == {"but": ""}

    def test_the_operator_hands_its_code_over_as_an_artifact(self, clean, store, tmp_path, rows):
        from airlock.operators.data import CleanOperator

        (tmp_path / "own.py").write_text(self.CODE)
        declared = [REPAIR, {"name": f"{tmp_path}/own.py:upper"}]
        operator = CleanOperator(task_id="clean", samples={}, classes=[], cleaners=declared)
        operator.__dict__["artifacts"] = store
        first, own = operator.inputs["cleaners"]
        assert first == REPAIR
        assert own["name"] == "own.py:upper", "where the file lies is not part of what it does"
        assert store.read(own["code"]["digest"]).decode() == self.CODE
        assert rows(clean(texts(b"low"), [own]).outputs["samples"])["content"].to_pylist() == [b"LOW"]

    def test_a_mistake_in_it_is_an_error_and_drops_nothing(self, clean, own):
        result = clean(texts(b"fine", b"bug"), [own])
        assert_refused(result, "UserError", "own.py:upper failed on 1.txt", "KeyError", "oops", "Correct the cleaner")
        assert_refused(clean(texts(b"seven"), [own]), "UserError", "returned a int for 0.txt")
        assert_refused(clean(texts(b"x"), [own | {"name": "own.py:lower"}]), "UserError", "no function 'lower'")
        assert_refused(clean(texts(b"x"), [own | {"but": 3}]), "UserError", "Expected `str`", "but")


class TestNews:
    """The real BBC archive, as published and with planted damage."""

    @pytest.fixture
    def archive(self, test_data):
        path = test_data / "bbc-fulltext.zip"
        if not path.is_file():
            pytest.skip(f"no {path.name} in {test_data}: name its folder with AIRLOCK_TEST_DATA")
        return path

    CLEANERS = (REPAIR, {"name": "min_length", "minimum": 50, "unit": "words"})

    @staticmethod
    def articles(archive):
        with zipfile.ZipFile(archive) as file:
            names = [name for name in file.namelist() if name.endswith(".txt")]
            return {name: file.read(name) for name in names}

    def test_every_article_is_accounted_for(self, archive, clean, lines):
        found = self.articles(archive)
        samples = [Sample(source=name, content=content) for name, content in found.items()]
        outputs = clean(samples, list(self.CLEANERS)).outputs
        distinct = set(found.values())
        foreign = {content for content in distinct if not _is_utf8(content)}
        assert outputs["rows"] + outputs["dropped_rows"] == len(distinct)
        assert outputs["dropped_rows"] == len(lines(outputs["dropped"])) == 0
        changed = lines(outputs["changes"])
        assert {Sample(source="", content=content).sample_id for content in foreign} <= {
            item["before"] for item in changed
        }
        if len(found) == 1781:
            assert (len(distinct), foreign, changed) == (1722, set(), [])

    def test_planted_damage_is_explained_to_the_byte(self, archive, clean, lines, rows):
        found = list(dict.fromkeys(self.articles(archive).values()))[:60]
        pounds = [content for content in found if "£".encode() in content][:3]
        damaged = {
            "latin.txt": pounds[0].decode().encode("latin-1"),
            "mixed.txt": pounds[1].replace("£".encode(), b"\xa3", 1),
            "twice.txt": pounds[2].decode().encode().decode("cp1252").encode(),
            "nul.txt": found[-1][:40] + b"\x00" + found[-1][40:],
            "short.txt": found[-2][:30],
            "empty.txt": b"",
            "binary.txt": png(3, 40),
        }
        rest = [content for content in found if content not in (*pounds, found[-1])]
        samples = [Sample(source=f"{number}.txt", content=content) for number, content in enumerate(rest)]
        samples += [Sample(source=name, content=content) for name, content in damaged.items()]
        outputs = clean(samples, list(self.CLEANERS)).outputs
        changed = {line["source"]: line["what"] for line in lines(outputs["changes"])}
        assert sorted(changed) == ["latin.txt", "mixed.txt", "nul.txt", "twice.txt"]
        assert changed["mixed.txt"] == "1 bytes read as Windows-1252"
        assert "'Â£" in changed["twice.txt"]
        dropped = {line["source"]: line["cleaner"] for line in lines(outputs["dropped"])}
        assert dropped == {"short.txt": "min_length", "empty.txt": "repair_text", "binary.txt": "repair_text"}
        kept = set(rows(outputs["samples"])["content"].to_pylist())
        assert kept == set(rest) | set(pounds) | {found[-1]}, "every repaired article is what was published"


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def test_flat_memory_does_not_hold_all_records(clean, lines):
    """A thousand changed samples over several batches are all on record."""
    outputs = clean(texts(*(b"%d\r\n" % number for number in range(1200))), [REPAIR]).outputs
    assert len(lines(outputs["changes"])) == outputs["changed_rows"] == 1200
