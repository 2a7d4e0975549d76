"""Cleaning: declared functions over every sample, which is kept, changed or dropped, each with its reason."""

from airlock.data.cleaning.cleaner import Cleaned, cleaner

__all__ = ["Cleaned", "cleaner"]
