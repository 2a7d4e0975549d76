"""``airlock history``: what served at a time, who approved it, on which data; and the story of a manifest."""

import time
from typing import Annotated, Any

import typer

from airlock.commands.output import console, plain, seconds_of, when
from airlock.digests import short
from airlock.governance.history import Asked, History, Served
from airlock.governance.manifest import AnyManifest, CandidateManifest, DataManifest, LabellingManifest, chain
from airlock.settings import settings
from airlock.stores.artifacts import ArtifactStore
from airlock.stores.database import open_database
from airlock.stores.layers import open_layers
from airlock.stores.ledger import Ledger, Record

app = typer.Typer(no_args_is_help=True, help="What the verified ledger says about the past.")


@app.command()
def deployed(
    at: Annotated[str, typer.Option(help="ISO time; without a zone it is local. Now when left out.")] = "",
    use_case: Annotated[str, typer.Option("--use-case", help="Only this use case.")] = "",
) -> None:
    """Say what served at a time, who approved it, and on which data it was made."""
    moment = seconds_of(at) if at else time.time()
    found = _history().served(_store(), moment, use_case)
    console.print(f"at {when(moment)}" + ("" if found else " nothing was deployed"))
    for served in found:
        _print_served(served)


@app.command()
def show(manifest: Annotated[str, typer.Argument(help="Digest, or the beginning of it.")]) -> None:
    """Tell the story of a manifest and of those it was made from: requests, answers, promotions, deployments."""
    history, store = _history(), _store()
    for digest, about in chain(store, history.manifest(manifest)).items():
        plain.print(f"{_kind(about)} manifest {digest}")
        plain.print(f"  made from: {_content(about)}")
        for event in history.about(digest):
            _print_asked(event) if isinstance(event, Asked) else _print_act(event)


def _print_served(served: Served) -> None:
    record = served.record
    plain.print(f"{record.use_case} at {record.body.get('target', '')}: manifest {served.manifest}")
    plain.print(
        f"  reported, not signed: {record.kind} in ledger record {record.seq}, {when(record.created)}"
        f", at {record.body.get('endpoint') or 'no endpoint'}"
    )
    if served.doubt:
        plain.print(f"  NOT PROVED: {served.doubt}")
    if served.approval:
        _print_asked(served.approval)
    for digest, about in served.chain.items():
        plain.print(f"  proved by digest: {_kind(about)} {short(digest)}: {_content(about)}")


def _print_asked(asked: Asked) -> None:
    request = asked.request
    how = asked.closing.verdict if asked.closing else "open"
    proof = f", signed in ledger record {asked.closed.seq}" if asked.closed else ""
    plain.print(
        f"  {request.gate} gate: {how}{proof}; asked {when(request.created)} by {request.dag}, run {request.run}"
        f", request {request.id[:12]}, policy {short(request.policy)}"
    )
    for each in asked.decisions:
        note = f" “{each.comment}”" if each.comment else ""
        plain.print(f"    {when(each.time)} {each.user} ({', '.join(each.roles)}): {each.option}{note}")
    if asked.closing and asked.closing.verdict not in ("approved", "rejected"):
        plain.print(f"    {asked.closing.user or 'nobody'}: {asked.closing.reason}")


def _print_act(record: Record) -> None:
    plain.print(f"  reported, not signed: {_act(record)} in ledger record {record.seq}, {when(record.created)}")


def _act(record: Record) -> str:
    body = record.body
    where = body.get("target") or body.get("queue") or ""
    match record.kind:
        case "kept":
            return f"champion kept: {body['reason']}"
        case "rollout" if body.get("event") == "share":
            return f"canary at {where}, {body['share']:.0%} of the requests"
        case "rollout":
            return f"{body.get('event')} at {where}"
        case "rollback":
            change = f" from {short(body.get('from', ''))} to {short(body.get('manifest', ''))}"
            return f"rollback at {where}{change} by {body.get('by')}: {body.get('reason')}{_figures(body)}"
    return f"{record.kind} to {where}"


def _figures(body: dict[str, Any]) -> str:
    figures = body.get("figures") or {}
    told = [
        f"{name} {one['requests']} requests, {one['errors']} errors, p50 {one['p50_ms']} ms, p99 {one['p99_ms']} ms"
        for name, one in figures.items()
        if name in ("canary", "champion")
    ]
    return f" ({'; '.join(told)})" if told else ""


def _content(about: AnyManifest) -> str:
    if isinstance(about, DataManifest | CandidateManifest):
        data = f"{about.dataset.name} v{about.dataset.version} {about.dataset.digest}"
        revises = (
            f"a revision of candidate {short(about.revises)}, "
            if isinstance(about, CandidateManifest) and about.revises
            else ""
        )
        return f"{revises}dataset {data}, labels {about.labels.digest}"
    if isinstance(about, LabellingManifest):
        return f"{about.samples} samples of {about.dataset.name} v{about.dataset.version} {about.dataset.digest}"
    return f"package {about.package.digest}, candidate {short(about.candidate)}"


def _kind(about: AnyManifest) -> str:
    return type(about).__name__.removesuffix("Manifest").lower()


def _history() -> History:
    return History.open(Ledger(open_database(settings().database)), settings().public_keys)


def _store() -> ArtifactStore:
    return open_layers(settings())
