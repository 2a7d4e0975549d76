"""Handwritten digits: the use case that needs no download."""
