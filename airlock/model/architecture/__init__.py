"""Architectures as data: a YAML or JSON graph of Keras layers, checked without Keras and built with it."""

from airlock.model.architecture.building import build
from airlock.model.architecture.checking import Checked, Report, check
from airlock.model.architecture.document import MEDIA_TYPE, Architecture, Node
from airlock.model.architecture.overrides import Given, override, rates, split_overrides
from airlock.model.architecture.problems import ArchitectureError, Problem
from airlock.model.architecture.resolving import found_in, read, resolve

__all__ = [
    "MEDIA_TYPE",
    "Architecture",
    "ArchitectureError",
    "Checked",
    "Given",
    "Node",
    "Problem",
    "Report",
    "build",
    "check",
    "found_in",
    "override",
    "rates",
    "read",
    "resolve",
    "split_overrides",
]
