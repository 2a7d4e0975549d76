"""The repository root and the parsed compose file, for every test of what is deployed."""

from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]


@pytest.fixture
def root() -> Path:
    """Give the repository root."""
    return ROOT


@pytest.fixture
def compose() -> dict[str, Any]:
    """Give the compose file with its YAML merges resolved and its variables as they stand."""
    return yaml.safe_load((ROOT / "docker-compose.yaml").read_text())


@pytest.fixture
def services(compose: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Give the services by name."""
    return compose["services"]
