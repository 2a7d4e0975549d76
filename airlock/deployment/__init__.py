"""Packaging, serving and rollout: from a candidate to an endpoint."""
