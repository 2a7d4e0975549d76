"""The rules that docker-compose.yaml must keep, whoever edits it."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from airlock.governance.authority import DATABASE, KEY, SECRET
from airlock.governance.roles import ROLES
from airlock.launcher.credentials import DEMO_USERS
from airlock.launcher.databases import APPLICATION, GUARD
from airlock.settings import Settings

Services = dict[str, dict[str, Any]]
VARIABLE = re.compile(r"\$\{(\w+)")
LABELLING = ("label_studio", "label_studio_token", "label_studio_secret")
JOBS = {"keys", "airflow-init", "policies"}  # they end; everything else stays up

# Which service may know which secret. An addition here needs a reason in docs/decisions/0005-compose-stack.md.
SECRETS = {
    "POSTGRES_PASSWORD": {"postgres"},
    "AIRLOCK_OWNER_PASSWORD": {"postgres", "airflow-init"},
    "AIRLOCK_APP_PASSWORD": {"postgres", "api-server", "scheduler", "triggerer", "serving"},
    "AIRLOCK_GUARD_PASSWORD": {"postgres", "policies", "api-server"},
    "AIRFLOW_DATABASE_PASSWORD": {"postgres", "airflow-init", "api-server", "scheduler", "triggerer", "dag-processor"},
    "MLFLOW_DATABASE_PASSWORD": {"postgres", "mlflow"},
    "LABEL_STUDIO_DATABASE_PASSWORD": {"postgres", "label-studio"},
    "S3_SECRET_KEY": {"s3", "mlflow", "api-server", "scheduler", "triggerer", "serving"},
    "AIRFLOW_FERNET_KEY": {"airflow-init", "api-server", "scheduler", "triggerer", "dag-processor"},
    "AIRFLOW_JWT_SECRET": {"api-server", "scheduler"},
    "AIRFLOW_SESSION_KEY": {"api-server"},
    "LABEL_STUDIO_PASSWORD": {"label-studio"},
    "LABEL_STUDIO_TOKEN": {"label-studio", "scheduler", "triggerer"},
    "LABEL_STUDIO_SECRET": {"api-server", "scheduler", "triggerer"},
}


def environment(service: dict[str, Any]) -> dict[str, str]:
    return service.get("environment", {})


def mounts(service: dict[str, Any]) -> dict[str, str]:
    """Return source to ``target[:mode]`` of a service's volumes."""
    return dict(volume.split(":", 1) for volume in service.get("volumes", []))


class TestEveryService:
    def test_has_an_image_pinned_to_a_version(self, services: Services) -> None:
        for name, service in services.items():
            _, _, tag = service["image"].rpartition(":")
            assert re.search(r"\d+\.\d+", tag), f"{name}: {service['image']} is not pinned to a version"

    def test_is_published_on_loopback_only_under_its_own_number(self, services: Services) -> None:
        for name, service in services.items():
            for port in service.get("ports", []):
                host, outside, inside = port.split(":")
                assert host == "127.0.0.1", f"{name}: {port} is reachable from outside this host"
                assert outside == inside or name == "postgres", f"{name}: links would be wrong with {port}"

    def test_has_no_more_rights_than_it_needs(self, services: Services) -> None:
        for name, service in services.items():
            assert not {"privileged", "pid", "ipc", "devices"} & service.keys(), name
            assert service.get("network_mode") in (None, "none"), name
            assert service["cap_drop"] == ["ALL"], name
            assert "no-new-privileges:true" in service["security_opt"], name
            assert "/var/run/docker.sock" not in mounts(service), name

    def test_does_not_run_as_root(self, services: Services) -> None:
        for name, service in services.items():
            drops_root_itself = name == "s3"  # seaweedfs: gives /data to its user, then goes on as that user
            ours = service["image"].startswith("airlock/")  # USER in the Dockerfile: test_images.py
            assert ours or drops_root_itself or service["user"] not in ("root", "0"), name

    def test_says_when_it_is_healthy_or_ends(self, services: Services, root: Path) -> None:
        for name, service in services.items():
            in_image = "build" in service and "HEALTHCHECK" in (root / service["build"]["dockerfile"]).read_text()
            assert name in JOBS or "healthcheck" in service or in_image, name

    def test_waits_for_services_that_exist_and_are_ready(self, services: Services) -> None:
        for name, service in services.items():
            for other, wait in service.get("depends_on", {}).items():
                ready = "service_completed_successfully" if other in JOBS else "service_healthy"
                assert wait["condition"] == ready, f"{name} waits for {other}"
                assert other in services, name

    def test_mounts_declared_volumes_or_files_of_the_repository(self, compose: dict[str, Any], root: Path) -> None:
        used = set()
        for service in compose["services"].values():
            for source in mounts(service):
                if source.startswith("./"):
                    assert (root / source).exists(), source
                else:
                    used.add(source)
        assert used == compose["volumes"].keys()

    def test_is_built_from_a_dockerfile_that_exists(self, services: Services, root: Path) -> None:
        built = {service["build"]["dockerfile"] for service in services.values() if "build" in service}
        assert built
        assert all((root / file).is_file() for file in built)


