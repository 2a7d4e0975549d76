"""``airlock gate``: for people who live in a terminal. The guard checks them as it checks everybody else."""

from typing import Annotated, Any

import typer
from rich.markdown import Markdown
from rich.table import Table

from airlock.commands.desk import GateDesk, sign_in
from airlock.commands.output import console, plain, when
from airlock.digests import short
from airlock.errors import UserError
from airlock.governance.policy import APPROVE

app = typer.Typer(no_args_is_help=True, help="Requests that wait for a decision: see them, answer them, withdraw them.")

User = Annotated[str, typer.Option("--user", "-u", help="Sign in with this name instead of AIRLOCK_TOKEN.")]
Id = Annotated[str, typer.Argument(metavar="ID", help="Of the request; as much of it as tells it from others.")]
Comment = Annotated[str, typer.Option("--comment", "-c", help="Kept with the decision.")]


@app.command("list")
def list_requests(
    every: Annotated[bool, typer.Option("--all", help="Also those that came to their end.")] = False,
    mine: Annotated[bool, typer.Option("--mine", help="Only those you may answer now.")] = False,
    user: User = "",
) -> None:
    """Show the open requests, those you may answer first."""
    table = Table("id", "use case", "gate", "manifest", "state", "waits for", "since", "you", box=None, pad_edge=False)
    for asked in sign_in(user).requests(every=every, mine=mine):
        table.add_row(
            asked["id"][:12],
            asked["use_case"],
            asked["gate"],
            short(asked["manifest"]),
            asked["state"] + (", overdue" if asked["overdue"] else ""),
            _awaited(asked),
            when(asked["created"]),
            "may answer" if asked["mine"] else "",
        )
    console.print(table if table.row_count else "No request is open." if not every else "There is no request.")


@app.command()
def show(request: Id, user: User = "") -> None:
    """Show a request as its page does: evidence, policy, who decided what, and what can be answered."""
    asked = sign_in(user).request(request)
    console.print(f"request {asked['id']}")
    console.print(Markdown(asked["evidence"]))
    console.print()
    plain.print(f"{asked['state']} since {when(asked['created'])}; waits for {_awaited(asked) or 'nobody'}")
    if asked["deadline"]:
        plain.print(f"expires {when(asked['deadline'])}")
    for decision in asked["decisions"]:
        note = f" “{decision['comment']}”" if decision["comment"] else ""
        plain.print(f"{when(decision['time'])} {decision['user']} chose {decision['option']!r}{note}")
    if closing := asked["closing"]:
        plain.print(f"{closing['verdict']} by {closing['user'] or 'nobody'}: {closing['reason']}")
    for name, text in asked["checklist"].items():
        plain.print(f"--confirm {name}: {text}")
    for name, field in asked["form"].items():
        choice = f" ({' | '.join(field['options'])})" if field["options"] else ""
        plain.print(f"--answer {name}=…: {field['title']}{choice}")
    plain.print(f"options: {', '.join(asked['options'])}")
    plain.print("you may answer now" if asked["mine"] else asked["why_not"])


@app.command()
def approve(
    request: Id,
    comment: Comment = "",
    confirm: Annotated[list[str] | None, typer.Option(help="An item of the checklist; once for each.")] = None,
    confirm_all: Annotated[bool, typer.Option("--confirm-all", help="Every item of the checklist.")] = False,
    answer: Annotated[
        list[str] | None, typer.Option(help="field=value, a question of the form; once for each.")
    ] = None,
    user: User = "",
) -> None:
    """Approve a request."""
    desk = sign_in(user)
    asked = desk.request(request)
    items = set(asked["checklist"]) if confirm_all else set(confirm or ())
    if unknown := sorted(items - set(asked["checklist"])):
        known = ", ".join(asked["checklist"]) or "it has no items"
        raise UserError(f"{unknown[0]!r} is not on the checklist.", hint=f"On it: {known}.")
    confirmed = dict.fromkeys(sorted(items), True)
    _answer(desk, asked, APPROVE, confirmed | _answers(answer or [], asked) | _comment(comment))


@app.command()
def reject(
    request: Id,
    to: Annotated[str, typer.Option("--to", help='Where it goes back to, for example "Train again".')],
    comment: Comment = "",
    user: User = "",
) -> None:
    """Reject a request, which starts the rework."""
    desk = sign_in(user)
    asked = desk.request(request)
    reworks = [option for option in asked["options"] if option != APPROVE]
    if to not in reworks:
        raise UserError(f"{to!r} is no way back from this gate.", hint=f"Choose one of: {', '.join(reworks)}.")
    _answer(desk, asked, to, _comment(comment))


@app.command()
def withdraw(
    request: Id, reason: Annotated[str, typer.Option("--reason", "-r", help="Kept in the ledger.")], user: User = ""
) -> None:
    """Withdraw a request that you submitted."""
    desk = sign_in(user)
    asked = desk.request(request)
    desk.withdraw(asked, reason)
    plain.print(f"withdrawn: {_about(asked)}")


def _answer(desk: GateDesk, asked: dict[str, Any], option: str, form: dict[str, Any]) -> None:
    if asked["state"] != "open":
        raise UserError(f"The request is {asked['state']}.", hint="Clear its gate task to ask anew.")
    desk.answer(asked, option, form)
    after = desk.request(asked["id"])
    wait = f"; {_awaited(after)} must still approve" if after["state"] == "open" else ""
    plain.print(f"{option}: {_about(asked)}{wait}")


def _answers(given: list[str], asked: dict[str, Any]) -> dict[str, str]:
    answers = {name: value for name, _, value in (each.partition("=") for each in given)}
    if unknown := sorted(answers.keys() - asked["form"].keys()):
        known = ", ".join(asked["form"]) or "it has no questions"
        raise UserError(f"{unknown[0]!r} is not in the form.", hint=f"In it: {known}.")
    return answers


def _comment(text: str) -> dict[str, str]:
    return {"comment": text} if text else {}


def _about(asked: dict[str, Any]) -> str:
    return f"manifest {short(asked['manifest'])} at the {asked['gate']} gate of {asked['use_case']}"


def _awaited(asked: dict[str, Any]) -> str:
    stage = f" (stage {asked['stage'] + 1} of {asked['stages']})" if asked["stages"] > 1 else ""
    many = f"{asked['missing']} × " if asked["missing"] > 1 else ""
    return f"{many}{' or '.join(asked['awaited'])}{stage}" if asked["awaited"] else ""
