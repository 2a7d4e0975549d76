"""What the services are told, and who else can read it."""

import json
import stat
from configparser import RawConfigParser
from pathlib import Path

import msgspec
import pytest

from airlock.errors import UserError
from airlock.governance.authority import DATABASE, KEY_FILE, SECRET
from airlock.launcher import services
from airlock.launcher.airflow_config import packaged_dags, write_airflow_config
from airlock.launcher.credentials import Secrets, load_demo_users, load_secrets, write_private
from airlock.launcher.environment import child_environment
from airlock.launcher.layout import Layout, Ports
from airlock.launcher.logs import logs
from airlock.launcher.phases import Phases
from airlock.launcher.stack import down
from airlock.launcher.stamps import wanted_stamps
from airlock.launcher.status import status
from airlock.settings import Settings

AIRFLOWS = "postgresql+psycopg2://airflow:se%cret@127.0.0.1:9002/airflow"


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(tmp_path)
    layout.create()
    return layout


@pytest.fixture
def needs(layout: Layout) -> services.Needs:
    return services.Needs(
        layout=layout,
        ports=Ports.from_base(9000),
        settings=Settings(home=str(layout.home), database="postgresql://app@127.0.0.1:9002/airlock"),
        tracking_database="postgresql://mlflow:secret@127.0.0.1:9002/mlflow",
        upgrade_tracking=False,
        guard={
            KEY_FILE: str(layout.keys / "private" / "k.pem"),
            DATABASE: "postgresql://guard:secret@127.0.0.1/airlock",
        },
    )


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


class TestCredentials:
    def test_are_made_once_and_private(self, layout: Layout) -> None:
        first = load_secrets(layout.secrets)
        assert load_secrets(layout.secrets) == first
        assert mode(layout.secrets) == 0o600

    def test_of_an_older_airlock_gain_what_is_new_and_keep_the_rest(self, layout: Layout) -> None:
        before = load_secrets(layout.secrets)
        old = {name: value for name, value in msgspec.to_builtins(before).items() if name != "guard"}
        write_private(layout.secrets, old | {"of_a_newer_one": "x"})
        after = load_secrets(layout.secrets)
        assert after == msgspec.structs.replace(before, guard=after.guard)
        assert after.guard not in ("", before.guard)
        assert load_secrets(layout.secrets) == after, "made once"
        kept = msgspec.json.decode(layout.secrets.read_bytes())
        assert kept == msgspec.to_builtins(after) | {"of_a_newer_one": "x"}
        assert mode(layout.secrets) == 0o600

    def test_demo_users_cover_the_six_roles_and_are_made_once(self, layout: Layout) -> None:
        users = load_demo_users(layout.demo_users)
        assert load_demo_users(layout.demo_users) == users
        assert mode(layout.demo_users) == 0o600
        assert len({user.password for user in users}) == len(users) == 7

    def test_a_damaged_file_is_named_and_kept(self, layout: Layout) -> None:
        layout.secrets.write_text("{")
        with pytest.raises(UserError, match=r"secrets\.json cannot be read"):
            load_secrets(layout.secrets)
        assert layout.secrets.read_text() == "{"


class TestAirflowConfig:
    def test_is_private_and_listens_on_loopback(self, layout: Layout) -> None:
        path = write_airflow_config(layout, Ports.from_base(9000), Secrets(), AIRFLOWS, None)
        parser = RawConfigParser()
        parser.read(path)
        assert mode(path) == 0o600
        assert parser["api"]["host"] == "127.0.0.1"
        assert parser["api"]["base_url"] == "http://127.0.0.1:9000"
        assert parser["database"]["sql_alchemy_conn"] == AIRFLOWS.replace("%", "%%"), "Airflow interpolates"

    def test_has_the_packaged_dags_and_the_users_own(self, layout: Layout, tmp_path: Path) -> None:
        path = write_airflow_config(layout, Ports.from_base(9000), Secrets(), AIRFLOWS, tmp_path / "own")
        parser = RawConfigParser()
        parser.read(path)
        bundles = {
            b["name"]: b["kwargs"]["path"] for b in json.loads(parser["dag_processor"]["dag_bundle_config_list"])
        }
        assert bundles == {"airlock": str(packaged_dags()), "user": str(tmp_path / "own")}


class TestEnvironment:
    def test_drops_what_would_change_the_services(self, needs: services.Needs, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "SequentialExecutor")
        monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
        for name in SECRET:
            monkeypatch.setenv(name, "elsewhere")
        environment = child_environment(needs.settings)
        assert not {"AIRFLOW__CORE__EXECUTOR", "PYTHONDONTWRITEBYTECODE", *SECRET} & environment.keys()
        assert environment["AIRLOCK_DATABASE"] == needs.settings.database

    @pytest.mark.parametrize("name", [KEY_FILE, DATABASE])
    def test_only_the_api_server_learns_what_signing_takes(self, needs: services.Needs, name: str) -> None:
        told = [service.name for service in services.declare(needs) if name in service.environment]
        assert told == ["api-server"]
        parent = services.airflow_parent(needs)
        assert name not in parent.environment, "its environment can be read in every fork"
        assert name not in services.bootstrap(needs).environment

    def test_no_password_is_in_a_command_line(self, needs: services.Needs) -> None:
        assert not any("secret" in " ".join(service.command) for service in services.declare(needs))

    def test_the_triggerer_runs_only_when_asked_for(self, needs: services.Needs) -> None:
        assert services.TRIGGERER not in [service.name for service in services.declare(needs)]


class TestStamps:
    def test_other_passwords_or_users_prepare_the_databases_anew(self, layout: Layout) -> None:
        load_secrets(layout.secrets)
        load_demo_users(layout.demo_users)
        first = wanted_stamps(layout, "cluster")
        assert wanted_stamps(layout, "cluster") == first
        write_private(layout.secrets, Secrets())
        second = wanted_stamps(layout, "cluster")
        assert second.bootstrap != first.bootstrap, "a role must get its new password"
        write_private(layout.demo_users, [])
        assert wanted_stamps(layout, "cluster").bootstrap not in (first.bootstrap, second.bootstrap)


class TestAnEmptyHome:
    def test_down_has_nothing_to_stop(self, tmp_path: Path) -> None:
        assert down(tmp_path / "none") == []
        assert not (tmp_path / "none").exists()

    def test_status_shows_every_service_stopped(self, tmp_path: Path) -> None:
        rows = status(tmp_path)
        assert {row.state for row in rows} == {"stopped"}
        assert "postgres" in {row.name for row in rows}

    def test_an_unknown_log_lists_those_there_are(self, layout: Layout) -> None:
        (layout.logs / "mlflow.log").write_text("a\nb\n")
        with pytest.raises(UserError, match="Logs: mlflow"):
            logs(layout.home, "scheduler")
        assert list(logs(layout.home, "mlflow", lines=1)) == ["b"]


def test_phases_print_a_line_each() -> None:
    said: list[str] = []
    phases = Phases(said.append)
    with phases.phase("postgres"):
        pass
    assert said[0].split() == ["postgres", "0.0", "s"]
    assert [phase.name for phase in phases.done] == ["postgres"]
