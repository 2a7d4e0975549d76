"""Real stores with people who decide."""

from tests.governed import governed, home

__all__ = ["governed", "home"]
