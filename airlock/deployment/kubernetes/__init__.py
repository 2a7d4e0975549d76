"""Kubernetes as a target: what a release asks of a cluster, and what is read back from its pods."""
