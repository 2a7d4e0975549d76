"""Operators of the model pipeline: from an approved dataset version to a candidate with its manifest."""

from airlock.operators.model.compression import CompressOperator, CompressStep, compress
from airlock.operators.model.evaluation import EvaluateOperator, EvaluateStep, evaluate
from airlock.operators.model.registration import RegisterOperator, RegisterStep, register
from airlock.operators.model.revising import ReviseOperator, ReviseStep, revise
from airlock.operators.model.searching import (
    ConcludeSearchOperator,
    ConcludeSearchStep,
    SearchTrialsOperator,
    SearchTrialsStep,
    conclude_search,
    search,
    search_trials,
)
from airlock.operators.model.training import TrainOperator, TrainStep, train
from airlock.operators.model.transformation import TransformOperator, TransformStep, transform

__all__ = [
    "CompressOperator",
    "CompressStep",
    "ConcludeSearchOperator",
    "ConcludeSearchStep",
    "EvaluateOperator",
    "EvaluateStep",
    "RegisterOperator",
    "RegisterStep",
    "ReviseOperator",
    "ReviseStep",
    "SearchTrialsOperator",
    "SearchTrialsStep",
    "TrainOperator",
    "TrainStep",
    "TransformOperator",
    "TransformStep",
    "compress",
    "conclude_search",
    "evaluate",
    "register",
    "revise",
    "search",
    "search_trials",
    "train",
    "transform",
]
