"""Sources: where raw samples come from. One file per kind."""

from typing import Any

import msgspec

from airlock.data.sources.folder import Folder
from airlock.data.sources.idx import Idx
from airlock.data.sources.sklearn import Sklearn
from airlock.data.sources.zip import Zip
from airlock.errors import UserError

AnySource = Folder | Zip | Idx | Sklearn


def parse_source(declaration: dict[str, Any]) -> AnySource:
    """Make a source from what a use case declares, for example ``{"kind": "folder", "location": "/data/cats"}``.

    :raises UserError: no such kind, or a key that the kind does not have.
    """
    try:
        source: AnySource = msgspec.convert(declaration, AnySource)
    except msgspec.ValidationError as error:
        kinds = "folder, zip, idx, sklearn"
        raise UserError(
            f"The source {declaration!r} is not valid: {error}.",
            hint=f"A source has a kind ({kinds}) and the keys of that kind, a location at least.",
        ) from error
    return source
