"""Who reads the pages: signed-in people, each with what the auth manager lets them see of every DAG."""

from typing import Annotated, Any

import msgspec
from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
from airflow.api_fastapi.core_api.security import GetUserDep
from airflow.models.dag import DagModel
from fastapi import Depends


class Reader(msgspec.Struct, frozen=True, kw_only=True):
    """A signed-in person.

    :param name: the auth manager's name for the user.
    :param user: the auth manager's user.
    """

    name: str
    user: Any

    def may_read(self, dag: str) -> bool:
        """Whether the person may see the questions that a DAG's tasks ask."""
        return self._may("GET", dag)

    def may_answer(self, dag: str) -> bool:
        """Whether Airflow would take this person's answers; which gate they may open is the guard's decision."""
        return self._may("PUT", dag)

    def _may(self, method: Any, dag: str) -> bool:
        details = DagDetails(id=dag, team_name=DagModel.get_team_name(dag))
        return get_auth_manager().is_authorized_dag(
            method=method, access_entity=DagAccessEntity.HITL_DETAIL, details=details, user=self.user
        )


def reader(user: GetUserDep) -> Reader:
    """Return who is signed in; Airflow answers 401 for nobody."""
    return Reader(name=user.get_name(), user=user)


ReaderDep = Annotated[Reader, Depends(reader)]
