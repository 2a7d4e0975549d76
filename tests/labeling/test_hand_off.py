"""From a dataset version to labels, with a real Label Studio and two people who answer over its public API."""

import base64
import hashlib
import io

import httpx
import msgspec
import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from airlock.labeling.report import LabelReport
from airlock.references import DatasetVersion, LabelSet
from airlock.stores.datasets import open_datasets
from tests.contract.conftest import s3_server, s3_uri
from tests.governed import NUMBERS
from tests.labeling.conftest import CLASSES, Labeler, Site, everybody

__all__ = ["s3_server", "s3_uri"]

pytestmark = pytest.mark.integration


class TestHappyPath:
    def test_two_people_who_disagree_about_two_samples(self, site: Site, labelers: tuple[Labeler, ...]) -> None:
        dataset = site.dataset(6)
        handed = site.handed(dataset)
        assert (handed["tasks"], handed["created"], handed["already"]) == (6, 6, 0)
        ids = sorted(labelers[0].tasks(handed["project"]))
        answers = {name: CLASSES[place % 3] for place, name in enumerate(ids)}
        other = answers | {ids[0]: "tech", ids[4]: "business"}
        everybody(labelers, handed["project"], lambda who, name: (answers, other)[who][name])

        pulled = site.outputs("pull_labels", handoff=handed["handoff"])
        counts = pulled["counts"]
        assert (counts["asked"], counts["answers"], counts["new"], counts["labelled"]) == (6, 12, 12, 4)
        assert counts["disputed"] == pulled["disputed_rows"] == 2
        labels = site.labels.read(msgspec.convert(pulled["labels"], LabelSet))
        assert labels == {name: answers[name] for name in ids if name not in (ids[0], ids[4])}
        assert sorted(site.labels.people(dataset.digest)) == ["lena", "lena@example.com", "sami", "sami@example.com"]

        report = msgspec.json.decode(site.governed.artifacts.read(pulled["figures"]["digest"]), type=LabelReport)
        assert report.agreement.raw == pytest.approx(4 / 6)
        # 4 business, 3 sport, 5 tech among 12 answers; 2 of 6 samples disagree (Krippendorff 2011, nominal).
        assert report.agreement.alpha == pytest.approx(1 - (2 / 6) / (1 - (4 * 3 + 3 * 2 + 5 * 4) / (12 * 11)))
        page = site.governed.artifacts.read(pulled["report"]["digest"]).decode()
        assert "lena@example.com" in page
        assert "2 are disputed" in page

        settled = site.outputs(
            "adjudicate",
            handoff=handed["handoff"],
            disputed=pulled["disputed"],
            adjudicator=labelers[0].email,
        )
        assert settled["tasks"] == 2
        assert settled["project"] != handed["project"]
        labelers[1].answer(labelers[1].tasks(settled["project"])[ids[0]], "sport")
        for name, task in labelers[0].tasks(settled["project"]).items():
            labelers[0].answer(task, other[name])
        final = site.outputs("pull_labels", handoff=settled["handoff"])
        assert site.labels.read(msgspec.convert(final["labels"], LabelSet)) == other
        assert (final["counts"]["settled"], final["counts"]["disputed"]) == (2, 0)
        assert final["counts"]["not_the_adjudicator"] == 1
        assert final["version"] == pulled["version"] + 1
        kinds = {item.kind for item in site.labels.answers(dataset.digest, ids[0])}
        assert kinds == {"label", "adjudication"}

    def test_nothing_disputed_makes_no_project(self, site: Site, labelers: tuple[Labeler, ...]) -> None:
        dataset = site.dataset(2)
        handed = site.handed(dataset)
        everybody(labelers, handed["project"], lambda who, name: "sport")
        pulled = site.outputs("pull_labels", handoff=handed["handoff"])
        settled = site.outputs("adjudicate", handoff=handed["handoff"], disputed=pulled["disputed"])
        assert (settled["project"], settled["tasks"]) == (0, 0)
        final = site.outputs("pull_labels", handoff=settled["handoff"])
        assert final["labels"] == pulled["labels"]
        assert final["version"] == pulled["version"]


