"""What the gateway itself counts: predictions that a server never answered, and what a shadow said."""

from urllib.parse import urlsplit

import msgspec

from airlock.deployment.client import ModelClient
from airlock.deployment.rollout import Rollout
from airlock.deployment.shadow import Compared


class _Said(msgspec.Struct):
    failures: dict[str, int]
    shadow: dict[str, Compared]


def gateway_failures(rollout: Rollout) -> dict[str, int]:
    """Return manifest to how many predictions its servers did not answer since the gateway started."""
    return _asked(rollout.endpoint).failures


def shadow_answers(rollout: Rollout) -> Compared:
    """Return what a release answered as a shadow since the gateway started."""
    return _asked(rollout.endpoint).shadow.get(rollout.manifest, Compared())


def _asked(endpoint: str) -> _Said:
    parts = urlsplit(endpoint)
    with ModelClient(f"{parts.scheme}://{parts.netloc}", timeout=5.0) as client:
        return msgspec.json.decode(client.request("GET", "/").content, type=_Said)
