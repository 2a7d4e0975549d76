"""How files lie in a folder, an archive or a bucket: which are samples, and what their paths say about them."""

import re
from pathlib import PurePosixPath
from typing import NamedTuple

from airlock.data.samples import Sample
from airlock.data.sources.files import is_clutter, label_of


class Layout(NamedTuple):
    """One folder a class.

    :param root: folder that holds the classes' folders; what lies outside it is left alone.
    :param pattern: names that are samples, for example ``*.txt``; upper and lower case differ.
    :param group_pattern: regular expression whose first group, found in the path below ``root``, is the sample's group.
    """

    root: str = ""
    pattern: str = "*"
    group_pattern: str = ""

    def keeps(self, name: str) -> bool:
        """Say whether a file is a sample."""
        path = PurePosixPath(name)
        return path.is_relative_to(self.root) and not is_clutter(path.parts) and path.match(self.pattern)

    def sample(self, name: str, content: bytes, origin: str) -> Sample:
        """Make a sample of a file."""
        # No path object for each of a million names: that takes longer than reading the files.
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if self.root:
            parts = parts[len(PurePosixPath(self.root).parts) :]
        found = re.search(self.group_pattern, "/".join(parts)) if self.group_pattern else None
        group = found[1] if found else None
        return Sample(source=name, content=content, label=label_of(parts), origin=origin, group=group)


def check_pattern(group_pattern: str) -> None:
    """Refuse a pattern that finds no group; called where a source is declared.

    :raises ValueError: it is no regular expression, or has no group.
    """
    try:
        groups = re.compile(group_pattern).groups
    except re.error as error:
        raise ValueError(f"group_pattern {group_pattern!r} is no regular expression ({error})") from error
    if group_pattern and not groups:
        raise ValueError(f"group_pattern {group_pattern!r} has no group in round brackets")
