"""One execution of a step in its place, and how it ended."""

from typing import Literal

import msgspec

from airlock.operators.profiles import Profile
from airlock.steps.contract import Spec


class Execution(msgspec.Struct, frozen=True, kw_only=True):
    """What a place is asked to run.

    :param document: name of the spec in the artifact store.
    :param key: digest of everything that decides the result; a pod with the same one may be taken over.
    :param compute: name of the profile.
    :param pod: name of the pod or Job that runs it already.
    """

    spec: Spec
    document: str
    key: str
    compute: str
    profile: Profile
    pod: str = ""


Kind = Literal["ended", "silent", "interrupted", "out of memory", "resource", "user"]


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """How it ended, as its place saw it; what it left in the store says more.

    :param kind: ``ended`` by itself; ``silent``: by itself, saying that it could leave no result; ``interrupted`` by
        something that is no fault of the step; ``out of memory``; ``resource``: another limit; ``user``: its own fault.
    :param reason: a clause that follows the step's name: ``was killed by SIGKILL``.
    :param hint: the way out.
    """

    kind: Kind
    reason: str
    hint: str = ""
