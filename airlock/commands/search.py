"""``airlock search``: hyperparameter searches, while they run and afterwards."""

from typing import TYPE_CHECKING, Annotated

import typer

from airlock.commands.output import plain
from airlock.settings import settings

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from airlock.model.search.study import Studies

app = typer.Typer(no_args_is_help=True, help="Hyperparameter searches.")


@app.command(name="list")
def list_() -> None:
    """List the searches, and how many trials each has in which state."""
    studies = _studies()
    for name in studies.names():
        states = [trial.state.name.lower() for trial in studies.open(name).get_trials(deepcopy=False)]
        counts = ", ".join(f"{states.count(state)} {state}" for state in sorted(set(states)))
        plain.print(f"{name}  {counts or 'no trials'}")


@app.command()
def show(study: Annotated[str, typer.Argument(help="Name of the study, as `airlock search list` has it.")]) -> None:
    """Show every trial of a search: state, last figure, parameters, and why it ended."""
    for trial in _studies().open(study).get_trials(deepcopy=False):
        plain.print(_line(trial))


def _line(trial: "FrozenTrial") -> str:
    from airlock.model.search.trials import OUTCOME, PREEMPTIONS

    parameters = " ".join(
        f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}" for name, value in trial.params.items()
    )
    step = trial.last_step
    reached = f"{trial.intermediate_values[step]:.4g} at epoch {step}" if step is not None else "no epoch yet"
    ended = trial.user_attrs.get(OUTCOME, {}).get("reason", "") if trial.state.name in ("PRUNED", "FAIL") else ""
    preempted = f" preempted {trial.user_attrs[PREEMPTIONS]} times" if PREEMPTIONS in trial.user_attrs else ""
    return f"{trial.number:>4} {trial.state.name.lower():<8} {reached}  {parameters}{preempted}  {ended}".rstrip()


def _studies() -> "Studies":
    from airlock.model.search.study import Studies
    from airlock.stores.database import open_database

    return Studies(open_database(settings().database))
