"""Making a candidate smaller."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from airlock.model.compression.chains import Chain, decode_chains, plain
from airlock.model.compression.rule import decode_rule
from airlock.operators.compute import by_compute
from airlock.operators.links import REPORT
from airlock.operators.model.architecture import store_network
from airlock.operators.model.evaluation import check_slices, stored_slices
from airlock.operators.processes import SubprocessPlace
from airlock.operators.step import StepOperator


class CompressStep(StepOperator):
    """Make the candidate smaller in several ways, measure each on the runtime that serves it, and let a rule pick one.

    When the rule refuses all of them the task fails, after everything was stored and linked.

    :param manifest: the approved candidate's manifest.
    :param methods: ways to compress, each ``"litert_int8"``, ``{"method": "structured_pruning", "keep": 0.5}``, or a
        list of these, one after the other; the ``architecture`` of a ``distillation`` may be a path.
    :param rule: what picks, on validation samples: :class:`airlock.model.compression.rule.Rule` as plain data.
    :param slices: what may not lose too much: :class:`airlock.model.evaluation.slices.Slice` as plain data.
    """

    step = "compress"
    template_fields: Sequence[str] = ("manifest", "methods", "rule", "slices")
    operator_extra_links = (REPORT,)

    def __init__(
        self,
        *,
        manifest: Any,
        methods: Sequence[Any],
        rule: dict[str, Any] | None = None,
        slices: Sequence[dict[str, Any]] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        decode_chains(methods)
        decode_rule(rule or {})
        check_slices(slices)
        self.manifest = manifest
        self.methods = list(methods)
        self.rule = dict(rule or {})
        self.slices = list(slices)

    @property
    def inputs(self) -> dict[str, Any]:
        """The arguments, with students' networks and saved lists of samples as artifacts."""
        methods = [self._stored(chain) for chain in decode_chains(self.methods)]
        return super().inputs | {"methods": methods, "slices": stored_slices(self.slices, self.artifacts)}

    def _stored(self, chain: Chain) -> list[Any]:
        parts = plain(chain)
        for part in parts:
            if isinstance(path := part.get("architecture"), str):
                part["architecture"] = msgspec.to_builtins(store_network(self.artifacts, Path(path)))
        return parts


class CompressOperator(SubprocessPlace, CompressStep):
    """:class:`CompressStep` in a subprocess of the worker."""


compress = by_compute(CompressOperator)
