"""Manifests, roles, gate policies, signed decisions and the ledger."""