class TestSecrets:
    def test_reach_exactly_the_services_that_need_them(self, services: Services) -> None:
        found: dict[str, set[str]] = {}
        for name, service in services.items():
            for variable in VARIABLE.findall(json.dumps(service)):
                found.setdefault(variable, set()).add(name)
        assert found == SECRETS

    def test_are_never_written_into_the_file(self, services: Services) -> None:
        for name, service in services.items():
            for key, value in environment(service).items():
                named_so = re.search(r"PASSWORD|SECRET|TOKEN|FERNET|_CONN$|STORE_URI$", key)
                with_login = re.search(r"://\S*@", value)
                switch = value in ("true", "false")
                assert not (named_so or with_login) or switch or VARIABLE.search(value), f"{name}: {key} holds a secret"

    def test_have_no_default_that_would_start_an_open_stack(self, root: Path) -> None:
        uses = re.findall(r"\$\{\w+([^}]*)\}", (root / "docker-compose.yaml").read_text())
        assert uses
        assert all(use.startswith(":?") for use in uses), "an unset secret must stop the start, with a way out"

    def test_are_named_by_the_example_which_holds_none(self, root: Path) -> None:
        lines = (root / ".env.example").read_text().splitlines()
        variables = [line for line in lines if line and not line.startswith("#")]
        assert {line.removesuffix("=") for line in variables} == SECRETS.keys()

    def test_stay_out_of_every_image(self, root: Path) -> None:
        ignore = (root / ".dockerignore").read_text().splitlines()
        assert "*" in ignore
        assert not any(".env" in line for line in ignore if line.startswith("!"))


class TestSigning:
    HOLDERS = {"api-server", "policies"}  # the second one ends before the first one starts

    def test_takes_a_key_that_nobody_else_mounts_and_nobody_but_its_maker_writes(self, services: Services) -> None:
        found = {name: mounts(each)["signing_key"] for name, each in services.items() if "signing_key" in mounts(each)}
        assert found.keys() == self.HOLDERS | {"keys"}, "keys makes it once and has no network"
        assert services["keys"]["network_mode"] == "none"
        assert all(found[name].endswith(":ro") for name in self.HOLDERS)
        assert not any("ports" in services[name] for name in self.HOLDERS - {"api-server"})

    @pytest.mark.parametrize("variable", SECRET)
    def test_is_told_to_nobody_else(self, services: Services, variable: str) -> None:
        told = {name for name, service in services.items() if variable in environment(service)}
        assert told == (set() if variable == KEY else self.HOLDERS), "a key in a variable is seen by `docker inspect`"

    def test_takes_the_guards_role_not_the_applications(self, services: Services) -> None:
        for name in self.HOLDERS:
            assert environment(services[name])[DATABASE].startswith(f"postgresql://{GUARD}:")
        assert environment(services["api-server"])["AIRLOCK_DATABASE"].startswith(f"postgresql://{APPLICATION}:")

    def test_leaves_the_anchor_beside_the_public_keys_where_others_only_read(self, services: Services) -> None:
        for name in ("api-server", "policies", "scheduler", "serving"):
            mounted, wanted = mounts(services[name])["public_keys"], environment(services[name])["AIRLOCK_PUBLIC_KEYS"]
            assert mounted == (wanted if name in self.HOLDERS else wanted + ":ro"), name

    def test_waits_for_keys_and_policies(self, services: Services) -> None:
        assert {"keys", "airflow-init"} <= services["policies"]["depends_on"].keys()
        assert "policies" in services["api-server"]["depends_on"]


