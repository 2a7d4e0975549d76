"""Operators of the deployment pipeline: from an approved candidate to an endpoint that answers."""

from collections.abc import Sequence
from typing import Any

from airlock.operators.compute import by_compute
from airlock.operators.links import ENDPOINT, MANIFEST, REPORT
from airlock.operators.processes import SubprocessPlace
from airlock.operators.step import StepOperator
from airlock.settings import settings


class PackageStep(StepOperator):
    """Put model, preprocessing, postprocessing, licence and samples into one folder, and write its manifest.

    :param manifest: the approved candidate's manifest.
    :param model: the compressed model.
    :param comparison: its figures against the original.
    :param original: the model before it was made smaller, another output of ``compress``.
    :param max_difference: how far an output may be from the original's, on the samples in the package.
    :param licence: path of the licence of model and sample data.
    :param licences: their SPDX expressions, ``{"code": …, "data": …}``.
    :param outputs: what is answered, by kind (``docs/packages.md``); by default the classes' probabilities.
    :param postprocessing: path of the code file with ``postprocess(outputs, **parameters)``.
    :param postprocessing_parameters: handed to it by name.
    :param limits: what a request and the model may cost: ``body_bytes``, ``batch``, ``memory_bytes``, ``seconds``.
    """

    step = "package"
    files = ("licence", "postprocessing")
    template_fields: Sequence[str] = (
        "use_case",
        "manifest",
        "model",
        "comparison",
        "original",
        "max_difference",
        "licence",
        "licences",
        "outputs",
        "postprocessing",
        "postprocessing_parameters",
        "limits",
    )
    operator_extra_links = (MANIFEST,)

    def __init__(
        self,
        *,
        use_case: str,
        manifest: Any,
        model: Any,
        comparison: Any,
        original: Any = None,
        max_difference: float = 0.5,
        licence: str | None = None,
        licences: dict[str, str] | None = None,
        outputs: list[dict[str, Any]] | None = None,
        postprocessing: str | None = None,
        postprocessing_parameters: dict[str, Any] | None = None,
        limits: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.use_case = use_case
        self.manifest = manifest
        self.model = model
        self.comparison = comparison
        self.original = original
        self.max_difference = max_difference
        self.licence = licence
        self.licences = licences or {}
        self.outputs = outputs or []
        self.postprocessing = postprocessing
        self.postprocessing_parameters = postprocessing_parameters or {}
        self.limits = limits or {}


class ContractTestStep(StepOperator):
    """Check the package's files, and try every endpoint of the real server on it, before a release is asked for.

    :param package: the package.
    :param manifest: the release manifest.
    """

    step = "contract_test"
    template_fields: Sequence[str] = ("package", "manifest")
    operator_extra_links = (REPORT,)

    def __init__(self, *, package: Any, manifest: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.package = package
        self.manifest = manifest


class DeployStep(StepOperator):
    """Serve the approved release: verifies the decision, states what is wanted, waits until it answers.

    Never cached: what serves is the world's state, not the store's.

    :param manifest: the release manifest.
    :param gate: name of the gate whose approval is required.
    :param target: where it is served: ``local``, ``staging``, or one of the reconciler's configuration; empty for what
        the setting ``target`` says.
    :param after: the generation a canary left; whatever was deployed since is not replaced.
    :param timeout: seconds until the endpoint must answer.
    """

    step = "deploy"
    template_fields: Sequence[str] = ("use_case", "manifest", "gate", "target", "after", "timeout")
    operator_extra_links = (ENDPOINT, MANIFEST)

    def __init__(
        self,
        *,
        use_case: str,
        manifest: Any,
        gate: str,
        target: str = "",
        after: Any = None,
        timeout: float = 120.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**({"cache": False} | kwargs))
        self.use_case = use_case
        self.manifest = manifest
        self.gate = gate
        self.target = target or settings().target
        self.after = after
        self.timeout = timeout


class CanaryStep(StepOperator):
    """Let the release answer a growing share of the requests; roll it back when it is worse than what serves.

    Over at once where nothing serves yet. Never cached.

    :param manifest: the release manifest.
    :param gate: name of the gate whose approval is required.
    :param rollout: shares, and how much worse is too much; docs/rollout.md has the fields.
    :param target: where it is served; empty for what the setting ``target`` says.
    """

    step = "canary"
    template_fields: Sequence[str] = ("use_case", "manifest", "gate", "rollout", "target")
    operator_extra_links = (ENDPOINT, MANIFEST, REPORT)

    def __init__(
        self,
        *,
        use_case: str,
        manifest: Any,
        gate: str,
        rollout: dict[str, Any] | None = None,
        target: str = "",
        **kwargs: Any,
    ) -> None:
        super().__init__(**({"cache": False} | kwargs))
        self.use_case = use_case
        self.manifest = manifest
        self.gate = gate
        self.rollout = rollout or {}
        self.target = target or settings().target


class SmokeTestStep(StepOperator):
    """Ask the live endpoint for the package's own samples and compare. Never cached.

    :param endpoint: URL of the deployed model.
    :param manifest: the release manifest it must name in its answers.
    :param requests: how many are timed.
    """

    step = "smoke_test"
    template_fields: Sequence[str] = ("endpoint", "manifest", "requests")
    operator_extra_links = (ENDPOINT,)

    def __init__(self, *, endpoint: Any, manifest: Any, requests: int = 200, **kwargs: Any) -> None:
        super().__init__(**({"cache": False} | kwargs))
        self.endpoint = endpoint
        self.manifest = manifest
        self.requests = requests


class PackageOperator(SubprocessPlace, PackageStep):
    """:class:`PackageStep` in a subprocess of the worker."""


class ContractTestOperator(SubprocessPlace, ContractTestStep):
    """:class:`ContractTestStep` in a subprocess of the worker."""


class DeployOperator(SubprocessPlace, DeployStep):
    """:class:`DeployStep` in a subprocess of the worker."""


class CanaryOperator(SubprocessPlace, CanaryStep):
    """:class:`CanaryStep` in a subprocess of the worker."""


class SmokeTestOperator(SubprocessPlace, SmokeTestStep):
    """:class:`SmokeTestStep` in a subprocess of the worker."""


package = by_compute(PackageOperator)
contract_test = by_compute(ContractTestOperator)
deploy = by_compute(DeployOperator)
canary = by_compute(CanaryOperator)
smoke_test = by_compute(SmokeTestOperator)
