"""Lineage: which samples, datasets, labels, models and decisions follow from which."""
