"""A run that is another one's fork: the arguments its configuration changes, and nothing else."""

from copy import deepcopy
from typing import TYPE_CHECKING, Any

from airlock.errors import UserError

if TYPE_CHECKING:
    from airflow.sdk import Context


def forked(inputs: dict[str, Any], context: "Context") -> dict[str, Any]:
    """Return a step's inputs with what the run's configuration sets for its task (``airlock run fork``).

    Parameters can be changed, and what is made from them says so in its manifest; data, models and manifests cannot.

    :raises UserError: there is no such argument, or it is no parameter.
    """
    conf: dict[str, Any] = context["dag_run"].conf or {}
    changes = (conf.get("fork") or {}).get("set", {}).get(context["ti"].task_id, {})
    changed = deepcopy(inputs) if changes else inputs
    for path, value in changes.items():
        _set(changed, path, value)
    return changed


def _set(inputs: dict[str, Any], path: str, value: Any) -> None:
    name, *rest = path.split(".", 1)
    if name not in inputs:
        raise UserError(f"There is no argument {name!r} to change.", hint=f"Arguments: {', '.join(sorted(inputs))}.")
    if _refers(inputs[name]):
        raise UserError(f"{name} is no parameter.", hint="Data, models and manifests come from the tasks before.")
    if not rest:
        inputs[name] = value
    elif isinstance(inputs[name], dict):
        inputs[name][rest[0]] = value  # one level: names of parameters may hold dots themselves
    else:
        raise UserError(f"{name} has no parts.", hint=f"Set {name} as a whole.")


def _refers(value: Any) -> bool:
    if isinstance(value, dict):
        return "ref" in value or any(map(_refers, value.values()))
    return isinstance(value, list) and any(map(_refers, value))
