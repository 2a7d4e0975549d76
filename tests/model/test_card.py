"""The model card: what it must say, and that nothing in it is obeyed."""

from typing import Any

import pytest

from airlock.errors import UserError
from airlock.governance.decisions import Decision
from airlock.governance.evaluations import ClassFigures, Evaluation, Measurement, SliceFigures
from airlock.governance.manifest import CandidateManifest, DataManifest
from airlock.model.card import page, read_facts, render
from airlock.references import Artifact, DatasetVersion, LabelSet, ModelVersion, TrackingRun

SECTIONS = [
    "Model details",
    "Intended use",
    "Factors",
    "Metrics",
    "Evaluation data",
    "Training data",
    "Quantitative analyses",
    "Ethical considerations and risk",
    "Caveats and recommendations",
]
DATASET = DatasetVersion(name="digits", version=3, digest="sha256:" + "d" * 64, rows=1797)
LABELS = LabelSet(digest="sha256:" + "e" * 64, dataset=DATASET.digest, rows=1797)
SOME = Artifact(digest="sha256:" + "a" * 64, size=1234)
FACTS = {"intended_use": "Reads digits.", "out_of_scope": "Amounts.", "ethics": "Nobody knows.", "caveats": "Small."}


def data() -> DataManifest:
    return DataManifest(
        use_case="digits",
        classes=["0", "1"],
        dataset=DATASET,
        labels=LABELS,
        split=SOME,
        report=SOME,
        dropped=SOME,
        counts={"train": 1500, "test": 297},
    )


def candidate(facts: dict[str, Any] | None = None, **changes: Any) -> CandidateManifest:
    fields: dict[str, Any] = {
        "use_case": "digits",
        "classes": ["0", "1"],
        "data": "sha256:" + "f" * 64,
        "dataset": DATASET,
        "labels": LABELS,
        "run": TrackingRun(run_id="run7", experiment="digits"),
        "version": ModelVersion(name="digits", version="4"),
        "parameters": {"epochs": 30},
        "seed": 7,
        "metrics": {"accuracy": 0.97},
        "code": {"commit": "0" * 40, "dirty": ""},
        "environment": {},
        "card_facts": FACTS if facts is None else facts,
        **dict.fromkeys(("tensors", "model", "evaluation", "picture", "transform_code", "network_code"), SOME),
    }
    return CandidateManifest(**fields | changes)


def evaluation(**changes: Any) -> Evaluation:
    figures = ClassFigures(precision=0.9, recall=0.95, f1=0.92, support=150, recall_interval=(0.9, 0.98))
    small = Measurement(
        model=SOME.digest,
        dataset=DATASET,
        split="test",
        slice="faint",
        rule="mean < 70",
        count=12,
        figures={"accuracy": 0.75},
        intervals={"accuracy": (0.47, 0.91)},
    )
    missed = SliceFigures(measured=small, misses=["faint: accuracy 0.7500, min_accuracy is 0.9"], verdict="warned")
    fields: dict[str, Any] = {
        "model": SOME.digest,
        "tensors": SOME.digest,
        "split": "test",
        "count": 297,
        "accuracy": 0.97,
        "per_class": {"0": figures, "1": figures},
        "confusion": [[1, 0], [0, 1]],
        "intervals": {"accuracy": (0.94, 0.985)},
        "dataset": DATASET,
        "slices": [missed],
    }
    return Evaluation(**fields | changes)


def decision(**changes: Any) -> Decision:
    fields: dict[str, Any] = {
        "request": "r",
        "use_case": "digits",
        "gate": "model",
        "manifest": "sha256:" + "b" * 64,
        "evidence": "sha256:e",
        "policy": "sha256:p",
        "user": "vera",
        "roles": ["model_validator"],
        "option": "Approve",
        "approved": True,
        "comment": "",
        "time": 1_767_225_600.0,
        "answers": {"risk": "low", "mitigation": "People look again."},
    }
    return Decision(**fields | changes)


