"""Which samples people are asked about."""

from typing import Any

import msgspec
import numpy as np
import pytest

from airlock.governance.evidence import champion_of, evidence
from airlock.governance.manifest import load_any
from airlock.labeling.selection import entropy, k_center, least_confidence, margin, most, stratified
from airlock.labeling.tasks import Chosen, decode_chosen
from airlock.references import DatasetVersion
from airlock.settings import Settings
from airlock.stores.labels import Answer
from tests.governed import Governed
from tests.labeling.conftest import Site

CHANCES = np.array([[0.98, 0.01, 0.01], [0.5, 0.49, 0.01], [0.4, 0.3, 0.3], [0.6, 0.2, 0.2]])


class TestUncertainty:
    def test_each_measure_ranks_as_its_definition_says(self) -> None:
        assert most(least_confidence(CHANCES), 4) == [2, 1, 3, 0]
        assert most(margin(CHANCES), 2) == [1, 2]
        assert most(entropy(CHANCES), 2) == [2, 3]

    def test_figures(self) -> None:
        assert margin(CHANCES)[1] == pytest.approx(0.99)
        assert entropy(np.full((1, 3), 1 / 3))[0] == pytest.approx(1.0)


class TestDiversity:
    def test_every_cluster_is_met_before_any_twice(self) -> None:
        rng = np.random.default_rng(0)
        centres = np.array([[0, 0], [10, 0], [0, 10], [10, 10]], float)
        points = np.repeat(centres, 50, axis=0) + rng.normal(0, 0.1, (200, 2))
        assert {index // 50 for index in k_center(points, 4, [], seed=3)} == {0, 1, 2, 3}

    def test_stays_away_from_what_is_taken_and_ends_when_all_are(self) -> None:
        points = np.array([[0.0], [0.1], [5.0], [9.0]])
        assert k_center(points, 1, [0], seed=0) == [3]
        assert sorted(k_center(points, 99, [0], seed=0)) == [1, 2, 3]

    def test_strata_are_even_as_far_as_they_go(self) -> None:
        groups = ["a"] * 90 + ["b"] * 8 + ["c"] * 2
        chosen = [groups[index] for index in stratified(groups, 20, seed=1)]
        assert (chosen.count("a"), chosen.count("b"), chosen.count("c")) == (10, 8, 2)
        assert stratified(groups, 20, seed=1) == stratified(groups, 20, seed=1) != stratified(groups, 20, seed=2)


@pytest.fixture
def stores(store_settings: Settings, governed: Governed) -> Site:
    """Give the stores without a Label Studio."""
    return Site(store_settings, governed, None)  # type: ignore[arg-type]


@pytest.mark.integration
class TestStep:
    def chosen(self, stores: Site, dataset: DatasetVersion, **inputs: Any) -> tuple[list[Chosen], str]:
        found = stores.outputs("choose_batch", dataset=dataset, kind="text", **inputs)
        return decode_chosen(stores.governed.artifacts.read(found["batch"]["digest"])), found["strategy"]

    def predictions(self, stores: Site, ids: list[str], spread: list[float]) -> Any:
        lines = [
            msgspec.json.encode({"sample_id": name, "probabilities": {"sport": p, "tech": 1 - p}, "model": "m 1"})
            for name, p in zip(ids, spread, strict=True)
        ]
        return stores.governed.artifacts.put(b"\n".join(lines))

    def test_asks_about_what_a_model_is_least_sure_of(self, stores: Site) -> None:
        dataset = stores.dataset(5)
        ids = sorted(stores.ids(dataset))
        told = self.predictions(stores, ids, [0.99, 0.52, 0.8, 0.05, 0.6])
        batch, strategy = self.chosen(stores, dataset, size=2, strategy="least_confidence", predictions=told)
        assert [item.sample_id for item in batch] == [ids[1], ids[4]]
        assert (batch[0].label, batch[0].confidence, batch[0].model) == ("sport", 0.52, "m 1")
        assert strategy == "least_confidence, 2 of 5"

    def test_a_mix_has_both_halves(self, stores: Site) -> None:
        dataset = stores.dataset(8)
        ids = sorted(stores.ids(dataset))
        told = self.predictions(stores, ids, [0.5, 0.51, *[0.99] * 6])
        batch, _ = self.chosen(stores, dataset, size=4, strategy="mix", predictions=told)
        assert [item.sample_id for item in batch[:2]] == ids[:2]
        assert len({item.sample_id for item in batch}) == 4

    def test_without_a_model_it_is_random_and_says_so(self, stores: Site) -> None:
        batch, strategy = self.chosen(stores, stores.dataset(5), size=3, strategy="entropy")
        assert (len(batch), strategy) == (3, "random (entropy needs a model, and there is none), 3 of 5")

    def test_what_has_a_label_is_not_asked_about_again(self, stores: Site) -> None:
        dataset = stores.dataset(3)
        ids = sorted(stores.ids(dataset))
        stores.labels.record(dataset.digest, [Answer(sample_id=ids[0], annotator="source", label="sport")])
        labels = stores.labels.resolve(dataset)
        batch, _ = self.chosen(stores, dataset, size=9, strategy="diversity", labels=labels)
        assert {item.sample_id for item in batch} == set(ids[1:])
        stores.labels.record(
            dataset.digest, [Answer(sample_id=name, annotator="source", label="sport") for name in ids]
        )
        everything = stores.labels.resolve(dataset)
        result = stores.run("choose_batch", dataset=dataset, size=9, kind="text", labels=everything)
        assert result.failure is not None
        assert "Every sample of news version" in result.failure.message
        batch, _ = self.chosen(stores, dataset, size=9, strategy="stratified", labels=everything, include_labelled=True)
        assert len(batch) == 3

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"not json", "cannot be read"),
            (
                b'{"sample_id": "a", "probabilities": {"x": 1}}\n{"sample_id": "b", "probabilities": {"y": 1}}',
                "other classes",
            ),
        ],
    )
    def test_predictions_that_are_none_are_refused(self, stores: Site, content: bytes, message: str) -> None:
        told = stores.governed.artifacts.put(content)
        result = stores.run("choose_batch", dataset=stores.dataset(2), size=1, kind="text", predictions=told)
        assert result.failure is not None
        assert message in result.failure.message

    def test_the_gate_shows_what_would_be_asked(self, stores: Site) -> None:
        dataset = stores.dataset(4)
        manifest = stores.released(dataset, instructions="Read | all of it.", strategy="random, 4 of 4")
        shown = evidence(stores.governed.artifacts, manifest["digest"], "")
        assert "news: labelling manifest" in shown
        assert "| samples | `4 of 4` |" in shown
        assert "| classes | `business, sport, tech` |" in shown
        assert "these samples](" in shown
        assert "this label config](" in shown
        assert champion_of(stores.governed.artifacts, "", load_any(stores.governed.artifacts, manifest["digest"])) == ""

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"overlap": 0}, "asks nobody"),
            ({"kind": "audio"}, "no label config for 'audio'"),
            ({"classes": ["sport"]}, "are no choice"),
            ({"config": b"<View>"}, "is not XML"),
            ({"config": b"<View><Text name='t' value='$text'/></View>"}, "0 tags Choices"),
            (
                {
                    "config": b"<View><Text name='t' value='$text'/><Choices name='c' toName='t' choice='multiple'>"
                    b"<Choice value='sport'/><Choice value='tech'/></Choices></View>"
                },
                "more than one choice",
            ),
            (
                {
                    "config": b"<View><Text name='t' value='$text'/><Choices name='c' toName='t'>"
                    b"<Choice value='sport'/><Choice value='cat'/></Choices></View>"
                },
                "differ in cat, tech",
            ),
        ],
    )
    def test_a_question_that_is_none_is_refused(self, stores: Site, changes: dict[str, Any], message: str) -> None:
        dataset = stores.dataset(2)
        batch = stores.outputs("choose_batch", dataset=dataset, size=2, strategy="random", kind="text")["batch"]
        if "config" in changes:
            changes = changes | {"config": stores.governed.artifacts.put(changes["config"])}
        asked = {"use_case": "news", "classes": ["sport", "tech"], "kind": "text"} | changes
        result = stores.run("labelling_manifest", dataset=dataset, batch=batch, **asked)
        assert result.failure is not None
        assert message in f"{result.failure.message} {result.failure.hint}"