class TestPush:
    def test_a_second_push_makes_no_task(self, site: Site, labelers: tuple[Labeler, ...]) -> None:
        manifest = site.released(site.dataset(5))
        first = site.outputs("hand_off", use_case="news", manifest=manifest)
        second = site.outputs("hand_off", use_case="news", manifest=manifest)
        assert (second["project"], second["created"], second["already"]) == (first["project"], 0, 5)
        assert second["handoff"] == first["handoff"]
        assert len(labelers[0].tasks(first["project"])) == 5

    def test_labelers_see_the_text_and_not_where_it_is_from(self, site: Site) -> None:
        handed = site.handed(site.dataset(1))
        (task,) = site.tasks(handed["project"]).values()
        assert set(task["data"]) == {"sample_id", "text"}
        assert "sport/" not in str(task)

    def test_without_an_approval_nothing_leaves(self, site: Site) -> None:
        dataset = site.dataset(2)
        batch = site.outputs("choose_batch", dataset=dataset, size=2, strategy="random", kind="text")["batch"]
        manifest = site.outputs(
            "labelling_manifest", use_case="news", classes=CLASSES, dataset=dataset, batch=batch, kind="text"
        )["manifest"]
        before = site.server.admin.get("/api/projects").json()["count"]
        result = site.run("hand_off", use_case="news", manifest=manifest)
        assert result.failure is not None
        assert result.failure.kind == "NotApproved"
        assert site.server.admin.get("/api/projects").json()["count"] == before

    def test_another_use_case_may_not_take_it(self, site: Site) -> None:
        result = site.run("hand_off", use_case="pets", manifest=site.released(site.dataset(2)))
        assert result.failure is not None
        assert "belongs to 'news'" in result.failure.message

    def test_a_models_opinion_is_shown_with_its_name_and_score(self, site: Site) -> None:
        dataset = site.dataset(3)
        ids = sorted(site.ids(dataset))
        chances = {"business": 0.7, "sport": 0.2, "tech": 0.1}
        lines = [{"sample_id": name, "probabilities": chances, "model": "news 12"} for name in ids[:2]]
        predictions = site.governed.artifacts.put(b"\n".join(map(msgspec.json.encode, lines)))
        chosen = site.outputs(
            "choose_batch", dataset=dataset, size=2, strategy="margin", kind="text", predictions=predictions
        )
        handed = site.outputs("hand_off", use_case="news", manifest=site.released(dataset, batch=chosen["batch"]))
        tasks = site.tasks(handed["project"])
        assert sorted(tasks) == ids[:2]
        (number,) = tasks[ids[0]]["predictions"]
        opinion = site.server.admin.get(f"/api/predictions/{number}").json()
        assert (opinion["model_version"], opinion["score"]) == ("news 12", 0.7)
        assert opinion["result"][0]["value"]["choices"] == ["business"]


def test_a_wrong_token_is_the_users_to_mend(site: Site) -> None:
    manifest = site.released(site.dataset(2))
    site.settings = msgspec.structs.replace(site.settings, label_studio_token="f" * 40)
    result = site.run("hand_off", use_case="news", manifest=manifest)
    assert result.failure is not None
    assert (result.failure.category, "refuses the token (401)" in result.failure.message) == ("user", True)
    assert "f" * 40 not in msgspec.json.encode(result).decode()


def test_a_personal_access_token_works_too(site: Site) -> None:
    site.server.admin.post("/api/jwt/settings", json={"api_tokens_enabled": True, "legacy_api_tokens_enabled": True})
    token = site.server.admin.post("/api/token/").raise_for_status().json()["token"]
    site.settings = msgspec.structs.replace(site.settings, label_studio_token=token)
    assert site.handed(site.dataset(1))["created"] == 1


class TestImages:
    def pictures(self, site: Site, *contents: bytes) -> DatasetVersion:
        ids = [hashlib.sha256(content).hexdigest() for content in contents]
        return open_datasets(site.settings.datasets).commit(
            f"pictures{next(NUMBERS)}", pa.table({"sample_id": ids, "content": list(contents)}), {}
        )[0]

    def noise(self, side: int) -> bytes:
        buffer = io.BytesIO()
        pixels = np.random.default_rng(next(NUMBERS)).integers(0, 256, (side, side, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(buffer, "PNG")
        return buffer.getvalue()

    def test_small_ones_are_inside_the_task(self, site: Site) -> None:
        small = self.noise(8)
        handed = site.handed(self.pictures(site, small, self.noise(9)), kind="image")
        task = site.tasks(handed["project"])[hashlib.sha256(small).hexdigest()]
        kind, _, content = task["data"]["image"].partition(";base64,")
        assert (kind, base64.b64decode(content)) == ("data:image/png", small)

    def test_too_large_ones_say_what_to_do(self, site: Site) -> None:
        result = site.run(
            "hand_off", use_case="news", manifest=site.released(self.pictures(site, self.noise(1800)), kind="image")
        )
        assert result.failure is not None
        assert "too many to put into a task" in result.failure.message
        assert "S3" in result.failure.hint

    def test_large_ones_are_presigned_on_s3(self, site: Site, s3_uri: str) -> None:
        large = self.noise(400)
        version = self.pictures(site, large)
        site.settings = msgspec.structs.replace(site.settings, sealed=s3_uri)
        handed = site.handed(version, kind="image")
        (task,) = site.tasks(handed["project"]).values()
        reply = httpx.get(task["data"]["image"])
        assert (reply.content, reply.headers["content-type"].startswith("text/html")) == (large, False)
