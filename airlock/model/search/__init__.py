"""Hyperparameter search: a specification that is checked before anything runs, and workers that share a study.

What a DAG file imports (:mod:`~airlock.model.search.spec`) needs neither Optuna nor numpy.
"""
