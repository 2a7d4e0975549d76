"""Whatever labelers, or a server without roles, do to a project: reported and recorded, never silently dropped."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from airlock.references import LabelSet
from tests.labeling.conftest import Labeler, Site, everybody
from tests.services.label_studio import ADMIN

pytestmark = pytest.mark.integration
People = tuple[Labeler, ...]


class Labelling:
    """A batch that was handed off.

    :param ids: of its samples, sorted.
    """

    def __init__(self, site: Site, people: People, count: int = 2, **changes: Any) -> None:
        self.site = site
        self.people = people
        self.dataset = site.dataset(count)
        self.handed = site.handed(self.dataset, **changes)
        self.project = self.handed["project"]
        self.ids = sorted(site.ids(self.dataset))
        self.by_id = people[0].tasks(self.project)

    def task(self, number: int) -> int:
        return self.by_id[self.ids[number]]

    def all_say(self, label: str) -> None:
        everybody(self.people, self.project, lambda who, name: label)

    def pull(self, **more: Any) -> dict[str, int]:
        """Pull; return the counts. What is counted is what is on record."""
        self.pulled = self.site.outputs("pull_labels", handoff=self.handed["handoff"], **more)
        return self.pulled["counts"]

    @property
    def labels(self) -> dict[str, str]:
        return self.site.labels.read(msgspec.convert(self.pulled["labels"], LabelSet))

    @property
    def recorded(self) -> dict[str, int]:
        return self.site.incidents(self.dataset)


@pytest.fixture
def labelling(site: Site, labelers: People) -> Callable[..., Labelling]:
    return lambda count=2, **changes: Labelling(site, labelers, count, **changes)


class TestAnswers:
    def test_an_unknown_label_counts_for_nothing_and_is_kept(self, labelling: Callable[..., Labelling]) -> None:
        made = labelling()
        made.all_say("sport")
        made.people[0].answer(made.task(0), "horse")
        counts = made.pull()
        assert (counts["unknown_label"], counts["answers"], counts["labelled"]) == (1, 4, 2)
        (noted,) = (item for item in made.site.labels.incidents(made.dataset.digest) if item.kind == "unknown_label")
        assert (noted.annotator, noted.sample_id) == ("lena@example.com", made.ids[0])
        assert "'horse' is not in the label config" in noted.detail
        assert '"horse"' in noted.body

    @pytest.mark.parametrize(
        "result",
        [
            [{"foo": "bar"}],
            [],
            [{"from_name": "label", "to_name": "sample", "type": "choices", "value": {"choices": ["sport", "tech"]}}],
            [{"from_name": "label", "to_name": "sample", "type": "choices", "value": {"choices": "sport"}}],
            [{"from_name": "other", "to_name": "sample", "type": "choices", "value": {"choices": ["sport"]}}],
            [{"from_name": "label", "to_name": "sample", "type": "choices", "value": {"choices": ["sport"]}}] * 2,
        ],
        ids=["no part of it", "empty", "two labels", "no list", "another question", "two answers"],
    )
    def test_a_malformed_result_is_kept_as_it_came(self, labelling: Callable[..., Labelling], result: Any) -> None:
        made = labelling(1, overlap=1)
        made.people[0].send(made.task(0), result)
        counts = made.pull()
        assert (counts["malformed"], counts["fewer"], counts["labelled"]) == (1, 1, 0)
        assert made.recorded["malformed"] == 1

    def test_more_answers_than_asked_all_count_and_are_told(self, labelling: Callable[..., Labelling]) -> None:
        made = labelling(1, overlap=1)
        for person, label in zip(made.people, ("sport", "sport"), strict=True):
            person.answer(made.task(0), label)
        counts = made.pull()
        assert (counts["more"], counts["answers"], counts["labelled"]) == (1, 2, 1)

    def test_fewer_answers_are_told_and_may_be_too_few(self, labelling: Callable[..., Labelling]) -> None:
        made = labelling(2)
        made.people[0].answer(made.task(0), "sport")
        counts = made.pull(rule={"minimum": 2, "sources": "fallback"})
        assert (counts["fewer"], counts["labelled"], counts["disputed"]) == (2, 0, 1)

    def test_a_skip_is_no_answer_and_no_silence(self, labelling: Callable[..., Labelling]) -> None:
        made = labelling(1)
        made.people[0].skip(made.task(0))
        made.people[1].answer(made.task(0), "tech")
        counts = made.pull()
        assert (counts["skipped"], counts["fewer"], counts["answers"]) == (1, 1, 1)
        assert made.labels == {made.ids[0]: "tech"}

    def test_whoever_answers_twice_said_the_last(self, labelling: Callable[..., Labelling]) -> None:
        made = labelling(1, overlap=1)
        made.people[0].answer(made.task(0), "tech")
        made.people[0].answer(made.task(0), "sport")
        counts = made.pull()
        assert (counts["repeated"], counts["answers"]) == (1, 1)
        assert made.labels == {made.ids[0]: "sport"}

    def test_a_second_pull_adds_nothing(self, labelling: Callable[..., Labelling]) -> None:
        made = labelling()
        made.all_say("sport")
        made.people[0].send(made.task(0), [{"foo": "bar"}])
        assert made.pull()["new"] == 4
        first, noted = made.pulled, made.recorded
        assert made.pull()["new"] == 0
        assert (made.pulled["labels"], made.pulled["version"]) == (first["labels"], first["version"])
        assert made.recorded == noted

    def test_a_changed_mind_keeps_both(self, labelling: Callable[..., Labelling]) -> None:
        made = labelling(1, overlap=1)
        answer = made.people[0].answer(made.task(0), "sport")
        made.pull()
        value = made.site.tasks(made.project)[made.ids[0]]["annotations"][0]["result"]
        value[0]["value"]["choices"] = ["tech"]
        made.people[0].http.patch(f"/api/annotations/{answer['id']}/", json={"result": value}).raise_for_status()
        assert made.pull()["new"] == 1
        assert made.labels == {made.ids[0]: "tech"}
        said = made.site.labels.answers(made.dataset.digest, made.ids[0])
        assert [item.label for item in said] == ["sport", "tech"]


class TestProjects:
    def test_deleted_tasks_are_told_and_pushed_again(self, labelling: Callable[..., Labelling]) -> None:
        made = labelling(3)
        made.all_say("sport")
        made.people[1].http.delete(f"/api/tasks/{made.task(1)}/").raise_for_status()
        counts = made.pull()
        assert (counts["deleted"], counts["labelled"], made.recorded["deleted"]) == (1, 2, 1)
        manifest = made.site.released(made.dataset)
        again = made.site.outputs("hand_off", use_case="news", manifest=manifest)
        assert (again["project"], again["created"], again["already"]) == (made.project, 1, 2)

    def test_an_answer_deleted_after_it_was_pulled_stays(self, labelling: Callable[..., Labelling]) -> None:
        made = labelling(1, overlap=1)
        answer = made.people[0].answer(made.task(0), "sport")
        made.pull()
        made.people[1].http.delete(f"/api/annotations/{answer['id']}/").raise_for_status()
        counts = made.pull()
        assert (counts["withdrawn"], counts["new"]) == (1, 0)
        assert made.labels == {made.ids[0]: "sport"}

    def test_a_task_of_somebody_elses_is_not_ours(self, labelling: Callable[..., Labelling]) -> None:
        made = labelling(1, overlap=1)
        task = {"data": {"sample_id": "f" * 64, "text": "added by a labeler"}}
        made.people[0].http.post(f"/api/projects/{made.project}/import", json=[task]).raise_for_status()
        made.people[0].answer(made.people[0].tasks(made.project)["f" * 64], "sport")
        counts = made.pull()
        assert (counts["unknown_sample"], counts["answers"]) == (1, 0)

    def test_a_changed_config_is_told_and_put_back(self, labelling: Callable[..., Labelling], site: Site) -> None:
        made = labelling(1, overlap=1)
        found = made.people[0].http.get(f"/api/projects/{made.project}/").json()["label_config"]
        changed = {"label_config": found.replace("tech", "horse")}
        made.people[0].http.patch(f"/api/projects/{made.project}/", json=changed).raise_for_status()
        made.people[0].answer(made.task(0), "horse")
        counts = made.pull()
        assert (counts["config_changed"], counts["unknown_label"], counts["labelled"]) == (1, 1, 0)
        site.outputs("hand_off", use_case="news", manifest=site.released(made.dataset, overlap=1))
        assert made.people[0].http.get(f"/api/projects/{made.project}/").json()["label_config"] == found

    def test_a_deleted_project_is_told_and_made_again(self, labelling: Callable[..., Labelling], site: Site) -> None:
        made = labelling(2)
        made.all_say("sport")
        made.pull()
        made.people[1].http.delete(f"/api/projects/{made.project}/").raise_for_status()
        result = site.run("pull_labels", handoff=made.handed["handoff"])
        assert result.failure is not None
        assert (result.failure.kind, "has it no more" in result.failure.message) == ("IntegrityError", True)
        assert "Clear the hand-off" in result.failure.hint
        again = site.outputs("hand_off", use_case="news", manifest=site.released(made.dataset))
        assert (again["created"], again["project"] != made.project) == (2, True)
        pulled = site.outputs("pull_labels", handoff=again["handoff"])
        assert pulled["counts"]["labelled"] == 2, "answers pulled before the project was deleted are kept"

    def test_the_administrators_answer_is_an_answer(self, labelling: Callable[..., Labelling], site: Site) -> None:
        made = labelling(1, overlap=1)
        result = [{"from_name": "label", "to_name": "sample", "type": "choices", "value": {"choices": ["tech"]}}]
        site.server.admin.post(f"/api/tasks/{made.task(0)}/annotations/", json={"result": result}).raise_for_status()
        made.pull()
        assert site.labels.annotators(made.dataset.digest) == [ADMIN]


class TestQuality:
    def test_too_few_labels_stop_here_and_stay(self, labelling: Callable[..., Labelling], site: Site) -> None:
        made = labelling(2)
        made.people[0].answer(made.task(0), "sport")
        result = site.run("pull_labels", handoff=made.handed["handoff"], min_labelled=0.9)
        assert result.failure is not None
        assert (result.failure.kind, result.links.keys()) == ("DataRejected", {"Report", "Labelling project"})
        assert "1 of 2 samples came out labelled, below 90%" in result.failure.message
        assert len(site.labels.all_answers(made.dataset.digest)) == 1

    def test_too_little_agreement_stops_here(self, labelling: Callable[..., Labelling], site: Site) -> None:
        made = labelling(2)
        everybody(made.people, made.project, lambda who, name: ("sport", "tech")[who])
        result = site.run("pull_labels", handoff=made.handed["handoff"], min_agreement=0.6)
        assert result.failure is not None
        assert "Krippendorff's alpha) is -0." in result.failure.message
