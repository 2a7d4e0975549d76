"""Airflow's API server twice over, once behind the gate guard and once bare: ``python guarded_api.py PORT PORT``.

One process, one event loop, one application: the second server runs a shallow copy of it whose middleware lacks the
guard. Says ``ready TOKEN`` when both answer.
"""

import asyncio
import copy
import sys
from typing import Any

DAG = "benchmark"


def main() -> None:
    """Migrate the database, build the application and serve it."""
    from airflow.utils.db import upgradedb
    from airflow.utils.providers_configuration_loader import providers_configuration_loaded

    providers_configuration_loaded(upgradedb)()
    add_dag()
    from airflow.api_fastapi.app import create_app

    app = create_app()
    asyncio.run(serve(app, without_guard(app)))


def without_guard(app: Any) -> Any:
    """The same application without the guard."""
    from airlock.plugins.guard import GateGuard

    bare = copy.copy(app)
    bare.user_middleware = [each for each in app.user_middleware if each.cls is not GateGuard]
    assert len(bare.user_middleware) == len(app.user_middleware) - 1, "the guard is not installed"
    bare.middleware_stack = None
    return bare


async def serve(*apps: Any) -> None:
    """Serve each application on its port until killed."""
    import uvicorn
    from airflow.api_fastapi.app import get_auth_manager
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser

    configs = [
        uvicorn.Config(app, host="127.0.0.1", port=int(port), log_level="error", access_log=False)
        for app, port in zip(apps, sys.argv[1:], strict=True)
    ]
    servers = [uvicorn.Server(config) for config in configs]
    tasks = [asyncio.create_task(server.serve()) for server in servers]
    while not all(server.started for server in servers):
        await asyncio.sleep(0.1)
    user = SimpleAuthManagerUser(username="otto", role="op")
    print(f"ready {get_auth_manager().generate_jwt(user)}", flush=True)
    await asyncio.gather(*tasks)


def add_dag() -> None:
    """Give the database one DAG."""
    from airflow.models.dag import DagModel
    from airflow.models.dagbundle import DagBundleModel
    from airflow.utils.session import create_session

    with create_session() as session:
        session.add(DagBundleModel(name="benchmark"))
        session.flush()
        limits = {"max_active_tasks": 16, "max_active_runs": 16, "max_consecutive_failed_dag_runs": 0}
        shown = {"is_stale": False, "has_task_concurrency_limits": False, "fileloc": "benchmark.py", "owners": "otto"}
        session.add(DagModel(dag_id=DAG, bundle_name="benchmark", **shown, **limits))


if __name__ == "__main__":
    main()
