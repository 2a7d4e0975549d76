"""What the guard costs whoever does not meet it, and what it costs to verify a long ledger.

The same application answers behind the guard and bare, in one process, and the requests take turns; the ledger is
100,000 records in PostgreSQL, as five thousand releases leave them, verified as `airlock ledger verify` does.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from io import StringIO
from pathlib import Path
from typing import Any

import httpx
import msgspec
import psycopg2
from reporting import report

from airlock.digests import canonical, digest_bytes
from airlock.governance.anchor import read_anchor, write_anchor
from airlock.governance.authority import DATABASE, KEY_FILE
from airlock.governance.decisions import Decision, closing_body, decision_body
from airlock.governance.ledger import verify_ledger
from airlock.governance.policy import APPROVE, GatePolicy
from airlock.governance.signing import Signer, create_keypair, current_signer, public_keys
from airlock.launcher.postgres import EmbeddedPostgres
from airlock.settings import Settings
from airlock.stores.database import open_database
from airlock.stores.gates import GateRequest
from airlock.stores.ledger import SIGNED, Ledger, Record
from airlock.stores.migrations import upgrade

HERE = Path(__file__).parent
PORT = 8790
ROLES = ("airlock_owner", "airlock_app", "airlock_guard")
PASSWORD = "benchmark"
SIMPLE = "airflow.api_fastapi.auth.managers.simple.simple_auth_manager.SimpleAuthManager"
WARM, ROUNDS = 100, 1500
RECORDS, SECONDS = 100_000, 10.0
OVERHEAD = 1.03
ROUTES: dict[str, tuple[str, str, Any]] = {
    "get_version": ("GET", "/api/v2/version", None),
    "get_dags": ("GET", "/api/v2/dags", None),
    "patch_dag": ("PATCH", "/api/v2/dags/benchmark", {"is_paused": False}),
    "list_runs": ("POST", "/api/v2/dags/~/dagRuns/list", {"page_limit": 10}),
}


def main() -> None:
    """Measure and report."""
    with tempfile.TemporaryDirectory(prefix="airlock-bench-", ignore_cleanup_errors=True) as folder:
        home = Path(folder)
        postgres = EmbeddedPostgres(home / "postgres", PORT, options={"fsync": "off"})
        postgres.start()
        try:
            settings = prepare(postgres, home)
            overheads = measure(postgres, settings)
            seconds = verify(postgres, settings, current_signer(home / "keys" / "private" / "newest.pem", ()))
        finally:
            postgres.stop()
    for name, ratio in overheads.items():
        report(f"guarded_{name}_over_bare", ratio, OVERHEAD)
    report("ledger_100k_seconds_over_10", seconds / SECONDS, 1.0)


def prepare(postgres: EmbeddedPostgres, home: Path) -> Settings:
    """Databases and keys."""
    for role in ROLES:
        postgres.create_role(role, PASSWORD)
    for name in ("airflow", "airlock"):
        postgres.create_database(name, ROLES[0], members=ROLES[1:])
    upgrade(postgres.dsn(ROLES[0], PASSWORD, "airlock"), *ROLES[1:])
    create_keypair(home / "keys")
    return Settings(
        home=str(home),
        artifacts=(home / "artifacts").as_uri(),
        database=postgres.dsn(ROLES[1], PASSWORD, "airlock"),
        public_keys=str(home / "keys" / "public"),
        people=str(home / "people.json"),
    )


def measure(postgres: EmbeddedPostgres, settings: Settings) -> dict[str, float]:
    """Median seconds behind the guard over bare, by route."""
    ports = [str(PORT + 1), str(PORT + 2)]
    command = [sys.executable, str(HERE / "guarded_api.py"), *ports]
    environment = server_environment(postgres, settings)
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as server:
        try:
            headers = {"Authorization": f"Bearer {token_of(server)}"}
            clients = [httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=60) for port in ports]
            return {name: overhead(name, clients, *route) for name, route in ROUTES.items()}
        finally:
            server.kill()


def server_environment(postgres: EmbeddedPostgres, settings: Settings) -> dict[str, str]:
    """The environment of an API server that is the guard."""
    home = Path(settings.home)
    roster = home / "roster.json"
    roster.write_text("{}")
    airflow = postgres.dsn(ROLES[0], PASSWORD, "airflow").replace("postgresql://", "postgresql+psycopg2://", 1)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "AIRLOCK"))}
    return (
        kept
        | msgspec.structs.replace(settings, roster=str(roster)).environment()
        | {
            KEY_FILE: str(home / "keys" / "private" / "newest.pem"),
            DATABASE: postgres.dsn(ROLES[2], PASSWORD, "airlock"),
            "AIRFLOW_HOME": str(home / "airflow"),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": airflow,
            "AIRFLOW__CORE__AUTH_MANAGER": SIMPLE,
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "otto:op",
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__API_AUTH__JWT_SECRET": "a secret of the benchmark" * 3,
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR",
        }
    )


def token_of(server: "subprocess.Popen[str]") -> str:
    """Wait until both servers answer."""
    assert server.stdout is not None
    for line in server.stdout:
        if line.startswith("ready "):
            return line.split()[1]
    raise SystemExit("The API server did not start.")


def overhead(name: str, clients: list[httpx.Client], method: str, path: str, body: Any) -> float:
    """Ask behind the guard and bare in turns; return the ratio of the medians."""
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(WARM + ROUNDS):
        for which in (0, 1) if number % 2 else (1, 0):
            started = time.perf_counter()
            reply = clients[which].request(method, path, json=body)
            seconds = time.perf_counter() - started
            assert reply.is_success, reply.text
            if number >= WARM:
                times[which].append(seconds)
    guarded, bare = (1000 * statistics.median(each) for each in times)
    print(f"{name}: guarded {guarded:.3f} ms, bare {bare:.3f} ms, medians of {ROUNDS}", flush=True)
    return guarded / bare


def verify(postgres: EmbeddedPostgres, settings: Settings, signer: Signer) -> float:
    """Seconds to verify the long ledger."""
    last = fill(postgres, signer)
    write_anchor(settings.public_keys, last, signer)
    keys = public_keys(settings.public_keys)
    started = time.perf_counter()
    count = verify_ledger(
        Ledger(open_database(settings.database)).read(), keys, read_anchor(settings.public_keys, keys)
    )
    seconds = time.perf_counter() - started
    assert count == RECORDS
    print(f"ledger: {count} records verified in {seconds:.2f} s", flush=True)
    return seconds


def fill(postgres: EmbeddedPostgres, signer: Signer) -> Record:
    """Write the ledger behind PostgreSQL's functions, for these take two minutes; return its newest signed record."""
    rows, last, signed = StringIO(), Record(seq=0, kind="", use_case="", body={}, previous="", created=0.0), None
    for kind, body in history():
        last = chained(last, kind, body, signer)
        signed = last if last.signature else signed
        rows.write(f"{last.seq}\t{escaped(last.text)}\t{last.hash}\t{last.signature}\n")
    rows.seek(0)
    with closing(psycopg2.connect(postgres.admin_dsn("airlock"))) as link, link, link.cursor() as cursor:
        cursor.copy_expert("COPY airlock.ledger (seq, record, hash, signature) FROM STDIN", rows)
    assert signed is not None
    return signed


