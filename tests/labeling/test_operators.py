"""The labelling as its operators run it: steps in processes, the token of a connection nowhere but in them."""

import asyncio
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from airflow.providers_manager import ProvidersManager
from airflow.sdk.exceptions import AirflowFailException, TaskDeferred
from airflow.sdk.execution_time import task_runner
from airflow.sdk.providers_manager_runtime import ProvidersManagerTaskRuntime

from airlock import settings as settings_module
from airlock.hooks.label_studio import LabelStudioHook
from airlock.operators.labeling import (
    AdjudicateOperator,
    ChooseBatchOperator,
    HandOffOperator,
    LabellingManifestOperator,
    PullLabelsOperator,
    WaitForLabelsOperator,
)
from airlock.references import Artifact
from tests.labeling.conftest import CLASSES, Labeler, Site, everybody
from tests.operators.conftest import FakeSupervisor, context

pytestmark = pytest.mark.integration
CONNECTION = "airlock_label_studio"


@pytest.fixture
def connected(site: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    """Let this process be a worker whose only way to Label Studio is an Airflow connection."""
    for name, value in site.settings.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AIRLOCK_LABEL_STUDIO")
    monkeypatch.delenv("AIRLOCK_LABEL_STUDIO_TOKEN")
    settings_module.settings.cache_clear()
    connection = {"conn_type": CONNECTION, "password": site.server.token, "extra": {"uri": site.server.url}}
    monkeypatch.setenv("AIRFLOW_CONN_AIRLOCK_LABEL_STUDIO", json.dumps(connection))
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", FakeSupervisor(), raising=False)
    return site


def run(operator: Any, attempt: int = 1) -> dict[str, Any]:
    told = context(operator.task_id, attempt)
    outputs = operator.execute(told)
    assert told["ti"].xcoms["summary"]["headline"]
    json.dumps(outputs)
    return outputs


def test_from_choice_to_labels(
    connected: Site, labelers: tuple[Labeler, ...], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    dataset = msgspec.to_builtins(connected.dataset(3))
    chosen = run(ChooseBatchOperator(task_id="choose", use_case="news", dataset=dataset, size=3, kind="text"))
    assert chosen["strategy"].startswith("random (mix needs a model")
    config = tmp_path / "question.xml"
    config.write_text(
        '<View><Text name="sample" value="$text"/><Choices name="label" toName="sample">'
        + "".join(f'<Choice value="{name}"/>' for name in CLASSES)
        + "</Choices></View>"
    )
    manifest = run(
        LabellingManifestOperator(
            task_id="question",
            use_case="news",
            classes=CLASSES,
            dataset=dataset,
            batch=chosen["batch"],
            config=str(config),
            instructions="Read all of it.",
            strategy=chosen["strategy"],
        )
    )["manifest"]

    def hand_off() -> HandOffOperator:
        return HandOffOperator(task_id="hand_off", use_case="news", manifest=manifest, conn_id=CONNECTION)

    with pytest.raises(AirflowFailException, match="There is no decision about manifest"):
        run(hand_off())
    connected.governed.approve(msgspec.convert(manifest, Artifact), use_case="news", gate="labelling")
    handed = run(hand_off(), attempt=2)
    wait = WaitForLabelsOperator(task_id="wait", handoff=handed["handoff"], poll=0.2, conn_id=CONNECTION)
    with pytest.raises(TaskDeferred) as deferred:
        wait.execute(context("wait"))
    everybody(
        labelers, handed["project"], lambda who, name: CLASSES[who] if name == least(connected, handed) else "tech"
    )
    event = asyncio.run(first(deferred.value.trigger))
    waited = wait.execute_complete(context("wait"), event)
    pulled = run(PullLabelsOperator(task_id="pull", handoff=waited["handoff"], conn_id=CONNECTION))
    assert (pulled["counts"]["labelled"], pulled["disputed_rows"]) == (2, 1)
    settled = run(
        AdjudicateOperator(
            task_id="adjudicate", handoff=waited["handoff"], disputed=pulled["disputed"], conn_id=CONNECTION
        )
    )
    everybody(labelers[:1], settled["project"], lambda who, name: "sport")
    final = run(PullLabelsOperator(task_id="final", handoff=settled["handoff"], conn_id=CONNECTION))
    assert final["counts"]["labelled"] == 3

    said = capfd.readouterr()
    assert connected.server.token not in said.out + said.err
    held = [
        path for path in tmp_path.rglob("*") if path.is_file() and connected.server.token.encode() in path.read_bytes()
    ]
    assert held == [], "the token is in no spec, result or artifact"


def least(site: Site, handed: dict[str, Any]) -> str:
    return min(site.tasks(handed["project"]))


async def first(trigger: Any) -> dict[str, Any]:
    return (await anext(trigger.run())).payload


class TestWaiting:
    def test_fails_with_what_the_trigger_saw(self, connected: Site) -> None:
        handed = connected.handed(connected.dataset(1))
        wait = WaitForLabelsOperator(task_id="wait", handoff=handed["handoff"])
        with pytest.raises(AirflowFailException, match="1 of 2 samples"):
            wait.execute_complete(context("wait"), {"status": "deleted", "message": "1 of 2 samples were deleted"})

    def test_for_what_is_no_hand_off_fails_at_once(self, connected: Site) -> None:
        other = msgspec.to_builtins(connected.governed.artifacts.put(b"{}"))
        with pytest.raises(AirflowFailException, match="This is no hand-off"):
            WaitForLabelsOperator(task_id="wait", handoff=other).execute(context("wait"))


class TestHook:
    def test_airflow_knows_it_and_masks_the_token(self) -> None:
        found = ProvidersManagerTaskRuntime().hooks[CONNECTION]
        assert found.hook_class_name == "airlock.hooks.label_studio.LabelStudioHook"
        behaviour = ProvidersManager().field_behaviours[CONNECTION]
        assert "password" not in behaviour["hidden_fields"]
        assert behaviour["relabeling"]["password"] == "Access token"

    def test_a_connections_password_is_the_token(self, connected: Site) -> None:
        assert LabelStudioHook(CONNECTION).get_conn().people()
        told = LabelStudioHook(CONNECTION).environment()
        assert told == {
            "AIRLOCK_LABEL_STUDIO": connected.server.url,
            "AIRLOCK_LABEL_STUDIO_TOKEN": connected.server.token,
        }

    def test_without_one_and_without_settings_it_says_what_to_do(self, connected: Site) -> None:
        from airlock.errors import UserError

        with pytest.raises(UserError, match="Make the Airflow connection airlock_label_studio"):
            LabelStudioHook().get_conn()
        assert LabelStudioHook().environment() == {}
