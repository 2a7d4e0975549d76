"""What zip and tar archives have in common: limits, and names that must stay inside."""

from airlock.data.sources.layout import Layout, check_pattern
from airlock.data.sources.location import Location
from airlock.errors import SourceError, UserError
from airlock.stores.artifacts import safe_relative

RAISE = "If this is no bomb (zip bomb, tar bomb) but what you expect, raise that limit in the source."


class Archive(Location, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An archive of files; a file's class is the folder it lies in.

    :param root: folder inside the archive that holds the classes' folders; what lies outside it is left alone.
    :param pattern: names that are samples, for example ``*.txt``.
    :param group_pattern: regular expression whose first group, found in a path, is the sample's group.
    :param max_member_bytes: most bytes one member may unpack to; it is held in memory.
    :param max_members: most files in the archive.
    """

    root: str = ""
    pattern: str = "*"
    group_pattern: str = ""
    max_member_bytes: int = 128 << 20
    max_members: int = 1_000_000

    def __post_init__(self) -> None:
        check_pattern(self.group_pattern)

    @property
    def layout(self) -> Layout:
        return Layout(self.root, self.pattern, self.group_pattern)

    def check_members(self, count: int, total: int, largest: tuple[int, str]) -> None:
        """Refuse an archive that would unpack to too much.

        :param largest: bytes and name.
        """
        if count > self.max_members:
            raise SourceError(self._limit(f"holds {count:,} files", "max_members", self.max_members), hint=RAISE)
        if total > self.max_bytes:
            raise SourceError(self._limit(f"unpacks to {total:,} bytes", "max_bytes", self.max_bytes), hint=RAISE)
        if largest[0] > self.max_member_bytes:
            what = f"has a member {largest[1]} of {largest[0]:,} bytes"
            raise SourceError(self._limit(what, "max_member_bytes", self.max_member_bytes), hint=RAISE)

    def check_inside(self, member: str) -> None:
        """Refuse a name that climbs out: whoever wrote it meant harm."""
        try:
            safe_relative(member)
        except UserError as error:
            raise SourceError(
                f"{self.name}: the member {member!r} lies outside the archive's own folder.",
                hint="An honest archive has relative names without '..': do not trust this one, or pack it again.",
            ) from error

    def refuse_special(self, member: str, what: str) -> None:
        """Refuse what is neither file nor folder.

        :raises SourceError: always.
        """
        raise SourceError(
            f"{self.name}: the member {member!r} is a {what}, not a file.",
            hint="Pack the files themselves (`tar --dereference --hard-dereference`, `zip` without -y).",
        )

    def _limit(self, what: str, knob: str, limit: int) -> str:
        return f"{self.name} {what}, above {knob}={limit:,}."