class TestACard:
    def test_has_the_sections_of_mitchell_et_al_in_their_order(self) -> None:
        lines = render(candidate(), evaluation(), data()).splitlines()
        assert [line.removeprefix("## ") for line in lines if line.startswith("## ")] == SECTIONS

    def test_says_what_the_use_case_the_manifest_and_the_evaluation_say(self) -> None:
        text = render(candidate(), evaluation(), data())
        for said in (
            "Reads digits.",
            "**Out of scope.** Amounts.",
            "`epochs = 30`",
            "| accuracy | 0.97 (0.94–0.985) |",
            "`digits` version 3",
            "| `train` | 1,500 |",
            "| `faint` | 12 | 0.75 (0.47–0.91) | warned, `faint: accuracy 0.7500, min_accuracy is 0.9` |",
            "Nobody knows.",
        ):
            assert said in text

    def test_without_facts_says_that_nobody_named_them(self) -> None:
        text = render(candidate({}), evaluation(), data())
        assert "does not say what the model is for" in text
        assert text.count("None are named.") == 3

    def test_puts_claims_beside_what_was_measured(self) -> None:
        facts = FACTS | {"claims": {"accuracy": 0.99, "unheard_of": 1.0}}
        text = render(candidate(facts), evaluation(), data())
        assert "| accuracy | 0.99 | 0.97 (0.94–0.985) | **outside the interval** |" in text
        assert "unheard_of" not in text
        inside = render(candidate(FACTS | {"claims": {"accuracy": 0.95}}), evaluation(), data())
        assert "| inside the interval |" in inside

    def test_shows_the_signed_answers_with_their_questions(self) -> None:
        questions = {"risk": "How bad is a wrong answer?", "mitigation": "What is done?"}
        given: dict[str, Any] = {"digest": "sha256:" + "b" * 64, "questions": questions}
        text = render(candidate(), evaluation(), data(), decisions=[decision()], **given)
        assert "`vera` (`model_validator`) chose `Approve` on 2026-01-01 and signed:" in text
        assert "| How bad is a wrong answer? | `low` |" in text
        assert "| What is done? | `People look again.` |" in text
        assert "is not filled in" in render(candidate(), evaluation(), data(), **given)

    def test_in_its_manifest_says_where_the_answers_will_be(self) -> None:
        assert "`airlock model card` shows its signed answers" in render(candidate(), evaluation(), data())

    @pytest.mark.parametrize(
        "hostile", ["<script>alert(1)</script>", "[x](javascript:alert(1))", "a | b\n\n# Approved"]
    )
    def test_obeys_nothing_that_came_with_a_manifest(self, hostile: str) -> None:
        changed = candidate(FACTS | {"intended_use": hostile}, classes=[hostile, "1"], parameters={hostile: hostile})
        answered = decision(answers={"risk": hostile}, user=hostile)
        text = render(changed, evaluation(), data(), digest="sha256:b", decisions=[answered])
        shown = page(text, hostile).decode()
        assert "<script" not in shown
        assert 'href="javascript' not in shown
        body = text.replace(hostile, "", 1)  # what the use case says of its intended use is its own Markdown
        assert "\n# Approved" not in body


class TestFacts:
    def test_a_use_case_that_says_nothing_has_none(self) -> None:
        assert read_facts({}) is None

    @pytest.mark.parametrize(
        ("declared", "said"),
        [
            ({"summary": "x"}, "intended_use"),
            ({"intended_use": " "}, "intended_use is empty"),
            ({"intended_use": "x", "inteded_use": "y"}, "inteded_use"),
            ({"intended_use": "x", "claims": {"accuracy": "high"}}, "claims"),
            ({"intended_use": "x" * 4001}, "longer than 4000"),
        ],
    )
    def test_that_break_a_rule_are_named(self, declared: dict[str, Any], said: str) -> None:
        with pytest.raises(UserError, match=f"(?s)card's facts are not valid.*{said}"):
            read_facts(declared)
