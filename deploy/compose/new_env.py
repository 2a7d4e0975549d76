"""Print ``.env.example`` with a random value for every secret: ``python deploy/compose/new_env.py > .env``."""

import base64
import os
import sys
from pathlib import Path
from secrets import token_hex

TOKEN = "LABEL_STUDIO_TOKEN="
EXAMPLE = Path(__file__).parents[2] / ".env.example"


def fill(example: str) -> str:
    """Give every empty variable 32 random bytes, in the one encoding that is good for URLs and for a Fernet key.

    Label Studio's tokens have 40 characters at most.
    """
    lines = example.splitlines()
    made = (f"{line}{token_hex(20) if line == TOKEN else secret()}" if line.endswith("=") else line for line in lines)
    return "\n".join(made) + "\n"


def secret() -> str:
    """Return 32 random bytes as URL-safe base64."""
    return base64.urlsafe_b64encode(os.urandom(32)).decode()


if __name__ == "__main__":
    sys.stdout.write(fill(EXAMPLE.read_text()))
