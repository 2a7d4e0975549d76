"""What a server counted of its predictions, read back from its own ``/metrics``."""

import re
from collections import Counter
from itertools import pairwise
from math import inf
from typing import Any

import msgspec

from airlock.deployment.client import ModelClient
from airlock.deployment.config import HEADER
from airlock.deployment.routes import Track
from airlock.errors import InfrastructureError

LINE = re.compile(r"^(?P<name>\w+)\{(?P<labels>.*)\} (?P<value>\S+)$")
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of predictions; other requests are left out.

    :param errors: answers with a status of 400 or more: what askers do wrong they do to both alike, and a
        canary that refuses what the champion answers is worse.
    :param buckets: seconds to how many predictions took at most as long.
    :param answers: label to how often it was predicted.
    """

    requests: int = 0
    errors: int = 0
    buckets: dict[float, int] = {}
    answers: dict[str, int] = {}

    def since(self, before: "Figures") -> "Figures":
        """Return what was counted since; a server that was started again meanwhile counts from 0."""
        if self.requests < before.requests:
            return self
        return Figures(
            requests=self.requests - before.requests,
            errors=max(0, self.errors - before.errors),
            buckets={bound: count - before.buckets.get(bound, 0) for bound, count in self.buckets.items()},
            answers={label: count - before.answers.get(label, 0) for label, count in self.answers.items()},
        )

    def plus(self, more: "Figures") -> "Figures":
        """Return both together."""
        return Figures(
            requests=self.requests + more.requests,
            errors=self.errors + more.errors,
            buckets=_sum(self.buckets, more.buckets),
            answers=_sum(self.answers, more.answers),
        )

    def slower(self, seconds: float) -> int:
        """Return how many predictions took longer than a bucket's bound."""
        return self.buckets.get(inf, 0) - self.buckets.get(seconds, 0)

    def bound(self, quantile: float) -> float:
        """Return the smallest bucket's bound that at least this part of the predictions kept; 0 without any."""
        least = quantile * self.buckets.get(inf, 0)
        return min((bound for bound, count in self.buckets.items() if count >= least), default=0.0)

    def quantile(self, quantile: float) -> float:
        """Return the seconds that this part of the predictions kept, as if they were even within a bucket."""
        wanted = quantile * self.buckets.get(inf, 0)
        for (low, below), (high, count) in pairwise([(0.0, 0), *sorted(self.buckets.items())]):
            if wanted and count >= wanted:
                return low if high == inf else low + (high - low) * (wanted - below) / (count - below)
        return 0.0


def read_figures(endpoint: str, track: Track, manifest: str) -> Figures:
    """Ask the servers of a track for their counters.

    :param manifest: digest that they must name.
    :raises InfrastructureError: nobody answers there now, or something else does.
    """
    with ModelClient(endpoint, timeout=5.0, track=track) as client:
        reply = client.request("GET", "/metrics")
    found = reply.headers.get(HEADER)
    if not reply.is_success or found != manifest:
        raise InfrastructureError(f"The {track} server at {endpoint} answers {reply.status_code} as {found}.")
    return parse(reply.text)


def parse(text: str) -> Figures:
    """Read an exposition in Prometheus' text format; equal series, as of several servers, are added up."""
    requests: Counter[bool] = Counter()
    buckets: Counter[float] = Counter()
    answers: Counter[str] = Counter()
    for found in filter(None, map(LINE.match, text.splitlines())):
        labels, value = dict(LABEL.findall(found["labels"])), found["value"]
        if found["name"] == "airlock_answers_total":
            answers[labels["label"]] += int(float(value))
        elif predicts(labels.get("route", "")):
            if found["name"] == "airlock_requests_total":
                requests[int(labels["status"]) >= 400] += int(float(value))
            elif found["name"] == "airlock_request_seconds_bucket":
                buckets[float(labels["le"])] += int(float(value))
    return Figures(requests=requests.total(), errors=requests[True], buckets=dict(buckets), answers=dict(answers))


def _sum(some: dict[Any, int], more: dict[Any, int]) -> dict[Any, int]:
    """Add up; unlike a Counter's sum it keeps what is 0: a bucket that nothing fell into is a bound all the same."""
    return {key: some.get(key, 0) + more.get(key, 0) for key in some | more}


def predicts(route: str) -> bool:
    """Is this a route whose answers are predictions?"""
    return route.startswith("/predict") or route.endswith("/infer")
