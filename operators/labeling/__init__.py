"""Operators of the labelling: from a dataset version to labels that people gave."""

from airlock.operators.labeling.question import (
    ChooseBatchOperator,
    ChooseBatchStep,
    LabellingManifestOperator,
    LabellingManifestStep,
    choose_batch,
    labelling_manifest,
)
from airlock.operators.labeling.studio import (
    AdjudicateOperator,
    AdjudicateStep,
    HandOffOperator,
    HandOffStep,
    PullLabelsOperator,
    PullLabelsStep,
    adjudicate,
    hand_off,
    pull_labels,
)
from airlock.operators.labeling.wait import WaitForLabelsOperator, wait_for_labels

__all__ = [
    "AdjudicateOperator",
    "AdjudicateStep",
    "ChooseBatchOperator",
    "ChooseBatchStep",
    "HandOffOperator",
    "HandOffStep",
    "LabellingManifestOperator",
    "LabellingManifestStep",
    "PullLabelsOperator",
    "PullLabelsStep",
    "WaitForLabelsOperator",
    "adjudicate",
    "choose_batch",
    "hand_off",
    "labelling_manifest",
    "pull_labels",
    "wait_for_labels",
]
