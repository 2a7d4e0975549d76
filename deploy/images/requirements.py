"""Print what ``pyproject.toml`` asks for: ``requirements.py [--without PREFIX] [EXTRA ...]``.

An image installs this list in a layer of its own, before the wheel, so that a change of code
rebuilds a layer of kilobytes and not one of gigabytes.
"""

import argparse
import sys
import tomllib
from pathlib import Path


def requirements(project: Path, extras: list[str], without: str = "") -> list[str]:
    """Return the requirements of the base and of the extras, in the file's order.

    :param project: the ``pyproject.toml``.
    :param without: leave out distributions whose name starts so.
    """
    table = tomllib.loads(project.read_text())["project"]
    wanted = list(table["dependencies"])
    for extra in extras:
        wanted += table["optional-dependencies"][extra]
    return [name for name in wanted if not (without and name.startswith(without))]


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--without", default="")
    parser.add_argument("extras", nargs="*")
    options = parser.parse_args()
    sys.stdout.write("\n".join(requirements(Path("pyproject.toml"), options.extras, options.without)) + "\n")
