"""Validation: a suite of Great Expectations on metadata, and the verdict that it and the checks give."""

from airlock.data.validation.expectations import validate
from airlock.data.validation.verdict import Check, Plot, Verdict

__all__ = ["Check", "Plot", "Verdict", "validate"]
