"""The report's page shows what the checks found, to everybody, and lets no sample become markup."""

from data_files import png
from subjects import frames, jpeg, scene, subject_of

from airlock.data.checks import Previous, Subject, decode_checks, run_checks
from airlock.data.report import render
from airlock.data.validation import Verdict


class TestPage:
    def page(self, subject, *checks):
        contents = dict(subject.contents())
        verdict = Verdict(suite="s", rows=subject.rows, checks=run_checks(decode_checks(checks), subject))
        found = render(verdict, "pets version 1", subject.labels, lambda ids: {name: contents[name] for name in ids})
        return found.decode()

    def test_pairs_stand_side_by_side(self):
        contents = [jpeg(scene(1)), jpeg(scene(1), 60), jpeg(scene(2))]
        text = self.page(subject_of(contents), {"check": "near_duplicates", "max_share": 0})
        assert text.count('<div class="pair">') == 1
        assert text.count("data:image/png;base64,") == 2
        assert "% alike" in text

    def test_texts_are_shown_as_excerpts_that_cannot_become_markup(self):
        evil = b"<script>alert(1)</script> & more"
        text = self.page(subject_of([evil, evil.upper()]), {"check": "exact_duplicates"})
        assert "<script" not in text.lower()
        assert "&lt;script&gt;" in text
        assert text.count("<blockquote") == 2

    def test_corrupt_files_are_shown_as_that(self):
        subject = subject_of([png(1), png(2, 64)[:-2000], b""], columns={"mode": ["L"] * 3})
        text = self.page(subject, {"check": "corrupt_files"})
        assert "pixels cannot be decoded" in text
        assert "it has zero bytes" in text

    def test_drift_is_drawn_and_keyboard_reaches_everything(self):
        rows = frames(300)
        subject = Subject(rows, lambda: iter((name, b"text") for name in rows["sample_id"]))
        subject.previous = Previous(title="pets version 0", frame=frames(300, shift=40))
        text = self.page(subject, {"check": "drift", "severity": "warning"})
        assert text.count("<svg") > 10
        assert "<summary>mean</summary>" in text
        assert "! warning" in text
        assert '<a class="skip" href="#samples">' in text
        assert ":focus-visible" in text
        for outside in ("http://", "https://", "<script", "<link", "url("):
            assert outside not in text
