"""Extra links on a task: where its MLflow run, report, manifest or endpoint can be seen."""

from typing import TYPE_CHECKING

import attrs
from airflow.sdk import BaseOperatorLink

from airlock.settings import settings

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey


@attrs.define()
class StepLink(BaseOperatorLink):
    """A link that the step named in its result; empty when it left none."""

    name: str = "Link"

    @property
    def xcom_key(self) -> str:
        return f"_link_{self.name.lower().replace(' ', '_')}"

    def get_link(self, operator: "BaseOperator", *, ti_key: "TaskInstanceKey") -> str:
        """Return the URL: the step's own, or the console's page for an artifact's digest."""
        links: dict[str, str] = getattr(operator, "result_links", {})
        return artifact_url(links.get(self.name, ""))


def artifact_url(target: str) -> str:
    """Turn ``sha256:…`` into the address at which Airflow's API server shows that artifact."""
    return f"{settings().airflow}/airlock/artifacts/{target}" if target.startswith("sha256:") else target


MLFLOW_RUN = StepLink(name="MLflow run")
REPORT = StepLink(name="Report")
MANIFEST = StepLink(name="Manifest")
MODEL_CARD = StepLink(name="Model card")
LABELLING = StepLink(name="Labelling project")
ENDPOINT = StepLink(name="Endpoint")
