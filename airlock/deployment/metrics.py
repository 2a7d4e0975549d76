"""Counters of one server, in Prometheus' text format."""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)


class Metrics:
    """Requests by route and status, and how long they took.

    :param manifest: digest of the manifest that is served.
    """

    def __init__(self, manifest: str) -> None:
        self.manifest = manifest
        self.requests: Counter[tuple[str, int]] = Counter()
        self.buckets: defaultdict[str, list[int]] = defaultdict(lambda: [0] * (len(BUCKETS) + 1))
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.predictions = 0
        self.answers: Counter[str] = Counter()

    def observe(self, route: str, status: int, seconds: float) -> None:
        """Count one answered request."""
        self.requests[route, status] += 1
        self.seconds[route] += seconds
        self.buckets[route][bisect_left(BUCKETS, seconds)] += 1

    def answered(self, labels: Iterable[str], rows: int) -> None:
        """Count what was predicted: a shift of it shows a canary that answers otherwise than the champion.

        :param labels: of the rows, where the model gives any.
        """
        self.predictions += rows
        self.answers.update(labels)

    def text(self, ready: bool, counters: Mapping[str, float]) -> str:
        """Return the exposition.

        :param counters: further ones by name, without ``airlock_`` and ``_total``.
        """
        lines = [
            "# TYPE airlock_model_info gauge",
            f'airlock_model_info{{manifest="{self.manifest}"}} 1',
            "# TYPE airlock_ready gauge",
            f"airlock_ready {int(ready)}",
            "# TYPE airlock_predictions_total counter",
            f"airlock_predictions_total {self.predictions}",
            "# TYPE airlock_answers_total counter",
        ]
        lines += [f'airlock_answers_total{{label="{_quoted(label)}"}} {n}' for label, n in sorted(self.answers.items())]
        for name, value in counters.items():
            lines += [f"# TYPE airlock_{name}_total counter", f"airlock_{name}_total {value:.0f}"]
        lines.append("# TYPE airlock_requests_total counter")
        for (route, status), count in sorted(self.requests.items()):
            lines.append(f'airlock_requests_total{{route="{route}",status="{status}"}} {count}')
        return "\n".join([*lines, *self._histogram(), ""])

    def _histogram(self) -> list[str]:
        name = "airlock_request_seconds"
        lines = [f"# TYPE {name} histogram"]
        for route, seconds in sorted(self.seconds.items()):
            count = 0
            for bound, found in zip((*BUCKETS, "+Inf"), self.buckets[route], strict=True):
                count += found
                lines.append(f'{name}_bucket{{route="{route}",le="{bound}"}} {count}')
            lines += [f'{name}_sum{{route="{route}"}} {seconds:.6f}', f'{name}_count{{route="{route}"}} {count}']
        return lines


def _quoted(label: str) -> str:
    return label.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
