"""A Label Studio server, through its SDK: the few calls that a hand-off needs, and errors that say who must act."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec

from airlock.errors import AirlockError, InfrastructureError, IntegrityError, UserError

if TYPE_CHECKING:
    from label_studio_sdk import LabelStudio

CHUNK = 250
SECONDS = 60
# A snapshot of 2,000 tasks takes 13 s on SQLite.
SNAPSHOT_SECONDS = 600
WAKING = ["ANNOTATION_CREATED", "ANNOTATION_UPDATED", "ANNOTATIONS_DELETED", "TASKS_DELETED"]
SECRET_HEADER = "X-Airlock-Secret"
Task = dict[str, Any]


class Project(msgspec.Struct, frozen=True, kw_only=True):
    """A labelling project as the server has it now.

    :param config: label config, XML.
    :param marks: counts that change when somebody works; cheap, and never trusted to say that it is done.
    """

    id: int
    title: str
    config: str
    marks: tuple[int, ...]


class Studio:
    """A Label Studio server.

    :param url: its address.
    :param token: a personal access token, or a legacy one; never logged.
    """

    def __init__(self, url: str, token: str) -> None:
        if not url or not token:
            raise UserError(
                "No Label Studio is configured.",
                hint="Make the Airflow connection airlock_label_studio, or set AIRLOCK_LABEL_STUDIO and _TOKEN.",
            )
        self.url = url.rstrip("/")
        self._token = token

    @cached_property
    def _client(self) -> "LabelStudio":
        from label_studio_sdk import LabelStudio

        return LabelStudio(base_url=self.url, api_key=self._token, timeout=SECONDS)  # type: ignore[no-untyped-call]

    def create(self, title: str, config: str, overlap: int, description: str, instructions: str) -> Project:
        """Make a project."""
        with self._asking(f"make the project {title!r}"):
            made = self._client.projects.create(
                title=title,
                description=description,
                label_config=config,
                maximum_annotations=overlap,
                overlap_cohort_percentage=100,
                show_overlap_first=True,
                show_collab_predictions=True,
                expert_instruction=instructions,
                show_instruction=bool(instructions),
            )
        return self.project(int(made.id or 0))

    def project(self, project: int) -> Project:
        """Return a project.

        :raises IntegrityError: somebody deleted it.
        """
        with self._asking(f"read project {project}"):
            found = self._client.projects.get(project)
        marks = (found.task_number, found.total_annotations_number, found.skipped_annotations_number)
        return Project(
            id=project,
            title=found.title or "",
            config=found.label_config or "",
            marks=tuple(mark or 0 for mark in marks),
        )

    def restore_config(self, project: int, config: str) -> None:
        """Put a project's label config back."""
        with self._asking(f"restore the label config of project {project}"):
            self._client.projects.update(project, label_config=config)

    def push(self, project: int, tasks: list[Task]) -> int:
        """Add tasks, in requests of a size that a server answers in seconds; return how many."""
        for start in range(0, len(tasks), CHUNK):
            with self._asking(f"add tasks to project {project}"):
                part: Any = tasks[start : start + CHUNK]  # plain dicts, which the SDK takes as they are
                self._client.projects.import_tasks(project, request=part, commit_to_project=True)
        return len(tasks)

    def snapshot(self, project: int) -> list[Task]:
        """Return every task with every answer, as the server's own JSON."""
        options: Any = {"timeout_in_seconds": SNAPSHOT_SECONDS}
        with self._asking(f"read project {project}"):
            chunks = self._client.projects.exports.download_sync(
                project, export_type="JSON", download_all_tasks=True, request_options=options
            )
            content = b"".join(chunks)
        try:
            return msgspec.json.decode(content, type=list[Task])
        except msgspec.MsgspecError as error:
            raise InfrastructureError(
                f"Label Studio's export of project {project} was cut short: {error}.", hint="Run the task again."
            ) from error

    def people(self) -> dict[int, str]:
        """Return the e-mail address of every user, by number."""
        with self._asking("list the users"):
            return {user.id: (user.email or "").lower() for user in self._client.users.list() if user.id is not None}

    def wake_by(self, project: int, url: str, secret: str) -> None:
        """Let the server tell an address about answers; once, however often it is asked."""
        with self._asking(f"add a webhook to project {project}"):
            if any(hook.url == url for hook in self._client.webhooks.list(project=str(project))):
                return
            self._client.webhooks.create(
                url=url,
                project=project,
                actions=WAKING,
                send_payload=True,
                send_for_all_actions=False,
                headers={SECRET_HEADER: secret},
            )

    @contextmanager
    def _asking(self, what: str) -> Iterator[None]:
        import httpx
        from label_studio_sdk.core.api_error import ApiError

        try:
            yield
        except httpx.HTTPError as error:
            raise InfrastructureError(
                f"Label Studio at {self.url} does not answer ({type(error).__name__}): cannot {what}.",
                hint="Start it; what was handed off and answered is kept.",
            ) from error
        except ApiError as error:
            raise self._refused(error.status_code or 0, str(error.body), what) from error

    def _refused(self, status: int, said: str, what: str) -> AirlockError:
        brief = said[:300]
        if status in (401, 403):
            return UserError(
                f"Label Studio at {self.url} refuses the token ({status}): cannot {what}.",
                hint="Give the connection a personal access token of this server, or enable legacy tokens.",
            )
        if status == 404:
            return IntegrityError(
                f"Label Studio at {self.url} has it no more ({status}): cannot {what}.",
                hint="Clear the hand-off to make the project again; answers pulled before are kept.",
            )
        if status == 429 or status >= 500:
            return InfrastructureError(f"Label Studio answered {status}: cannot {what}. {brief}", hint="Retry later.")
        return UserError(f"Label Studio refused ({status}): cannot {what}. {brief}", hint="Correct the hand-off.")
