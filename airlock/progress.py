"""The line protocol by which a step says how far it is.

One line on standard output: ``::airlock {"done": 3, "total": 10, "unit": "epoch", "metrics": {"loss": 0.1}}``.
Every other line is log text.
"""

import sys
from typing import TextIO

import msgspec

MARK = "::airlock "


class Progress(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How far a step is.

    :param done: units finished.
    :param total: units in all; 0 when unknown.
    :param unit: what is counted, for example ``epoch`` or ``sample``.
    :param metrics: latest figures by name.
    """

    done: int
    total: int = 0
    unit: str = "step"
    metrics: dict[str, float] = {}

    def __str__(self) -> str:
        share = f"{self.done}/{self.total}" if self.total else str(self.done)
        figures = " ".join(f"{name}={value:.4g}" for name, value in self.metrics.items())
        return f"{share} {self.unit} {figures}".strip()


def emit(progress: Progress, stream: TextIO | None = None) -> None:
    """Write one progress line."""
    print(MARK + msgspec.json.encode(progress).decode(), file=stream or sys.stdout, flush=True)


def parse(line: str) -> Progress | None:
    """Return the progress a line carries, or ``None`` for log text."""
    if not line.startswith(MARK):
        return None
    try:
        return msgspec.json.decode(line[len(MARK) :], type=Progress)
    except msgspec.MsgspecError:
        return None
