"""Every route of Airflow that writes, and whether it concerns gates: one table, and the router that reads it.

A test compares the table with the routes of the real application: one that is not classified fails it.
"""

import re
from collections.abc import Collection, Iterable
from typing import Any

from starlette._utils import get_route_path
from starlette.routing import BaseRoute, Match, Mount
from starlette.types import Scope

READING = frozenset({"GET", "HEAD", "OPTIONS"})

# Endpoint function to why the guard looks at it.
GUARDED = {
    "update_hitl_detail": "an answer counts only when policy, roles and four eyes allow it",
    "patch_task_instance": "marking a gate successful, failed or skipped is no decision",
    "bulk_task_instances": "marks and deletes many tasks at once, of any DAG",
    "patch_task_group_instances": "marks all tasks of a group",
    "delete_task_instance": "a gate must not disappear",
    "post_clear_task_instances": "clearing a gate that asks would throw answers away",
    "patch_dag_run": "a run that ends takes its open gate with it",
    "bulk_dag_runs": "ends and deletes many runs at once, of any DAG",
    "delete_dag_run": "who started a run is what four eyes are checked against",
    "clear_dag_run": "clears the run's gates too",
    "clear_dag_runs": "clears many runs at once, of any DAG",
    "clear_dag_run_partitions": "can clear the tasks of the runs it finds",
    "delete_dag": "deletes the runs of the DAG, and with them who started them",
    "create_xcom_entry": "what a gate passes on is the manifest that was approved",
    "update_xcom_entry": "what a gate passes on is the manifest that was approved",
    "delete_xcom_entry": "what a gate passes on is the manifest that was approved",
    "set_task_state_store": "a gate's state is its own",
    "patch_task_state_store": "a gate's state is its own",
    "delete_task_state_store": "a gate's state is its own",
    "clear_task_state_store": "a gate's state is its own",
    "create_asset_event": "an event of an asset behind a gate says that something was approved",
}

# Endpoint function to why it is none of the guard's business.
UNCONCERNED = {
    "generate_token": "signs in",
    "get_list_dag_runs_batch": "reads",
    "get_task_instances_batch": "reads",
    "patch_task_instance_dry_run": "changes nothing",
    "patch_task_group_instances_dry_run": "changes nothing",
    "create_backfill_dry_run": "changes nothing",
    "trigger_dag_run": "a run goes through its own gates, and every sink verifies what the run's configuration names",
    "materialize_asset": "starts the producing DAG, which goes through its own gates",
    "create_backfill": "starts runs, and clears only runs that have ended",
    "pause_backfill": "delays",
    "unpause_backfill": "delays",
    "cancel_backfill": "ends runs that wait to start",
    "delete_asset_queued_events": "delays: what to work on stands in the promotion queue",
    "delete_dag_asset_queued_events": "delays: what to work on stands in the promotion queue",
    "delete_dag_asset_queued_event": "delays: what to work on stands in the promotion queue",
    "set_asset_state_store": "nothing of Airlock is kept there",
    "delete_asset_state_store": "nothing of Airlock is kept there",
    "clear_asset_state_store": "nothing of Airlock is kept there",
    "delete_connection": "another store holds no signed approval: sinks fail closed",
    "post_connection": "another store holds no signed approval: sinks fail closed",
    "bulk_connections": "another store holds no signed approval: sinks fail closed",
    "patch_connection": "another store holds no signed approval: sinks fail closed",
    "test_connection": "changes nothing",
    "enqueue_connection_test": "changes nothing",
    "create_default_connections": "another store holds no signed approval: sinks fail closed",
    "delete_variable": "no variable decides about a gate",
    "patch_variable": "no variable decides about a gate",
    "post_variable": "no variable decides about a gate",
    "bulk_variables": "no variable decides about a gate",
    "delete_pool": "delays",
    "patch_pool": "delays",
    "post_pool": "delays",
    "bulk_pools": "delays",
    "patch_dag": "pausing delays",
    "patch_dags": "pausing delays",
    "favorite_dag": "a bookmark",
    "unfavorite_dag": "a bookmark",
    "reparse_dag_file": "reads the DAG file again; a changed policy is not an adopted one",
}


class Router:
    """Finds the route that Airflow's own router will choose, for requests that may concern gates.

    A request that is none of the guard's business costs one look-up of its method and one regular expression.

    :param routes: the application's.
    :param names: endpoints the guard looks at.
    """

    def __init__(self, routes: Iterable[BaseRoute], names: Collection[str]) -> None:
        self._names = names
        self._routes: dict[str, list[BaseRoute]] = {}
        for route in flatten(routes):
            for method in getattr(route, "methods", None) or ():
                self._routes.setdefault(method, []).append(route)
        patterns = {method: self._patterns(routes) for method, routes in self._routes.items()}
        self._concerned = {method: re.compile("|".join(found)) for method, found in patterns.items() if found}

    def find(self, scope: Scope) -> tuple[str, dict[str, Any]] | None:
        """Return endpoint and path parameters when the request reaches a guarded route, else ``None``."""
        concerned = self._concerned.get(scope["method"])
        if concerned is None or concerned.match(get_route_path(scope)) is None:
            return None
        for route in self._routes[scope["method"]]:
            match, child = route.matches(scope)
            if match is Match.FULL:
                name = endpoint_name(route)
                return (name, dict(child["path_params"])) if name in self._names else None
        return None

    def _patterns(self, routes: list[BaseRoute]) -> list[str]:
        found = [route.path_regex.pattern for route in routes if endpoint_name(route) in self._names]  # type: ignore[attr-defined]
        return [re.sub(r"\(\?P<\w+>", "(?:", pattern) for pattern in found]


def endpoint_name(route: BaseRoute) -> str:
    """Name of the function that handles a route."""
    return getattr(getattr(route, "endpoint", None), "__name__", "")


def flatten(routes: Iterable[BaseRoute]) -> list[BaseRoute]:
    """Routes of routers that are included lazily, as a flat list; what is mounted is an application of its own."""
    flat: list[BaseRoute] = []
    for route in routes:
        inner = getattr(route, "routes", None)
        if isinstance(route, Mount):
            continue
        flat += flatten(inner) if inner and not hasattr(route, "endpoint") else [route]
    return flat
