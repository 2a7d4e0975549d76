"""Registering a candidate with its manifest."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from airlock.model.card import read_facts
from airlock.operators.compute import by_compute
from airlock.operators.links import MANIFEST, MLFLOW_RUN, MODEL_CARD
from airlock.operators.model.architecture import store_network
from airlock.operators.processes import SubprocessPlace
from airlock.operators.step import StepOperator
from airlock.references import Artifact


class RegisterStep(StepOperator):
    """Register the candidate in MLflow and tie code, data, parameters and figures into its manifest.

    :param data: the approved data manifest.
    :param transform_code: path of the use case's ``transform.py``.
    :param network_code: path of the use case's ``network.py`` or architecture, or the one that a search
        chose, as for training.
    :param report: the evaluation as a page.
    :param search: what a search says of itself, ``search_report`` as a page; empty when there was none.
    :param card: :class:`airlock.model.card.CardFacts` as plain data, for the model card.
    :param revises: the manifest of the candidate whose place this one takes; ``revision`` how equal they are, as the
        revise step says, ``revision_report`` the same as a page.
    :param repository: path of a file in the code repository, where ``transform_code`` is none.
    """

    step = "register"
    files = ("transform_code", "network_code")
    template_fields: Sequence[str] = (
        "use_case",
        "data",
        "tensors",
        "model",
        "run",
        "evaluation",
        "picture",
        "transform_code",
        "network_code",
        "parameters",
        "seed",
        "report",
        "card",
        "search",
        "search_report",
        "revises",
        "revision",
        "revision_report",
    )
    operator_extra_links = (MLFLOW_RUN, MANIFEST, MODEL_CARD)

    def __init__(
        self,
        *,
        use_case: str,
        data: Any,
        tensors: Any,
        model: Any,
        run: Any,
        evaluation: Any,
        picture: Any,
        transform_code: Any,
        network_code: Any,
        parameters: Any,
        seed: Any = 0,
        report: Any = None,
        card: dict[str, Any] | None = None,
        search: Any = None,
        search_report: Any = None,
        revises: Any = None,
        revision: Any = None,
        revision_report: Any = None,
        repository: str = "",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        read_facts(card or {})
        self.use_case = use_case
        self.data = data
        self.tensors = tensors
        self.model = model
        self.run = run
        self.evaluation = evaluation
        self.picture = picture
        self.transform_code = transform_code
        self.network_code = network_code
        self.parameters = parameters
        self.seed = seed
        self.report = report
        self.card = card or {}
        self.search = search
        self.search_report = search_report
        self.revises = revises
        self.revision = revision
        self.revision_report = revision_report
        self.repository = repository

    def store_file(self, path: Path) -> Artifact:
        """Store a file; an architecture with all it extends."""
        return store_network(self.artifacts, path)

    @property
    def inputs(self) -> dict[str, Any]:
        """The arguments, and which state of the code repository they come from."""
        from airlock.hooks.git import GitHook

        repository = GitHook(self.repository or self.transform_code)
        difference = repository.difference()
        stored = msgspec.to_builtins(self.artifacts.put(difference, "text/x-diff")) if difference else None
        return super().inputs | {"code": repository.describe(), "difference": stored}


class RegisterOperator(SubprocessPlace, RegisterStep):
    """:class:`RegisterStep` in a subprocess of the worker."""


register = by_compute(RegisterOperator)
