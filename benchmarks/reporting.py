"""The one form in which every benchmark says what it measured."""

from collections.abc import Sequence
from statistics import median


def report(name: str, value: float, target: float, *, at_most: bool = True) -> None:
    """Print ``ratio NAME VALUE (target <=|>= VALUE): ok|short``."""
    met = value <= target if at_most else value >= target
    sign = "<=" if at_most else ">="
    print(f"ratio {name} {value:.3f} (target {sign} {target:g}): {'ok' if met else 'short'}", flush=True)


def show(name: str, seconds: Sequence[float]) -> float:
    """Print the figures behind a ratio and return their median."""
    middle = median(seconds)
    print(f"{name}: median {middle:.3f} s of {[round(value, 3) for value in seconds]}", flush=True)
    return middle
