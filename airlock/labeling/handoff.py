"""The hand-off: one project for one approved batch, which has every chosen sample once, however often it is pushed."""

from collections.abc import Iterable
from itertools import islice
from typing import Any, Literal

import msgspec

from airlock.digests import short
from airlock.errors import IntegrityError, UserError
from airlock.labeling.config import LabelConfig
from airlock.labeling.studio import CHUNK, Project, Studio, Task
from airlock.labeling.tasks import SAMPLE_ID
from airlock.references import Artifact, DatasetVersion
from airlock.stores.labels import LabelStore

TITLE = 50
"""Characters that Label Studio keeps of a title."""


class HandOff(msgspec.Struct, frozen=True, kw_only=True):
    """What was handed to labelers; a document in the artifact store.

    :param purpose: whether labelers answer, or one person settles what they do not agree about.
    :param manifest: digest of the approved labelling manifest.
    :param samples: the batch, JSON Lines of :class:`~airlock.labeling.tasks.Chosen`.
    :param config: label config, XML.
    :param overlap: different people asked about each sample.
    :param tasks: number of samples; 0 when there was nothing to ask, then there is no project either.
    :param adjudicator: e-mail address of who alone may settle; empty for whoever answers in that project.
    """

    use_case: str
    purpose: Literal["labelling", "adjudication"]
    manifest: str
    dataset: DatasetVersion
    classes: list[str]
    samples: Artifact
    config: str
    overlap: int
    tasks: int
    project: int
    server: str
    adjudicator: str = ""

    @property
    def url(self) -> str:
        """Where people answer."""
        return f"{self.server}/projects/{self.project}/" if self.project else self.server

    @property
    def origin(self) -> str:
        """How answers from here are marked."""
        return f"{self.server}/projects/{self.project}"


class Pushed(msgspec.Struct, frozen=True, kw_only=True):
    """What a push did.

    :param created: tasks that were not there.
    :param already: tasks that were.
    :param restored: whether somebody had changed the label config, which is put back.
    """

    project: int
    created: int
    already: int
    restored: bool


def title_of(use_case: str, name: str) -> str:
    """Name a project by its content."""
    return f"{use_case[: TITLE - 26]} {short(name)}"


def push(
    studio: Studio,
    store: LabelStore,
    name: str,
    settings: dict[str, Any],
    config: LabelConfig,
    tasks: Iterable[Task],
) -> Pushed:
    """Bring a project to hold exactly these tasks; what is there already is left alone.

    :param name: digest of what is handed off; the same name is the same project.
    :param settings: ``title``, ``overlap``, ``description`` and ``instructions`` of a new project.
    """
    with store.alone(f"hand-off {name}"):
        project = _find(studio, store, name)
        if project is None:
            project = studio.create(config=config.xml, **settings)
            store.hand_over(name, studio.url, project.id)
        restored = project.config.strip() != config.xml.strip()
        if restored:
            studio.restore_config(project.id, config.xml)
        there = {task["data"].get(SAMPLE_ID) for task in studio.snapshot(project.id)}
        created, already = _add(studio, project.id, there, tasks)
    return Pushed(project=project.id, created=created, already=already, restored=restored)


def _add(studio: Studio, project: int, there: set[Any], tasks: Iterable[Task]) -> tuple[int, int]:
    """Push what is missing, a chunk in memory at a time."""
    created = already = 0
    rest = iter(tasks)
    while chunk := list(islice(rest, CHUNK)):
        missing = [task for task in chunk if task["data"][SAMPLE_ID] not in there]
        created += studio.push(project, missing)
        already += len(chunk) - len(missing)
    return created, already


def _find(studio: Studio, store: LabelStore, name: str) -> Project | None:
    """Return the project made for a hand-off before, unless somebody deleted it."""
    for number in store.handed_off(name, studio.url):
        try:
            return studio.project(number)
        except IntegrityError:
            continue  # deleted by a labeler, who may: the community edition has no roles
    return None


def read_hand_off(content: bytes) -> HandOff:
    """Read the document of a hand-off.

    :raises UserError: it is none.
    """
    try:
        return msgspec.json.decode(content, type=HandOff)
    except msgspec.MsgspecError as error:
        raise UserError(f"This is no hand-off: {error}.", hint="Pass the output of hand_off or adjudicate.") from error
