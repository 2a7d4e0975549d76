"""The roster of the embedded stack: who has which role, written once, changed by whoever runs the host."""

import json
from pathlib import Path

from airlock.launcher.credentials import load_demo_users, write_roster


def test_it_names_the_demo_users_and_gives_an_admin_nothing(tmp_path: Path) -> None:
    users = load_demo_users(tmp_path / "demo_users.json")
    write_roster(tmp_path / "roster.json", users)
    roster = json.loads((tmp_path / "roster.json").read_text())
    assert roster == {user.username: [user.role] for user in users if user.role != "Admin"}
    assert (tmp_path / "roster.json").stat().st_mode & 0o777 == 0o644


def test_it_is_left_alone_when_it_is_there(tmp_path: Path) -> None:
    path = tmp_path / "roster.json"
    path.write_text("{}")
    write_roster(path, load_demo_users(tmp_path / "demo_users.json"))
    assert path.read_text() == "{}"
