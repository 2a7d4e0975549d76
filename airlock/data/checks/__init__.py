"""Checks of unstructured data: what expectations on a table of metadata cannot see."""

from airlock.data.checks.declaration import decode_checks
from airlock.data.checks.running import run_checks
from airlock.data.checks.subject import Previous, Subject

__all__ = ["Previous", "Subject", "decode_checks", "run_checks"]
