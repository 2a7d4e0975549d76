"""Which steps there are: a name is a module in this package, or an entry point of the group ``airlock.steps``."""

import importlib
from types import ModuleType

from airlock.errors import UserError

STEPS = (
    "ingest",
    "stream",
    "clean",
    "version",
    "validate",
    "split",
    "data_manifest",
    "choose_batch",
    "labelling_manifest",
    "hand_off",
    "pull_labels",
    "adjudicate",
    "transform",
    "search_trials",
    "conclude_search",
    "train",
    "evaluate",
    "register",
    "revise",
    "compress",
    "package",
    "contract_test",
    "deploy",
    "smoke_test",
    "canary",
    "nothing",
)


def module_name(step: str) -> str:
    """Return the module that holds a step.

    :raises UserError: no such step.
    """
    if step in STEPS:
        return f"airlock.steps.{step}"
    from importlib.metadata import entry_points

    for entry in entry_points(group="airlock.steps", name=step):
        return entry.value
    raise UserError(f"There is no step {step!r}.", hint=f"Steps: {', '.join(STEPS)}.")


def load_step(step: str) -> ModuleType:
    """Import a step's module; it has ``Inputs``, ``Outputs``, ``ENVIRONMENT`` and ``run(inputs, context)``."""
    return importlib.import_module(module_name(step))


def is_sealed(step: str) -> bool:
    """Say whether a step declares ``SEALED = True``: that it needs test samples, which no other step may see."""
    return bool(getattr(load_step(step), "SEALED", False))