def escaped(text: str) -> str:
    """A value of COPY's text format."""
    return text.replace("\\", "\\\\")


def chained(before: Record, kind: str, body: dict[str, Any], signer: Signer) -> Record:
    """The next record of the chain."""
    key = signer if kind in SIGNED else None
    fields = {
        "seq": before.seq + 1,
        "kind": kind,
        "use_case": body["use_case"],
        "body": body,
        "previous": before.hash,
        "key_id": key.key_id if key else "",
        "created": time.time(),
    }
    text = canonical(fields).decode()
    name = digest_bytes(text.encode())
    return Record(**fields, text=text, hash=name, signature=key.sign(name.encode()) if key else "")


def history() -> Any:
    """A policy, then request, decision, closing, promotion and deployment again and again."""
    policy = GatePolicy.of("devops_engineer")
    yield "policy", {"use_case": "digits", "gate": "release", "policy": msgspec.to_builtins(policy)}
    kinds = release_of(0, policy)
    for number in range(1, RECORDS):
        place = (number - 1) % len(kinds)
        if place == 0:
            kinds = release_of(number, policy)
        yield kinds[place]


def release_of(number: int, policy: GatePolicy) -> list[tuple[str, dict[str, Any]]]:
    """What one release leaves in the ledger."""
    manifest = digest_bytes(str(number).encode())
    same = {"use_case": "digits", "gate": "release", "manifest": manifest, "evidence": manifest}
    now, digest = time.time(), policy.digest
    run = f"scheduled__{number}"
    request = GateRequest(dag="digits_deployment", run=run, task="release_gate", policy=digest, created=now, **same)
    said = {"user": "otto", "roles": ["devops_engineer"], "option": APPROVE, "comment": "Looked at it, it is good."}
    decision = Decision(request=request.id, policy=digest, approved=True, time=now, **same, **said)
    sent = {"use_case": "digits", "manifest": manifest, "decision": manifest}
    return [
        ("request", {"request": request.id} | msgspec.to_builtins(request)),
        ("decision", decision_body(decision)),
        ("closed", closing_body(request, "approved", "otto", APPROVE)),
        ("promotion", sent | {"queue": "digits/deployment"}),
        ("deployment", sent | {"target": "local", "generation": number, "endpoint": "http://127.0.0.1/digits"}),
    ]


if __name__ == "__main__":
    main()
