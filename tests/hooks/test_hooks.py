"""Hooks know where the services are, and Airflow knows the hooks."""

import json
import subprocess
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import airflow
import jsonschema
import pytest
from airflow.providers_manager import ProvidersManager
from airflow.sdk.providers_manager_runtime import ProvidersManagerTaskRuntime

from airlock.errors import UserError
from airlock.hooks.address import AddressHook
from airlock.hooks.artifacts import ArtifactsHook
from airlock.hooks.database import DatabaseHook
from airlock.hooks.git import GitHook
from airlock.hooks.sealed import SealedHook
from airlock.hooks.serving import ServingHook
from airlock.hooks.tracking import TrackingHook
from airlock.provider import get_provider_info
from tests.governed import Governed, governed, home

__all__ = ["governed", "home"]

HOOKS = {
    "airlock_artifacts": ArtifactsHook,
    "airlock_database": DatabaseHook,
    "airlock_sealed": SealedHook,
    "airlock_tracking": TrackingHook,
    "airlock_serving": ServingHook,
}
DSN = "postgresql://app:p%2Fw@db.example.org:5433/airlock?sslmode=require"


class TestAddress:
    def test_without_a_connection_it_is_the_stacks_own(self, governed: Governed) -> None:
        assert DatabaseHook().get_conn().dsn == governed.database.dsn
        assert ArtifactsHook().get_conn().read(governed.manifest().digest)
        assert ServingHook().get_conn() == "http://127.0.0.1:9"
        assert TrackingHook().get_conn().url == "http://127.0.0.1:9"

    @pytest.mark.parametrize("uri", ["s3://bucket/prefix/deeper", "file:///var/lib/artifacts", DSN])
    def test_the_form_of_a_connection_holds_it(self, monkeypatch: pytest.MonkeyPatch, uri: str) -> None:
        connection = {"conn_type": "airlock_artifacts", "extra": {"uri": uri}}
        monkeypatch.setenv("AIRFLOW_CONN_STORES", json.dumps(connection))
        assert AddressHook("stores").address == uri

    @pytest.mark.parametrize(
        ("uri", "address"),
        [
            ("s3://bucket/prefix/deeper", "s3://bucket/prefix/deeper"),
            ("file:///var/lib/artifacts", "file:///var/lib/artifacts"),
            ("https://models.example.org/a/b", "https://models.example.org/a/b"),
            (DSN, DSN.replace("postgresql:", "postgres:")),
        ],
    )
    def test_a_connection_may_be_one_uri(self, monkeypatch: pytest.MonkeyPatch, uri: str, address: str) -> None:
        monkeypatch.setenv("AIRFLOW_CONN_STORES", uri)
        assert AddressHook("stores").address == address

    def test_of_no_database_says_what_to_do(self, home: Path) -> None:
        with pytest.raises(UserError, match="Run `airlock up`, or set AIRLOCK_DATABASE"):
            DatabaseHook().get_conn()


class TestGit:
    @pytest.fixture
    def git(self, tmp_path: Path) -> Callable[..., str]:
        def run(*arguments: str) -> str:
            who = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
            command = ["git", "-C", str(tmp_path), *who, *arguments]
            return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

        run("init", "-q")
        (tmp_path / "network.py").write_text("LAYERS = 2\n")
        run("add", ".")
        run("commit", "-q", "-m", "first")
        return run

    def described(self, tmp_path: Path) -> dict[str, str]:
        return GitHook(str(tmp_path / "network.py")).describe()

    def test_clean_code_is_its_commit(self, tmp_path: Path, git: Callable[..., str]) -> None:
        assert self.described(tmp_path) == {"commit": git("rev-parse", "HEAD"), "dirty": ""}

    def test_every_uncommitted_change_tells(self, tmp_path: Path, git: Callable[..., str]) -> None:
        seen = {self.described(tmp_path)["dirty"]}
        for path, content in (
            ("network.py", b"LAYERS = 3\n"),
            ("network.py", b"NAME = 'caf\xe9'\n"),
            ("new.py", b"LAYERS = 4\n"),
            ("new.py", b"LAYERS = 5\n"),
        ):
            (tmp_path / path).write_bytes(content)
            seen.add(self.described(tmp_path)["dirty"])
        assert len(seen) == 5
        git("add", ".")
        git("commit", "-q", "-m", "second")
        assert self.described(tmp_path) == {"commit": git("rev-parse", "HEAD"), "dirty": ""}

    def test_what_is_no_code_tells_nothing(self, tmp_path: Path, git: Callable[..., str]) -> None:
        (tmp_path / "__pycache__").mkdir()
        (tmp_path / "__pycache__" / "network.pyc").write_bytes(b"compiled")
        (tmp_path / "dead").symlink_to("nowhere")
        git("init", "-q", str(tmp_path / "inside"))
        assert self.described(tmp_path)["dirty"] == ""

    def test_outside_of_a_repository_there_is_none(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
        assert self.described(tmp_path) == {"commit": "", "dirty": ""}

    def test_without_git_there_is_none(
        self, tmp_path: Path, git: Callable[..., str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        assert self.described(tmp_path) == {"commit": "", "dirty": ""}


class TestProvider:
    def test_its_information_is_what_airflow_asks_for(self) -> None:
        schema = json.loads((Path(airflow.__file__).parent / "provider_info.schema.json").read_text())
        jsonschema.validate(get_provider_info(), schema)

    def test_airflow_finds_every_hook(self) -> None:
        found = ProvidersManagerTaskRuntime().hooks
        for kind, hook in HOOKS.items():
            assert found[kind].hook_class_name == f"{hook.__module__}.{hook.__name__}"
            assert (hook.conn_type, hook.hook_name) == (kind, found[kind].hook_name)

    def test_every_connection_has_a_form_that_hides_passwords(self) -> None:
        manager = ProvidersManager()
        fields = manager.connection_form_widgets
        hidden = {kind: fields[f"extra__{kind}__uri"].is_sensitive for kind in HOOKS}
        assert [kind for kind in hidden if hidden[kind]] == ["airlock_database"]
        assert all("password" in manager.field_behaviours[kind]["hidden_fields"] for kind in HOOKS)

    @pytest.mark.parametrize("group", ["airflow.plugins", "apache_airflow_provider", "console_scripts"])
    def test_its_entry_points_lead_somewhere(self, group: str) -> None:
        found: list[Any] = [entry.load() for entry in entry_points(group=group) if entry.value.startswith("airlock.")]
        assert [callable(what) for what in found] == [True]