class TestLabelling:
    def test_is_told_to_whoever_hands_off_and_whoever_waits(self, services: Services) -> None:
        wanted = {f"AIRLOCK_{field.upper()}" for field in LABELLING}
        told = {name: wanted & environment(service).keys() for name, service in services.items()}
        assert {name for name, variables in told.items() if variables == wanted} == {"scheduler", "triggerer"}
        rest = {name: variables for name, variables in told.items() if variables and variables != wanted}
        assert rest == {"api-server": {"AIRLOCK_LABEL_STUDIO_SECRET"}}, "it checks webhooks, and asks nothing"

    def test_the_server_takes_the_token_and_its_webhooks_leave(self, services: Services) -> None:
        told = environment(services["label-studio"])
        assert VARIABLE.findall(told["LABEL_STUDIO_USER_TOKEN"]) == ["LABEL_STUDIO_TOKEN"]
        assert told["LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN"] == "true"
        assert told["SSRF_PROTECTION_ENABLED"] == "false"


class TestPeople:
    def test_are_written_down_by_the_api_server_and_read_where_dags_are_parsed(self, services: Services) -> None:
        for name in ("api-server", "scheduler", "dag-processor"):
            folder = str(Path(environment(services[name])["AIRLOCK_PEOPLE"]).parent)
            assert mounts(services[name])["people"] == (folder if name == "api-server" else folder + ":ro"), name

    def test_have_only_the_gate_roles_that_the_roster_names_too(self, services: Services, root: Path) -> None:
        told = {name for name, service in services.items() if "AIRLOCK_ROSTER" in environment(service)}
        assert told == {"api-server"}
        mounted = dict(mount.split(":", 1) for mount in services["api-server"]["volumes"])["./deploy/compose/roster"]
        assert mounted == str(Path(environment(services["api-server"])["AIRLOCK_ROSTER"]).parent) + ":ro"
        roster = json.loads((root / "deploy/compose/roster/roster.json").read_text())
        assert roster == {name: [role] for name, role in DEMO_USERS.items() if role in ROLES}
        assert "admin" not in roster


class TestSettings:
    # Defaults do, or another test says who has them.
    ELSEWHERE = (
        "home",
        "server",
        "serving_key",
        "targets",
        "target",
        "profiles",
        "compute",
        "people",
        "roster",
        "notify",
        *LABELLING,
    )

    @pytest.mark.parametrize("name", ["api-server", "scheduler", "serving"])
    def test_every_address_is_set(self, services: Services, name: str) -> None:
        wanted = {f"AIRLOCK_{field.upper()}" for field in Settings.__struct_fields__ if field not in self.ELSEWHERE}
        assert wanted <= environment(services[name]).keys()

    def test_no_variable_is_one_that_nothing_reads(self, services: Services) -> None:
        known = {f"AIRLOCK_{field.upper()}" for field in Settings.__struct_fields__} | set(SECRET)
        for name, service in services.items():
            ours = {key for key in environment(service) if key.startswith("AIRLOCK_")}
            assert ours <= known, name

    def test_addresses_are_those_of_the_services(self, services: Services) -> None:
        for key, value in environment(services["scheduler"]).items():
            if match := re.fullmatch(r"http://([\w-]+):(\d+).*", value):
                host, port = match.groups()
                assert any(publication.endswith(f":{port}") for publication in services[host]["ports"]), key

    def test_dags_are_those_of_the_package(self, services: Services) -> None:
        for name in ("airflow-init", "api-server", "scheduler", "dag-processor"):
            bundles = json.loads(environment(services[name])["AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST"])
            assert [bundle["kwargs"]["path"] for bundle in bundles] == [
                "/opt/airlock/lib/python3.11/site-packages/airlock/dags"
            ]


def test_a_compose_program_accepts_the_file(root: Path) -> None:
    programs = [["docker", "compose"], ["docker-compose"], ["podman-compose"]]
    accepted = [program for program in programs if shutil.which(program[0]) and _runs([*program, "version"])]
    if not accepted:
        pytest.skip("neither `docker compose` nor docker-compose nor podman-compose is installed")
    secrets = os.environ | dict.fromkeys(SECRETS, "x")
    done = subprocess.run([*accepted[0], "config"], cwd=root, env=secrets, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def _runs(command: list[str]) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0
